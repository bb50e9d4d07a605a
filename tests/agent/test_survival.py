"""Promise 4 on the node: kill -9 of any part of ours ends no training, loses no byte, no exit code, and tells no lie."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from runyard import names
from runyard.agent import launch, proctree
from runyard.agent.spool import SpoolLock
from tests.waiting import wait_for

from .node_runs import NodeRun, is_alive

# Prints numbered lines on both streams until the file `go` is there, then ends with exit code 9.
DRIVER = """
import os, sys, time
n = 0
while not os.path.exists(sys.argv[1]):
    n += 1
    print("out", n, flush=True)
    if n % 3 == 0:
        print("err", n, file=sys.stderr, flush=True)
    time.sleep(0.001)
print("last", n)
sys.exit(9)
"""


class Training(NodeRun):
    """A run that goes on until it is let go."""

    def __init__(self, tmp_path: Path) -> None:
        self.go = tmp_path / "go"
        super().__init__(tmp_path / "spool", sys.executable, "-u", "-c", DRIVER, str(self.go))

    def lines_out(self) -> int:
        return self.log().count(b"out ")

    def wait_for_more(self) -> None:
        """The driver is neither dead nor blocked."""
        before = self.lines_out()
        wait_for(lambda: self.lines_out() > before + 20, "more output")

    def wait_for_other(self, part: str, dead: int) -> None:
        """A new process has taken the dead one's place."""
        pid = self.capture_pid if part == "capture" else lambda: int(self.state()["shepherd_pid"])
        wait_for(lambda: pid() != dead, f"another {part}")

    def check_complete(self) -> None:
        """Every line is there once, in order, on its own stream."""
        out, err = self.split()
        last = int(out.split()[-1])
        assert out == b"".join(b"out %d\n" % n for n in range(1, last + 1)) + b"last %d\n" % last
        assert err == b"".join(b"err %d\n" % n for n in range(3, last + 1, 3))


@pytest.fixture
def training(tmp_path: Path) -> Training:
    return Training(tmp_path)


def supervise(run: NodeRun) -> None:
    """What whoever holds the spool's lock does: start the shepherd again until the run is over."""

    def is_over() -> bool:
        launch.ensure_shepherd(str(run.run_dir))
        return launch.is_over(str(run.run_dir))

    wait_for(is_over, "the run's end")


def test_a_killed_wrapper_costs_nothing_but_its_echo(training: Training) -> None:
    process = training.start()
    process.kill()
    process.communicate()
    training.wait_for_more()
    assert SpoolLock(training.run_dir).acquire(), "a dead wrapper's spool can be adopted"
    training.go.touch()
    assert training.final_state()["exit_code"] == 9
    training.check_complete()


def test_a_killed_shepherd_is_started_again_by_the_wrapper(training: Training) -> None:
    process = training.start()
    for _ in range(3):
        shepherd = training.state()["shepherd_pid"]
        os.kill(shepherd, signal.SIGKILL)
        training.wait_for_more()
        training.wait_for_other("shepherd", shepherd)
    training.go.touch()
    process.communicate(timeout=30)
    assert process.returncode == 9
    training.check_complete()
    assert [line["status"] for line in training.lines(names.PROCESS_STATUS)] == ["Started", "Failed", "Failed"]


def test_a_killed_capture_loses_neither_bytes_nor_the_exit_code(training: Training) -> None:
    process = training.start()
    for _ in range(3):
        dead = training.capture_pid()
        os.kill(dead, signal.SIGKILL)
        training.wait_for_more()
        training.wait_for_other("capture", dead)
    training.go.touch()
    process.communicate(timeout=30)
    assert process.returncode == 9
    training.check_complete()


def test_wrapper_and_shepherd_killed_together_lose_nothing(training: Training) -> None:
    process = training.start()
    os.kill(training.state()["shepherd_pid"], signal.SIGKILL)
    process.kill()
    process.communicate()
    training.wait_for_more()
    training.go.touch()
    wait_for(lambda: training.path(names.process_dir(0) + "/captured").exists(), "the capture's end")
    supervise(training)
    assert training.final_state()["exit_code"] == 9
    training.check_complete()


