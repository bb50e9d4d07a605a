"""A driver in a container, and a sidecar in one, as podman starts them: what they see, as whom, and what is told of them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent import container
from runyard.spec import CONTAINER, Environment, Spec
from tests.agent.node_runs import is_alive
from tests.agent.phased_runs import PhasedRun, is_there, probe, script
from tests.agent.phases.phase_run import PhaseRun
from tests.podman_site import PodmanSite, make_context
from tests.waiting import wait_for

pytestmark = pytest.mark.needs_system("podman runc docker-registry busybox-static")

Make = Callable[..., PhasedRun]
MARK = "0123456789abcdef"


@pytest.fixture(scope="module")
def image(podman_site: PodmanSite, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image of a user who thought of another one, with a working directory of its own; on this node already."""
    steps = (
        "RUN mkdir -p /home/ada /place && echo of-the-image > /place/file",
        "WORKDIR /place",
        "ENV HOME=/home/ada",
        "USER 1000",
    )
    name = f"{podman_site.registry}/test/container"
    digest = podman_site.push_new("test/container", tmp_path_factory.mktemp("context"), *steps)
    podman_site.podman("pull", f"{name}@{digest}")
    return f"{name}@{digest}"


@pytest.fixture
def make(podman_site: PodmanSite, tmp_path: Path, image: str) -> Make:
    """Makes runs in a container of that image."""

    def made(spec: str, *command: str, env: dict[str, str] | None = None, **options: Any) -> PhasedRun:
        top, bracket, tables = spec.partition("[")
        text = f'{top}[environment]\nimage = "{image}"\n{bracket}{tables}'
        return PhasedRun(tmp_path, text, *command, env=podman_site.environ | (env or {}), **options)

    return made


