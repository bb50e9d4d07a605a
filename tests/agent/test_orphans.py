"""After a run's end nothing of it is left on the node: it is freed, and what cannot be is told in a sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from runyard import names
from runyard.agent.orphans import GpuUse, left_behind
from runyard.atomic import write_json
from tests.collector.small_disk import mounted

# It marks itself ready, and does not end when it is asked to.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run that has ended on this node."""
    folder = tmp_path / "r"
    (folder / names.PRIVATE_DIR).mkdir(parents=True)
    write_json(str(folder / names.RUN_FILE), _run(folder))
    return folder


def _run(folder: Path) -> dict[str, object]:
    created_ns = time.time_ns() - 10**9
    return {"run_id": "r", "mark": f"mark{os.getpid()}", "created_ns": created_ns, "placement": {"gpus": [0]}, "work_dir": ""}


@contextmanager
def _process(*, mark: str = "") -> Iterator[subprocess.Popen[bytes]]:
    env = dict(os.environ) | ({"RUNYARD_RUN_MARK": mark} if mark else {})
    with subprocess.Popen([sys.executable, "-c", STUBBORN], env=env, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout
            child.stdout.readline()
            yield child
        finally:
            child.kill()


def test_processes_that_carry_the_runs_mark_are_killed_and_no_others(run_dir: Path) -> None:
    with _process(mark=f"mark{os.getpid()}") as own, _process(mark="another") as other:
        assert left_behind(run_dir) == []
        assert own.wait(5) == -9
        assert other.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs_system(root): only root may end what is another user's")
def test_a_run_json_that_its_user_has_changed_ends_nobody_elses_processes(run_dir: Path) -> None:
    subprocess.run(["chown", "-hR", "65534:65534", str(run_dir)], check=True)
    for folder in run_dir.parents:  # pytest's own folders are the tests' user's alone
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    with _process(mark=f"mark{os.getpid()}") as other:
        assert left_behind(run_dir) == []
        assert other.poll() is None


@pytest.mark.needs_system("cgroups")
def test_whatever_is_in_the_runs_scope_is_killed_with_what_it_has_started(run_dir: Path) -> None:
    with ExitStack() as stack:
        group = stack.enter_context(_group(run_dir.parent / "groups"))
        inner = group / "inner"
        inner.mkdir()
        children = [stack.enter_context(_process()) for _ in range(2)]
        (group / "cgroup.procs").write_text(str(children[0].pid))
        (inner / "cgroup.procs").write_text(str(children[1].pid))
        assert left_behind(run_dir, groups=lambda run_dir: [group, group.with_name("gone")]) == []
        assert [child.wait(5) for child in children] == [-9, -9]
        inner.rmdir()


@contextmanager
def _group(place: Path) -> Iterator[Path]:
    """A control group of version 2."""
    place.mkdir()
    done = subprocess.run(["mount", "-t", "cgroup2", "none", str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs_system(cgroups): no cgroup2 can be mounted here: {done.stderr.strip()}")
    group = place / f"runyard-test-{os.getpid()}"
    try:
        group.mkdir()
        yield group
    finally:
        group.rmdir()
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_what_is_mounted_in_the_runs_folder_is_taken_off(run_dir: Path) -> None:
    with ExitStack() as stack:
        place = run_dir / "work data"
        stack.callback(lambda: subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False))
        with mounted(run_dir.parent / "theirs") as theirs:
            place.mkdir()
            subprocess.run(["mount", "--bind", str(theirs), str(place)], check=True)
            (theirs / "data").write_bytes(b"a person's")
            assert left_behind(run_dir) == []
            assert not place.is_mount()
            assert (theirs / "data").read_bytes() == b"a person's"


def test_a_process_on_its_gpu_that_may_be_a_persons_is_told_of_and_not_ended(run_dir: Path) -> None:
    with _process() as stray, _process(mark="another") as other:
        uses = [GpuUse(0, (stray.pid, other.pid)), GpuUse(1, (stray.pid,))]
        (sentence,) = left_behind(run_dir, gpus=lambda: uses)
        assert sentence.startswith("run r: GPU 0, which it had, is used by")
        assert f"{stray.pid} (" in sentence
        assert str(other.pid) not in sentence
        assert stray.poll() is None


def test_a_shepherd_that_lives_on_is_told_of(run_dir: Path) -> None:
    script = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); time.sleep(600)"
    )
    lock = run_dir / names.SHEPHERD_LOCK
    with subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            holder.stdout.readline()
            assert left_behind(run_dir) == ["run r: its shepherd has said its last word and does not end"]
        finally:
            holder.kill()
    assert left_behind(run_dir) == []


def test_a_folder_that_is_no_run_has_left_nothing(tmp_path: Path) -> None:
    assert left_behind(tmp_path) == []


@pytest.mark.needs_system("podman")
def test_where_podman_fails_the_containers_are_in_doubt_and_that_is_told(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("podman") is None:
        pytest.skip("needs_system(podman)")
    write_json(str(run_dir / names.RUN_FILE), _run(run_dir) | {"spec": {"environment": {"kind": "container"}}})
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(run_dir / "none"))  # podman itself refuses to work without it
    (sentence,) = left_behind(run_dir)
    assert "podman cannot say whether containers of it are left" in sentence
