"""A run through all its phases, as its user meets it: what the collector holds, what is left after kills and cancels."""

from __future__ import annotations

import json
import os
import re
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent.launch import ensure_shepherd
from tests.agent.node_runs import NodeRun
from tests.agent.phased_runs import is_there, probe, script
from tests.collector_process import CollectorProcess
from tests.podman_site import PodmanSite, make_context
from tests.waiting import wait_for

from .conftest import NodeRunFactory, PhasedFactory
from .test_pipeline import node_folder, runyard

pytestmark = pytest.mark.needs_system("podman runc docker-registry busybox-static")

COMMON = {
    "azureml-logs/55_azureml-execution-{node}.txt",
    "azureml-logs/65_job_prep-{node}.txt",
    "azureml-logs/70_driver_log.txt",
    "azureml-logs/75_job_post-{node}.txt",
    names.PROCESS_INFO,
    names.PROCESS_STATUS,
    names.SYSTEM_LOG,
    names.PREPARATION_SYSTEM_LOG,
    names.RELEASE_SYSTEM_LOG,
}
SIDECAR = {f"logs/azureml/sidecar/{{node}}/{name}.txt" for name in ("start_cms", "prep_cmd", "release_cmd")}
SYSTEM_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\|runyard\.\w+\|(DEBUG|INFO|WARNING|ERROR)\|.+")


def container(site: PodmanSite, folder: Path, *steps: str) -> str:
    """The environment's lines of a run.toml: an image that is built of `steps` and pushed to the site's registry."""
    make_context(folder / "context", *steps)
    return (
        '[environment]\ncontainerfile = "context/Containerfile"\ncontext = "context"\n'
        f'registry = "{site.registry}"\nrepository = "jobs/{folder.name.lower()}"\n'
    )


