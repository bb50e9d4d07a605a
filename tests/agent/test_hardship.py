"""What goes wrong on real nodes at three in the morning: a full disk, a closed terminal, pids that come back, odd signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import names
from runyard.agent import launch
from runyard.agent.drivers import Drivers
from runyard.agent.local_run import LocalRun
from runyard.agent.spool import NewRun, RunSpec
from runyard.agent.stop import read_stop, request_stop
from tests.waiting import wait_for

from .node_runs import LOG, NodeRun, is_alive


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.needs_system("mount")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_a_full_disk_costs_neither_the_exit_code_nor_the_run(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    script = "import os, sys\ntry:\n    while True: os.write(1, b'x' * 4096)\nexcept OSError:\n    sys.exit(7)"
    run = NodeRun(small_disk / "spool", sys.executable, "-c", script)
    process = run.start()
    driver = run.started()["pid"]
    wait_for(lambda: not is_alive(driver), "the driver's end")
    ballast.unlink()
    process.communicate(timeout=30)
    assert process.returncode == 7
    assert run.state()["status"] == "Failed"
    assert set(run.log()) == {ord("x")}


@pytest.fixture
def odd_mount(tmp_path: Path) -> Iterator[Path]:
    """A file system at a path that is no text."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.needs_system("mount")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
@pytest.mark.usefixtures("odd_mount")
def test_a_mount_whose_path_is_no_text_ends_no_capture(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "sleep 0.3; exit 4", env={"LC_ALL": "C.UTF-8"})
    assert run.complete().returncode == 4
    assert run.path(names.SHEPHERD_ERRORS).read_text() == ""


def test_a_driver_that_kills_its_capture_keeps_its_exit_code(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "echo before; kill -9 $PPID; echo after; exit 5")
    result = run.complete()
    assert result.returncode == 5
    assert run.split()[0] == b"before\nafter\n"


def test_orphans_do_not_pile_up_as_zombies_while_the_driver_runs(spool: Path) -> None:
    script = "for i in $(seq 50); do (sleep 0 &); done; sleep 0.5; ps -o stat= --ppid $PPID | grep -c Z; true"
    assert int(NodeRun(spool, "bash", "-c", script).complete().stdout) < 5


def test_a_pid_that_came_back_after_a_reboot_is_nobody_of_ours(spool: Path) -> None:
    run = NodeRun(spool, "sleep", "1000")
    process = run.start()
    parts = (process.pid, run.state()["shepherd_pid"], run.capture_pid(), run.started()["pid"])
    for pid in parts:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    try:
        started = run.started() | {"boot_id": "an-earlier-one", "pid": stranger.pid}
        run.path(names.process_dir(0) + "/started.json").write_text(json.dumps(started))
        request_stop(str(run.run_dir), signal.SIGKILL, 0.0, "a test")
        wait_for(lambda: launch.ensure_shepherd(str(run.run_dir)) or launch.is_over(str(run.run_dir)), "a shepherd")
        run.final_state()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_two_signals_at_once_end_the_run_and_not_the_wrapper(spool: Path) -> None:
    run = NodeRun(spool, "sleep", "1000")
    process = run.start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode in (130, 137, 143)
    assert b"Traceback" not in error
    assert run.state()["status"] == "Canceled"


def test_a_ctrl_c_after_the_time_limit_changes_nothing_but_the_haste(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "trap '' TERM INT; while :; do sleep 0.1; done", flags=("--timeout", "0.3"))
    run.env["RUNYARD_RUN__GRACE_S"] = "20"
    process = run.start()
    wait_for(lambda: read_stop(str(run.run_dir)), "the time limit")
    process.send_signal(signal.SIGINT)
    wait_for(lambda: read_stop(str(run.run_dir)), "the first one")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=15)
    assert process.returncode == 124
    assert run.state()["status"] == "Failed"


def test_a_stop_written_by_hand_is_understood(spool: Path) -> None:
    run = NodeRun(spool, "sleep", "1000")
    process = run.start()
    run.path(names.STOP_FILE).write_text('{"signal": 15, "reason": "by hand"}')
    process.communicate(timeout=30)
    assert process.returncode == 143
    assert run.state()["cause"] == "by hand"


