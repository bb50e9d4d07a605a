"""The phases around a driver: each with its log and its state, taken up again after a kill, ended by a cancel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import names
from runyard.agent.launch import ensure_shepherd
from runyard.agent.stop import request_stop
from tests.agent.node_runs import NodeRun, is_alive
from tests.agent.phased_runs import PhasedRun, is_there, probe, script
from tests.waiting import wait_for

PLAIN = {"55", "65", "70", "75"}


def venv_that_waits(folder: Path, go: Path) -> str:
    """A venv whose one requirement cannot be built before `go` is there."""
    project = folder / "slow"
    project.mkdir()
    (project / "setup.py").write_text(
        f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
        "from setuptools import setup\nsetup(name='slow', version='1', py_modules=[])\n"
    )
    return '[environment]\nkind = "venv"\nrequirements = ["./slow --no-build-isolation"]\n'


class Staged:
    """A run that can be held in any of its phases until `go` is there."""

    def __init__(self, folder: Path, phase: str, *, sidecar: bool = False) -> None:
        self.go = folder / "go"
        self.phase = phase
        journal = folder / "journal"
        wait = {"until": str(self.go)}
        at_enter = {"at_enter": "wait"} | wait if phase == "preparation" else {}
        at_leave = {"at_leave": "wait"} | wait if phase == "release" else {}
        spec = (
            f'code = "code"\nsidecar = {str(sidecar).lower()}\n'
            + probe("first", journal)
            + probe("held", journal, **at_enter, **at_leave)
        )
        driver = script(is_there(self.go) if phase == "driver" else "true")
        self.run = PhasedRun(folder, spec, *driver)

    def hold(self) -> None:
        """Start it and come back when it stands still in its phase."""
        self.run.begin()
        self.run.wait_phase(self.phase)
        if self.phase == "driver":
            wait_for(self.run.started, "the driver's start")
        word = {"preparation": "enter held -", "release": "leave held token-of-held"}.get(self.phase)
        if word:
            wait_for(lambda: word in self.run.told(), f"the word {word}")

    def nothing_is_left(self) -> bool:
        assert not self.run.path(names.WORK_DIR).exists()
        return wait_for(lambda: not self.run.leftovers() and not self.run.mounts(), "nothing of the run is left")


HELD = ["preparation", "driver", "release"]


@pytest.fixture(params=HELD)
def held(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Staged]:
    staged = Staged(tmp_path, request.param)
    staged.hold()
    yield staged
    staged.go.touch()
    if staged.run.process is not None and staged.run.process.poll() is None:
        staged.run.process.communicate(timeout=60)


def test_a_plain_run_says_in_every_phases_log_what_there_was_to_do(tmp_path: Path) -> None:
    run = NodeRun(tmp_path, "true")
    assert run.complete().returncode == 0
    logs = {path.name[:2] for path in (run.run_dir / names.LOGS_DIR).glob("[0-9]*")}
    assert logs == PLAIN
    assert not (run.run_dir / names.SYSTEM_LOGS_DIR / "sidecar").exists()
    moves = [(move["status"], move["phase"]) for move in run.state()["transitions"]]
    assert moves == [
        ("Starting", ""),
        ("Provisioning", "execution"),
        ("Preparing", "preparation"),
        ("Running", "driver"),
        ("Finalizing", "release"),
        ("Completed", "release"),
    ]
    times = [move["wall_ns"] for move in run.state()["transitions"]]
    assert times == sorted(times)


def test_a_failed_driver_names_the_place_of_its_traceback(tmp_path: Path) -> None:
    run = NodeRun(tmp_path, "python3", "-c", "print('x' * 100)\nraise ValueError('no data')")
    assert run.complete().returncode == 1
    failure = run.state()["failure"]
    assert (failure["phase"], failure["log"]) == ("driver", names.driver_log(0, 1))
    said = run.log()[failure["start"] : failure["end"]]
    assert said.startswith(b"Traceback")
    assert said.endswith(b"ValueError: no data\n")


def test_a_killed_shepherd_is_followed_by_one_that_goes_on_in_the_same_phase(held: Staged) -> None:
    os.kill(held.run.state()["shepherd_pid"], signal.SIGKILL)
    held.go.touch()
    assert held.run.finish()["status"] == "Completed"
    assert held.run.told()[-1] == "leave first token-of-first"
    assert held.nothing_is_left()


def test_all_of_the_agents_side_killed_in_a_phase_costs_the_run_nothing(held: Staged) -> None:
    run = held.run
    assert run.process is not None
    run.process.kill()
    run.process.communicate(timeout=30)
    os.kill(run.state()["shepherd_pid"], signal.SIGKILL)
    for phase in ("preparation", "release"):
        for pid in run.phase_pids(phase):
            os.kill(pid, signal.SIGKILL)
    held.go.touch()
    wait_for(lambda: ensure_shepherd(str(run.run_dir)), "another shepherd")
    assert run.final_state()["status"] == "Completed"
    assert run.told()[-1] == "leave first token-of-first"
    assert held.nothing_is_left()


@pytest.mark.parametrize("phase", ["preparation", "driver"])
def test_a_sidecar_that_is_killed_is_followed_by_another_and_its_lines_come_once_into_the_phases_logs(
    tmp_path: Path, phase: str
) -> None:
    staged = Staged(tmp_path, phase, sidecar=True)
    staged.hold()
    run = staged.run
    for pid in run.phase_pids("preparation"):
        os.kill(pid, signal.SIGKILL)
    staged.go.touch()
    assert run.finish()["status"] == "Completed"
    (sidecar,) = (run.run_dir / names.SYSTEM_LOGS_DIR / "sidecar").iterdir()
    prepared = (sidecar / "prep_cmd.txt").read_text().splitlines()
    assert [line for line in run.text("65").splitlines() if line in prepared] == prepared
    assert run.told()[-1] == "leave first token-of-first"
    assert staged.nothing_is_left()


def test_a_phase_that_is_killed_again_and_again_fails_the_run_with_its_cause(tmp_path: Path) -> None:
    staged = Staged(tmp_path, "preparation")
    staged.hold()
    dead: set[int] = set()
    while staged.run.state().get("phase") == "preparation":
        for pid in set(staged.run.phase_pids("preparation")) - dead:
            dead.add(pid)
            os.kill(pid, signal.SIGKILL)
    state = staged.run.finish()
    assert state["status"] == "Failed"
    assert state["failure"]["phase"] == "preparation"
    assert "died 3 times" in state["cause"]
    place = state["failure"]
    assert b"enter held" in staged.run.path(place["log"]).read_bytes()[place["start"] : place["end"]]
    assert staged.nothing_is_left()


@pytest.mark.parametrize("sidecar", [False, True])
@pytest.mark.parametrize("phase", ["preparation", "driver"])
def test_a_cancelled_run_is_released_and_leaves_nothing(tmp_path: Path, phase: str, sidecar: bool) -> None:
    staged = Staged(tmp_path, phase, sidecar=sidecar)
    staged.hold()
    run = staged.run
    assert run.process is not None
    run.process.send_signal(signal.SIGINT)
    wait_for(lambda: run.state().get("status") != "Running", "another status than Running")
    state = run.finish()
    assert (state["status"], state["exit_code"]) == ("Canceled", 130)
    assert "CancelRequested" in [move["status"] for move in state["transitions"]]
    assert run.process.returncode == 130
    assert run.told()[-1] == "leave first token-of-first"
    assert "Job release is complete" in run.text("75")
    assert staged.nothing_is_left()


def test_a_cancel_during_release_lets_it_end(tmp_path: Path) -> None:
    staged = Staged(tmp_path, "release")
    staged.hold()
    request_stop(str(staged.run.run_dir), signal.SIGTERM, 0.2, "somebody asked")
    staged.go.touch()
    assert staged.run.finish()["status"] == "Completed"
    assert staged.run.told()[-1] == "leave first token-of-first"
    assert staged.nothing_is_left()


def test_a_venv_that_is_being_built_is_ended_by_a_cancel_and_taken_up_after_a_kill(tmp_path: Path) -> None:
    go = tmp_path / "go"
    spec = venv_that_waits(tmp_path, go)
    run = PhasedRun(tmp_path, spec, "python", "-c", "import sys; print(sys.prefix)", run_id="canceled")
    run.begin()
    run.wait_phase("image")
    wait_for(lambda: len(run.phase_pids("image")) > 1, "the builder")
    assert run.process is not None
    run.process.send_signal(signal.SIGTERM)
    assert run.finish()["status"] == "Canceled"
    assert not run.path(names.driver_log(0, 1)).exists()
    wait_for(lambda: not run.leftovers(), "nothing of the run is left")


def test_a_preparation_on_a_full_disk_fails_with_that_cause(tmp_path: Path) -> None:
    small, data = tmp_path / "small", tmp_path / "data"
    small.mkdir()
    data.mkdir()
    (data / "big").write_bytes(b"x" * (4 << 20))
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        spec = f'[datastores.big]\nurl = "file://{data}"\n'
        run = PhasedRun(tmp_path, spec, *script("echo never"), env={"RUNYARD_ENVIRONMENT__WORK_DIR": str(small)})
        done = run.complete()
        state = run.state()
        assert done.returncode == 1
        assert (state["status"], state["failure"]["phase"]) == ("Failed", "preparation")
        assert "full" in state["cause"]
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_local_datastore_is_mounted_read_only_and_taken_off_again(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    data = tmp_path / "data"
    data.mkdir()
    (data / "x").write_text("hello\n")
    spec = f'[datastores.my-data]\nurl = "file://{data}"\nmode = "mount"\n'
    command = "cat $RUNYARD_DATASTORE_MY_DATA/x; touch $RUNYARD_DATASTORE_MY_DATA/y || echo read-only"
    run = PhasedRun(tmp_path, spec, *script(command))
    assert run.complete().stdout == b"hello\nread-only\n"
    assert run.mounts() == []
    assert (data / "x").exists()


def test_a_datastore_that_cannot_be_unmounted_is_never_removed_with_the_work_folder(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    real, data = tmp_path / "real", tmp_path / "data"
    real.mkdir()
    data.mkdir()
    (tmp_path / "link").symlink_to(real)  # the kernel knows another path than we do
    (data / "precious").write_text("x")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "umount").write_text("#!/bin/sh\nexit 1\n")
    (tools / "umount").chmod(0o755)
    env = {"RUNYARD_ENVIRONMENT__WORK_DIR": str(tmp_path / "link"), "PATH": f"{tools}:{os.environ['PATH']}"}
    run = PhasedRun(tmp_path, f'[datastores.d]\nurl = "file://{data}"\nmode = "mount"\n', "true", env=env)
    assert run.complete().returncode == 1
    mounts = run.mounts()
    for place in mounts:
        subprocess.run(["umount", place], check=True)
    assert mounts
    assert (data / "precious").read_text() == "x"
    assert "still mounted" in run.state()["failure"]["cause"]


def test_code_is_brought_as_a_snapshot_and_what_it_writes_beside_outputs_is_told(tmp_path: Path) -> None:
    run = PhasedRun(
        tmp_path, 'code = "code"\n', *script("pwd; ls; echo a > outputs/model; echo b > logs/mine.txt; echo c > stray")
    )
    (run.code / ".amlignore").write_text("ignored\n")
    (run.code / "ignored").write_text("x")
    done = run.complete()
    assert done.returncode == 0
    assert b"probe.py" in done.stdout
    assert b"ignored\n" not in done.stdout
    assert run.path("outputs/model").read_text() == "a\n"
    assert run.path("logs/mine.txt").read_text() == "b\n"
    assert "stray" in run.text("75")


@pytest.mark.parametrize(("gpus", "seen"), [("0", b"[]\n"), ("2", b"[0,1]\n")])
def test_a_number_of_gpus_is_what_a_driver_on_the_host_sees(tmp_path: Path, gpus: str, seen: bytes) -> None:
    run = PhasedRun(tmp_path, "", *script("echo [$CUDA_VISIBLE_DEVICES]"), flags=("--gpus", gpus))
    assert run.complete().stdout == seen


def test_a_leftover_of_a_manager_is_ended_in_release(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "spawn.py").write_text(
        "import subprocess\n\n\nclass Spawn:\n    def __init__(self, job, *, note):\n        self.note = note\n\n"
        "    def __enter__(self):\n        self.child = subprocess.Popen(['sleep', '3600'])\n"
        "        open(self.note, 'w').write(str(self.child.pid))\n\n    def __exit__(self, *raised):\n        pass\n"
    )
    note = tmp_path / "note"
    spec = f'code = "code"\n[[context_managers]]\nuse = "spawn:Spawn"\noptions = {{ note = "{note}" }}\n'
    run = PhasedRun(tmp_path, spec, "true")
    assert run.complete().returncode == 0
    assert not is_alive(int(note.read_text()))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_spool_whose_disk_is_filled_by_preparation_still_ends_the_run_and_frees_it(tmp_path: Path, small_disk: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "big").write_bytes(b"x" * (8 << 20))
    run = PhasedRun(tmp_path, f'[datastores.big]\nurl = "file://{data}"\n', *script("echo never"), spool=small_disk)
    assert run.complete().returncode == 1
    assert run.state()["failure"]["phase"] == "preparation"
    assert "full" in run.state()["cause"]
    assert not run.path(names.WORK_DIR).exists()


def test_a_driver_that_fills_the_disk_with_its_work_still_ends_the_run_and_frees_it(tmp_path: Path, small_disk: Path) -> None:
    filling = "head -c 100000000 /dev/zero > checkpoint; exit 3"
    run = PhasedRun(tmp_path, 'code = "code"\n', *script(filling), spool=small_disk)
    assert run.complete().returncode == 3
    assert not run.path(names.WORK_DIR).exists()
    assert run.state()["status"] == "Failed"


def test_release_that_runs_out_of_time_over_a_manager_frees_the_rest_all_the_same(tmp_path: Path) -> None:
    journal, go = tmp_path / "journal", tmp_path / "never"
    spec = 'code = "code"\n' + probe("slow", journal, timeout="60s", at_leave="wait", until=str(go))
    run = PhasedRun(tmp_path, spec + '[limits]\nrelease = "1s"\n', "true")
    assert run.complete().returncode == 1
    assert run.state()["failure"]["phase"] == "release"
    assert not run.path(names.WORK_DIR).exists()
    assert run.leftovers() == []


def test_a_phase_that_was_asked_to_stop_before_it_began_ends_without_a_traceback(tmp_path: Path) -> None:
    staged = Staged(tmp_path, "preparation")
    run = staged.run
    run.launch()
    wait_for(lambda: run.path(names.RUN_FILE).exists(), "the run")
    request_stop(str(run.run_dir), signal.SIGTERM, 5.0, "somebody asked")
    assert run.finish()["status"] == "Canceled"
    logs = "".join(path.read_text(errors="replace") for path in run.run_dir.glob("azureml-logs/*.txt"))
    assert "Traceback" not in logs