def files_of(folder: Path, node_id: str) -> set[str]:
    """The log files of a node's folder, the node's id in their names written as {node}."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path).replace(node_id, "{node}") for path in found if not str(path).startswith((".runyard", "outputs"))}


def metric(collector: CollectorProcess, name: str) -> float:
    request = urllib.request.Request(f"{collector.url}/metrics", headers={"Authorization": f"Bearer {collector.token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        text = answer.read().decode()
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


@pytest.mark.row("A2")
@pytest.mark.row("A3")
@pytest.mark.row("A6")
@pytest.mark.row("A9")
@pytest.mark.row("A10")
@pytest.mark.row("A11")
def test_a_host_job_without_sidecar_leaves_exactly_the_files_that_should_be_there(
    collector: CollectorProcess, node_run: NodeRunFactory
) -> None:
    run = node_run("echo", "hello")
    assert run.complete().returncode == 0
    folder = node_folder(collector)
    assert files_of(folder, run.json(names.RUN_FILE)["node_id"]) == COMMON
    assert "is shipped" in _text(folder, "75_*") or "are shipped" in _text(folder, "75_*")
    for name in (names.SYSTEM_LOG, names.PREPARATION_SYSTEM_LOG, names.RELEASE_SYSTEM_LOG):
        lines = (folder / name).read_text().splitlines()
        assert lines
        assert all(SYSTEM_LINE.fullmatch(line) for line in lines), name
    shown = json.loads(runyard(collector, "show", "r", "-o", "json"))
    assert [move["status"] for move in shown["transitions"]] == [
        *("Starting", "Provisioning", "Preparing", "Running", "Finalizing", "Completed"),
    ]


@pytest.mark.row(*(f"A{row}" for row in range(1, 15) if row != 5))
def test_a_container_job_with_the_sidecar_on_leaves_every_file_and_the_second_one_no_build_log(
    collector: CollectorProcess,
    podman_site: PodmanSite,
    phased: PhasedFactory,
    tmp_path: Path,
) -> None:
    data = tmp_path / "training data"
    data.mkdir()
    (data / "numbers").write_text("1 2 3\n")
    environment = container(podman_site, tmp_path, "RUN echo built > /built.txt")
    store = f'[datastores.numbers]\nurl = "file://{data}"\n'
    managers = '[[context_managers]]\nuse = "scratch"\n' + probe("mine", Path("/tmp/journal-of-the-sidecar"))
    spec = 'code = "code"\nsidecar = true\n' + environment + store + managers
    command = script(
        "cat /built.txt $RUNYARD_DATASTORE_NUMBERS/numbers; ls probe.py; echo wrong >&2; echo model > outputs/model"
    )
    first = phased(spec, *command, run_id="first")
    done = first.complete()
    assert done.returncode == 0, done.stderr
    assert (done.stdout, b"wrong\n" in done.stderr) == (b"built\n1 2 3\nprobe.py\n", True)
    builds = podman_site.builds()
    folder, node = node_folder(collector, "first"), first.json(names.RUN_FILE)["node_id"]
    assert files_of(folder, node) == COMMON | SIDECAR | {names.IMAGE_LOG}
    _check_contents(folder, node, podman_site)
    assert (folder / "outputs/model").read_text() == "model\n"
    runyard(collector, "verify", "first")
    sent = metric(collector, "runyard_snapshot_bytes_total")
    assert sent > 0

    second = phased(spec, *command, run_id="second")
    assert second.complete().returncode == 0
    assert files_of(node_folder(collector, "second"), node) == COMMON | SIDECAR
    assert "is on this node already" in _text(node_folder(collector, "second"), "55_*")
    assert podman_site.builds() == builds
    assert metric(collector, "runyard_snapshot_bytes_total") == sent
    assert podman_site.containers() == []
    assert not Path("/tmp/journal-of-the-sidecar").exists()  # what a manager writes elsewhere stays in the sidecar


def _check_contents(folder: Path, node: str, site: PodmanSite) -> None:
    built = _text(folder, "20_*")
    digest = re.search(r"digest: (sha256:[0-9a-f]{64})", built)
    assert digest
    assert f"registry: {site.registry}" in built
    assert "RUN echo built" in built
    host = _text(folder, "55_*")
    assert f"@{digest[1]}" in host
    assert "Copying blob" in host
    assert "runs in the container runyard-first" in host
    assert "has ended: exit_code=0" in host
    prepared = _text(folder, "65_*")
    for words in ("Fetching the code", "numbers", "Entering scratch", "enter mine", "Job preparation is complete"):
        assert words in prepared, words
    sidecar = folder / f"logs/azureml/sidecar/{node}"
    assert "in a container of its own" in (sidecar / "start_cms.txt").read_text()
    entered = (sidecar / "prep_cmd.txt").read_text()
    assert "Entering probe:Probe" in entered
    assert entered in prepared
    left = (sidecar / "release_cmd.txt").read_text()
    assert left.index("leave mine") < left.index("Leaving scratch")
    released = _text(folder, "75_*")
    assert left in released
    assert "The logs are shipped" in released
    assert re.search(r"The container runyard-first-[0-9a-f]{8} is removed", released)
    assert json.loads((folder / names.PROCESS_INFO).read_text())["pid_in_container"] > 0


def _text(folder: Path, pattern: str) -> str:
    (path,) = (folder / names.LOGS_DIR).glob(pattern)
    return path.read_text(errors="replace")


class Contained:
    """A container job that can be held in one of its phases."""

    def __init__(self, phased: PhasedFactory, site: PodmanSite, folder: Path, phase: str, *, sidecar: bool) -> None:
        self.phase, self.site = phase, site
        self.go = folder / "spool" / "r" / "outputs" / "go"
        steps = [f"RUN echo {folder.name} && sleep 2"] if phase == "image" else ["RUN true"]
        hold = {"preparation": "at_enter", "release": "at_leave"}.get(phase)
        options = {hold: "wait", "until": str(self.go)} if hold else {}
        spec = f'code = "code"\nsidecar = {str(sidecar).lower()}\n' + container(site, folder, *steps)
        spec += probe("first", self.go.parent / "journal", **options)
        self.run = phased(spec, *script(is_there(self.go) if phase == "driver" else "echo ran"))
        self.journal = self.go.parent / "journal"

    def hold(self) -> None:
        self.run.begin()
        self.run.wait_phase(self.phase)
        if self.phase == "image":
            wait_for(lambda: "STEP" in self.run.text("20"), "the build's first step")
        elif self.phase == "driver":
            wait_for(self.run.started, "the driver's start")
        elif self.phase != "execution":
            word = "enter first" if self.phase == "preparation" else "leave first"
            wait_for(lambda: self.journal.exists() and word in self.journal.read_text(), word)

    def nothing_is_left(self) -> None:
        wait_for(lambda: not self.run.leftovers(), "no process of the run is left")
        assert self.site.containers() == []
        assert self.site.mounts() == []
        assert self.run.mounts() == []
        assert not self.run.path(names.WORK_DIR).exists()

    def state(self) -> dict[str, Any]:
        return self.run.final_state()


PHASES = ["image", "execution", "preparation", "driver", "release"]


@pytest.mark.parametrize("phase", PHASES)
def test_the_agents_side_killed_in_a_phase_of_a_container_job_costs_it_nothing(
    phased: PhasedFactory,
    podman_site: PodmanSite,
    tmp_path: Path,
    phase: str,
) -> None:
    job = Contained(phased, podman_site, tmp_path, phase, sidecar=phase != "preparation")
    job.hold()
    run = job.run
    assert run.process is not None
    run.process.kill()
    run.process.communicate(timeout=30)
    os.kill(run.state()["shepherd_pid"], signal.SIGKILL)
    if run.started() and phase == "driver":
        os.kill(run.capture_pid(), signal.SIGKILL)
    for name in PHASES:
        for pid in run.phase_pids(name):
            os.kill(pid, signal.SIGKILL)
    job.go.touch()
    wait_for(lambda: ensure_shepherd(str(run.run_dir)) or run.state().get("ended_ns"), "another shepherd")
    state = job.state()
    assert (state["status"], state["exit_code"]) == ("Completed", 0), state["cause"]
    assert run.log() == (b"" if phase == "driver" else b"ran\n")
    job.nothing_is_left()


@pytest.mark.parametrize("phase", PHASES[:4])
def test_a_container_job_that_is_cancelled_in_a_phase_leaves_nothing(
    collector: CollectorProcess,
    phased: PhasedFactory,
    podman_site: PodmanSite,
    tmp_path: Path,
    phase: str,
) -> None:
    job = Contained(phased, podman_site, tmp_path, phase, sidecar=phase == "preparation")
    job.hold()
    assert job.run.process is not None
    job.run.process.send_signal(signal.SIGTERM)
    state = job.run.finish()
    assert state["status"] == "Canceled", state["cause"]
    assert "Job release is complete" in job.run.text("75")
    shown = json.loads(runyard(collector, "show", "r", "-o", "json"))
    assert (shown["status"], shown["is_complete"]) == ("Canceled", True)
    job.nothing_is_left()


@pytest.mark.parametrize(
    ("environment", "phase", "words"),
    [
        ('[environment]\nimage = "{registry}/none:1"\n', "execution", "none:1"),
        ('[environment]\nimage = "127.0.0.1:1/none:1"\n', "execution", "127.0.0.1:1"),
    ],
)
def test_an_image_that_cannot_be_had_fails_the_run_in_one_sentence(
    phased: PhasedFactory,
    podman_site: PodmanSite,
    environment: str,
    phase: str,
    words: str,
) -> None:
    run = phased(environment.format(registry=podman_site.registry) + "[retries]\nexecution = 1\n", "true")
    done = run.complete()
    assert done.returncode == 1
    state = run.state()
    assert (state["status"], state["failure"]["phase"]) == ("Failed", phase)
    assert words in state["cause"]
    assert b"Traceback" not in done.stderr
    assert words in run.text("55")


def test_a_command_that_the_image_does_not_have_is_the_runs_cause(
    phased: PhasedFactory,
    podman_site: PodmanSite,
    tmp_path: Path,
) -> None:
    run = phased(container(podman_site, tmp_path), "no-such-command")
    done = run.complete()
    assert done.returncode != 0
    assert run.state()["status"] == "Failed"
    assert podman_site.containers() == []


def test_a_containers_driver_is_captured_byte_for_byte(
    phased: PhasedFactory,
    podman_site: PodmanSite,
    tmp_path: Path,
) -> None:
    run = phased(
        container(podman_site, tmp_path), *script(r"printf 'a\rb\033[31m\000\377'; printf 'e\n' >&2; seq 100000; exit 7")
    )
    assert run.complete().returncode == 7
    out, err = run.split()
    assert out == b"a\rb\033[31m\0\377" + b"".join(b"%d\n" % number for number in range(1, 100001))
    assert err == b"e\n"


def test_a_runs_token_is_in_the_container_and_on_no_command_line(
    phased: PhasedFactory,
    podman_site: PodmanSite,
    tmp_path: Path,
) -> None:
    run: NodeRun = phased(
        container(podman_site, tmp_path), *script("echo ${#RUNYARD_TOKEN}; cat /proc/1/cmdline | head -c 4000")
    )
    done = run.complete()
    token = run.json(names.RUN_FILE)["run_token"]
    assert done.stdout.startswith(b"%d\n" % len(token))
    everything = b"".join(path.read_bytes() for path in run.run_dir.rglob("*.txt"))
    assert token.encode() not in everything