@pytest.fixture
def here(podman_site: PodmanSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's own podman is the site's."""
    for name, value in podman_site.environ.items():
        monkeypatch.setenv(name, value)


class Started:
    """A container that this process has started as capture does, with its output."""

    def __init__(self, folder: Path, image: str, argv: list[str], env: dict[str, str], name: str = "runyard-test") -> None:
        self.pid_file = folder / "container.pid"
        self.variables = folder / container.VARIABLES_FILE
        self.name = name
        wanted = {"name": name, "image": image, "flags": [container.label_flag({"mark": MARK})], "volumes": []}
        self.argv = container.run_argv(argv, env, "", wanted | {"pid_file": str(self.pid_file)})
        self.mode = self.variables.stat().st_mode & 0o777
        self.out = folder / "out"
        with self.out.open("wb") as out:
            container.start(self.argv, env, out.fileno(), out.fileno())

    def said(self) -> str:
        container.final_state(self.name)
        return self.out.read_text()


@pytest.mark.usefixtures("here")
def test_a_drivers_variables_are_on_no_command_line_and_not_podmans_own(
    tmp_path: Path, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "my-own-secret")
    env = {"WANDB_API_KEY": "the-runs-secret", "PATH": "/bin:/none", "LD_PRELOAD": "/no/such/library.so", "EMPTY": ""}
    env |= {"SPACED": '  a "b" # c ', "KEY": "-----BEGIN\nsecret-line\n-----END\n"}
    try:
        started = Started(tmp_path, image, ["env"], env)
        said = started.said()
    finally:
        container.remove(["runyard-test"], 0)
    for name, value in env.items():
        assert f"{name}={value}\n" in said
    assert "secret" not in " ".join(started.argv)
    assert "library.so" not in " ".join(started.argv)
    assert "cannot be preloaded" not in said  # the loader of podman's own processes would say so
    assert started.mode == 0o600
    assert not started.variables.exists()


@pytest.mark.usefixtures("here")
def test_a_value_of_several_lines_that_podman_would_obey_is_refused(tmp_path: Path, image: str) -> None:
    with pytest.raises(container.ContainerError, match="the variable LD_PRELOAD cannot be given"):
        Started(tmp_path, image, ["env"], {"LD_PRELOAD": "a\nb"})


@pytest.mark.usefixtures("here")
def test_only_containers_of_the_run_are_known_as_its_own_and_removed(
    podman_site: PodmanSite, tmp_path: Path, image: str
) -> None:
    podman_site.podman("create", "--name=foreign", image, "true")
    try:
        Started(tmp_path, image, ["true"], {})
        assert container.is_ours("runyard-test", MARK)
        assert not container.is_ours("runyard-test", "another")
        assert not container.is_ours("foreign", MARK)
        assert not container.is_ours("none-such", MARK)
        assert container.remove(["runyard-test", "foreign", "none-such"], 0, mark="another") == []
        assert container.remove(["runyard-test", "foreign", "none-such"], 0, mark=MARK) == ["runyard-test"]
        assert container.state("foreign") is not None
    finally:
        podman_site.podman("rm", "--force", "--ignore", "foreign", "runyard-test")


@pytest.mark.parametrize("where", ["/", "/usr"])
def test_without_a_cwd_the_driver_starts_where_the_image_says_and_nothing_of_the_node_is_mounted_there(
    make: Make, where: str
) -> None:
    done = make("", *script("pwd; cat file; ls /usr 2>&1")).complete(cwd=where)
    assert done.stdout == b"/place\nof-the-image\nls: /usr: No such file or directory\n"


def test_a_cwd_of_the_images_own_is_not_covered_by_the_nodes(make: Make) -> None:
    run = make('cwd = "/etc"\n', *script("pwd; ls -d apt passwd 2>&1"))
    assert run.complete().stdout == b"/etc\nls: apt: No such file or directory\npasswd\n", run.text("55")
    assert ":/etc:" not in run.text("55")


def test_a_cwd_that_was_named_is_the_nodes(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "file").write_text("of the node\n")
    run = make(f'cwd = "{folder}"\n', *script("cat file; pwd"))
    assert run.complete().stdout.decode() == f"of the node\n{folder}\n"


def test_a_container_writes_its_outputs_and_its_home_whatever_user_the_image_names(make: Make) -> None:
    run = make("", *script("echo model > $RUNYARD_OUTPUT_DIR/model && touch $HOME/.cache && id -u"))
    assert run.complete().stdout == b"0\n"
    model = run.path("outputs/model")
    assert model.read_text() == "model\n"
    assert model.stat().st_uid == os.getuid()


def test_a_container_has_what_the_sdk_records_by(make: Make) -> None:
    record = '["m","","loss",0.5,null,1764417000000]'
    run = make(
        "", *script(f"echo '{record}' > $RUNYARD_TRACKING_DIR/7-aa.jsonl && touch $RUNYARD_BLOBS_DIR/b; echo $RUNYARD_RUN_ID")
    )
    assert run.complete().stdout == b"r\n"
    journal = run.path(f"{names.TRACKING_DIR}/7-aa.jsonl")
    assert journal.read_text() == f"{record}\n"
    assert journal.stat().st_uid == os.getuid()
    assert run.path(f"{names.BLOBS_DIR}/b").exists()


def test_mlflow_in_a_container_finds_the_run(make: Make) -> None:
    run = make("", *script('env | grep MLFLOW_RUN_ID; wget -q -O - "$MLFLOW_TRACKING_URI/health"'))
    assert run.complete().stdout == b"MLFLOW_RUN_ID=r\nOK"
    assert run.json(names.LOOPBACK_FILE)["port"]


def test_a_folder_that_is_not_the_runs_is_not_mounted_though_it_lies_where_the_work_folder_would(
    make: Make, tmp_path: Path
) -> None:
    mine = tmp_path / "shared/r"
    mine.mkdir(parents=True)
    run = make("", *script(f"ls {mine}"), env={"RUNYARD_ENVIRONMENT__WORK_DIR": str(mine.parent)})
    assert run.complete().returncode != 0
    assert mine.exists()


def test_the_variables_file_of_a_killed_capture_goes_in_release(make: Make, tmp_path: Path) -> None:
    go = tmp_path / "spool/r/outputs/go"
    run = make("", *script(is_there(go)))
    run.start()
    left = run.path(names.process_dir(0)) / f"{container.VARIABLES_FILE}.1-1.tmp"
    left.write_text("SECRET=1\n")
    go.touch()
    assert run.finish()["status"] == "Completed"
    assert not left.exists()


def test_release_clears_what_a_killed_build_has_left(podman_site: PodmanSite, tmp_path: Path) -> None:
    make_context(tmp_path / "context", f"RUN echo {tmp_path.name} has-begun; exec sleep 1235.5")
    built = Environment(
        kind=CONTAINER, containerfile=str(tmp_path / "context/Containerfile"), context=str(tmp_path / "context")
    )
    run = PhaseRun(tmp_path / "r", Spec(environment=built), cache_dir=tmp_path / "cache", environ=podman_site.environ)
    (run.run_dir / names.RUN_FILE).write_text(json.dumps(run.run | {"key": "k"}))
    with run.started("image") as process:
        wait_for(lambda: f"\n{tmp_path.name} has-begun\n" in run.image_log(), "the build")
        process.kill()
    run.wait_for_end_of_tools()
    assert podman_site.containers() != []
    run.done("release")
    assert podman_site.containers() == []
    assert podman_site.mounts() == []
    assert subprocess.run(["pgrep", "-f", "sleep 1235.5"], check=False).returncode == 1


@pytest.fixture(params=["behind a link", "below /opt"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A spool that lies where a container's mounts are not plain."""
    if request.param == "behind a link":
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        yield tmp_path / "link/spool"
        return
    if not os.access("/opt", os.W_OK):
        pytest.skip("needs_system(root): /opt cannot be written")
    folder = Path(tempfile.mkdtemp(prefix="runyard-", dir="/opt"))
    yield folder / "spool"
    shutil.rmtree(folder)


READER = """
from pathlib import Path
class Reader:
    def __init__(self, job, *, secrets):
        self.job, self.secrets = job, secrets
    def __enter__(self):
        values = self.job.secrets(self.secrets)
        self.job.say(f"the secret has {len(values['key'])} characters")
        return self
    def __exit__(self, *raised):
        pass
"""


def test_the_sidecar_sees_what_preparation_and_release_need_wherever_it_lies(make: Make, spool: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/one.csv").write_text("1,2\n")
    (tmp_path / "data-link").symlink_to("data")
    (tmp_path / "key-of-7").write_text("1234567")
    spec = (
        'code = "code"\nsidecar = true\n'
        f'[datastores.one]\nurl = "file://{tmp_path}/data/one.csv"\n[datastores.all]\nurl = "{tmp_path}/data-link"\n'
        f'[[context_managers]]\nuse = "reader:Reader"\noptions = {{ secrets = {{ key = "file:{tmp_path}/key-of-7" }} }}\n'
        f'[[context_managers]]\nuse = "output_upload"\noptions = {{ url = "file://{tmp_path}/exports/new" }}\n'
        '[[context_managers]]\nuse = "resource_sampling"\noptions = { interval_s = 0.1 }\n'
    )
    command = "cat $RUNYARD_DATASTORE_ONE/one.csv $RUNYARD_DATASTORE_ALL/one.csv; echo model > outputs/model; sleep 0.5"
    run = make(spec, *script(command), spool=spool)
    (run.code / "reader.py").write_text(READER)
    done = run.complete()
    assert done.returncode == 0, (run.text("65"), done.stderr)
    assert done.stdout == b"1,2\n1,2\n"
    assert "the secret has 7 characters" in run.text("65")
    assert (tmp_path / "exports/new/r/model").read_text() == "model\n"
    samples = [
        json.loads(line) for path in run.path("logs/azureml").glob("resources-*") for line in path.read_text().splitlines()
    ]
    assert max(one["memory_bytes"] for sample in samples for one in sample["processes"]) > 0


def test_a_sidecar_that_podman_cannot_start_fails_the_run_in_podmans_own_words(
    make: Make, podman_site: PodmanSite, tmp_path: Path
) -> None:
    conf = tmp_path / "containers.conf"
    whole = Path(podman_site.environ["CONTAINERS_CONF"]).read_text()
    conf.write_text(whole.replace("[containers]", '[containers]\ndefault_capabilities = ["NO_SUCH_CAPABILITY"]'))
    run = make('code = "code"\nsidecar = true\n', "true", env={"CONTAINERS_CONF": str(conf)})
    assert run.complete().returncode == 1
    state = run.state()
    assert state["failure"]["phase"] == "preparation"
    assert "podman cannot start the sidecar" in state["cause"]
    assert "NO_SUCH_CAPABILITY" in state["cause"]
    assert podman_site.containers() == []


CHILD = """
import os, subprocess
class Child:
    def __init__(self, job, *, note):
        self.note = note
    def __enter__(self):
        child = subprocess.Popen(["sleep", "600"], env={"PATH": os.environ["PATH"]}, start_new_session=True)
        with open(self.note, "w") as file:
            file.write(str(child.pid))
        return self
    def __exit__(self, *raised):
        pass
"""


@pytest.mark.row("A14")
def test_a_sidecar_that_is_killed_takes_all_in_it_along_and_release_leaves_its_managers_in_its_log(
    make: Make, podman_site: PodmanSite, tmp_path: Path
) -> None:
    outputs = tmp_path / "spool/r/outputs"
    child = f'[[context_managers]]\nuse = "child:Child"\noptions = {{ note = "{outputs}/child" }}\n'
    run = make(
        'code = "code"\nsidecar = true\n' + probe("mine", outputs / "journal") + child, *script(is_there(outputs / "go"))
    )
    (run.code / "child.py").write_text(CHILD)
    run.start()
    pid = int((outputs / "child").read_text())
    assert is_alive(pid)
    for one in run.phase_pids("preparation"):
        os.kill(one, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "the end of what was in the sidecar")
    (outputs / "go").touch()
    assert run.finish()["status"] == "Completed"
    left = run.path(names.sidecar_log(run.json(names.RUN_FILE)["node_id"], "release_cmd")).read_text()
    assert "The sidecar is gone" in left
    assert "Leaving probe:Probe" in left
    assert "leave mine" in left
    assert left in run.text("75")
    assert (outputs / "journal").read_text().splitlines() == ["enter mine -", "leave mine token-of-mine"]
    assert podman_site.containers() == []


def test_several_drivers_have_a_container_each_with_their_rank_and_none_is_left(make: Make, podman_site: PodmanSite) -> None:
    flags = ("--nproc-per-node", "2", "--distribution", "pytorch", "--env", "MASTER_PORT=7")
    run = make("", *script("echo $RANK $WORLD_SIZE $LOCAL_RANK $MASTER_ADDR:$MASTER_PORT; exit $RANK"), flags=flags)
    done = run.complete()
    assert done.returncode == 1, done.stderr
    logs = [run.path(names.driver_log(rank, 2)).read_text() for rank in (0, 1)]
    assert logs == ["0 2 0 127.0.0.1:7\n", "1 2 1 127.0.0.1:7\n"]
    assert run.state()["cause"] == "rank 1: exit code 1"
    ours = [container.driver_name(run.json(names.RUN_FILE), rank) for rank in (0, 1)]
    assert len(set(ours)) == 2
    for name in ours:
        assert f"The container {name} is removed." in run.text("75")
        assert podman_site.podman("ps", "--all", "--quiet", f"--filter=name={name}").strip() == ""