def test_a_relative_spool_is_where_the_user_stands(tmp_path: Path) -> None:
    run = NodeRun(tmp_path / "spool", "echo", "hi", env={"RUNYARD_SPOOL__DIR": "spool"})
    assert run.complete(cwd=tmp_path).stdout == b"hi\n"
    assert run.log() == b"hi\n"


def test_a_stderr_that_nobody_reads_stops_no_training(spool: Path, tmp_path: Path) -> None:
    run = NodeRun(spool, "touch", str(tmp_path / "trained"))
    process = subprocess.Popen(run.argv, env=run.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.close()
    assert process.wait(30) == 0
    assert (tmp_path / "trained").exists()


def test_a_limit_on_file_sizes_is_the_drivers_alone(spool: Path) -> None:
    script = (
        "import os, sys\nos.write(2, b'e' * 2000)\nos.write(1, b'o' * 30000)\nos.write(1, b'o' * 100000)\nos.write(1, b'o')"
    )
    run = NodeRun(spool, sys.executable, "-c", script)
    run.argv = ["bash", "-c", 'ulimit -S -f 64; exec "$@"', "bash", *run.argv]
    begun_s = time.monotonic()
    result = run.complete()
    assert result.returncode == 1, "the driver was told EFBIG"
    assert time.monotonic() - begun_s < 20
    out, err = run.split()
    assert out == b"o" * 65536 or out == b"o" * (65536 - 2000)
    assert err.startswith(b"e" * 2000)


def test_closed_descriptors_are_never_files_of_ours(spool: Path) -> None:
    run = NodeRun(spool, "sh", "-c", "readlink /proc/self/fd/0; exit 3")
    closed = subprocess.run(
        ["bash", "-c", '"$@" <&- 2>&-', "bash", *run.argv], env=run.env, stdout=subprocess.PIPE, timeout=60, check=False
    )
    assert closed.returncode == 3
    assert closed.stdout == b"/dev/null\n"
    assert run.path(names.SPOOL_LOCK).read_bytes() == b""


def test_a_folder_that_is_removed_ends_the_wrapper_with_a_sentence(spool: Path) -> None:
    run = NodeRun(spool, "sleep", "1000")
    process = run.start()
    driver, shepherd, capture = run.started()["pid"], run.state()["shepherd_pid"], run.capture_pid()
    subprocess.run(["rm", "-rf", str(run.run_dir)], check=True)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"was removed while it ran" in error
    assert is_alive(driver)
    os.kill(driver, signal.SIGKILL)
    wait_for(lambda: not is_alive(shepherd), "the end of a shepherd that can tell nobody anything")
    wait_for(lambda: not is_alive(capture), "its capture's end")


def test_what_is_left_behind_is_told_in_the_system_log(spool: Path) -> None:
    run = NodeRun(spool, "bash", "-c", "sleep 1000 & echo now")
    assert run.complete().returncode == 0
    assert "has left processes behind" in run.path(names.SYSTEM_LOG).read_text()
    assert run.path(LOG).read_bytes() == b"now\n"


def test_a_disk_that_takes_nothing_for_a_moment_costs_no_process_its_turn(spool: Path) -> None:
    """A driver that is not to be started gets its exit.json, if only at the second try."""
    environment = dict(os.environ)
    new = NewRun(spool, RunSpec(run_id="r", experiment="e", argv=["true"], environment=environment, cwd="/"))
    new.commit()
    new.lock.release()
    local = LocalRun(str(new.run_dir))
    local.ask_stop(signal.SIGTERM, "a test asks")
    drivers = Drivers(local, os.open(os.devnull, os.O_RDONLY), time.time_ns(), lambda: None)
    directory = Path(drivers.processes[0].directory)
    in_the_way = directory / f"exit.json.{os.getpid()}-{threading.get_ident()}.tmp"  # as atomic.py calls it
    in_the_way.mkdir(parents=True)
    with pytest.raises(OSError, match=r"exit\.json"):
        drivers.step()
    in_the_way.rmdir()
    drivers.step()
    assert json.loads((directory / "exit.json").read_text())["exit_code"] is None
    os.waitpid(drivers.processes[0].capture_pid, 0)
    assert (directory / "captured").exists()