def test_shepherd_and_capture_killed_together_lose_the_exit_code_and_say_so(training: Training) -> None:
    process = training.start()
    capture = training.capture_pid()
    shepherd = training.state()["shepherd_pid"]
    os.kill(shepherd, signal.SIGSTOP)  # so that it cannot take over in between
    os.kill(capture, signal.SIGKILL)
    os.kill(shepherd, signal.SIGKILL)
    training.wait_for_more()
    training.go.touch()
    process.communicate(timeout=30)
    assert process.returncode == 1
    state = training.state()
    assert (state["status"], state["exit_code"]) == ("Failed", None)
    assert "exit code is lost" in state["cause"]
    training.check_complete()


def test_a_run_whose_wrapper_and_shepherd_died_can_still_be_stopped(training: Training) -> None:
    process = training.start()
    driver = training.started()["pid"]
    os.kill(training.state()["shepherd_pid"], signal.SIGKILL)
    process.kill()
    process.communicate()
    from runyard.agent.stop import request_stop

    request_stop(str(training.run_dir), signal.SIGTERM, 1.0, "a test")
    supervise(training)
    assert not is_alive(driver)
    assert training.state()["status"] == "Canceled"


def test_a_run_that_was_committed_but_never_started_is_started_by_who_adopts_it(tmp_path: Path) -> None:
    run = committed_run(tmp_path)
    supervise(run)
    assert run.state()["exit_code"] == 4
    assert run.log() == b"late\n"


def test_a_run_that_was_never_started_in_time_fails_and_says_so(tmp_path: Path) -> None:
    run = committed_run(tmp_path, age_s=3600)
    supervise(run)
    assert run.state()["status"] == "Failed"
    assert "was not started within" in run.state()["cause"]
    assert run.log() == b""


def test_a_reboot_ends_the_run_as_failed_not_as_running_for_ever(training: Training) -> None:
    process = training.start()
    for pid in (process.pid, training.state()["shepherd_pid"], training.capture_pid(), training.started()["pid"]):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    started = training.path(names.process_dir(0) + "/started.json")
    started.write_text(started.read_text().replace(training.started()["boot_id"], "another-boot"))
    supervise(training)
    assert training.state()["status"] == "Failed"
    assert "the machine was started again" in training.state()["cause"]


def test_a_driver_that_truncates_its_own_outputs_goes_on_being_captured(tmp_path: Path) -> None:
    script = "echo one >&2; sleep 0.2; echo two > /dev/stderr; sleep 0.2; echo three >&2; echo four"
    run = NodeRun(tmp_path / "spool", "sh", "-c", script)
    result = run.complete()
    assert result.stdout == b"four\n"
    assert result.stderr.splitlines()[-3:] == [b"one", b"two", b"three"]


def committed_run(tmp_path: Path, age_s: float = 0) -> NodeRun:
    """A run as a wrapper leaves it that is killed between run.json and the shepherd's start."""
    from runyard.agent.spool import NewRun, RunSpec

    run = NodeRun(tmp_path / "spool")
    argv = ["sh", "-c", "echo late; exit 4"]
    new = NewRun(tmp_path / "spool", RunSpec(run_id="r", experiment="e", argv=argv, environment=dict(os.environ), cwd="/"))
    new.description["created_ns"] -= int(age_s * 1e9)
    new.commit()
    new.lock.release()
    return run


def test_start_ticks_name_a_process_for_ever() -> None:
    ticks = proctree.start_ticks(os.getpid())
    assert ticks is not None
    assert proctree.is_running(os.getpid(), ticks)
    assert not proctree.is_running(os.getpid(), ticks + 1)


def test_a_reader_that_stands_still_keeps_the_wrapper_from_nothing(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"head -c 300000 /dev/zero; while ! [ -e {go} ]; do sleep 0.05; done; exit 9"
    run = NodeRun(tmp_path / "spool", "sh", "-c", script)
    process = run.start()  # nobody reads its stdout until the end
    wait_for(lambda: len(run.log()) == 300_000, "more output than a pipe holds")
    dead = run.state()["shepherd_pid"]
    os.kill(dead, signal.SIGKILL)
    wait_for(lambda: run.state()["shepherd_pid"] != dead, "another shepherd")
    go.touch()
    run.final_state()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 9
    assert out == b"\0" * 300_000
