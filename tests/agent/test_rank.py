"""Ranks whose processes a launcher has started, without one: the tasks of a Slurm step are started here, with its variables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent import rank as joiner
from runyard.agent.launched import launcher_ended
from tests.agent.node_runs import NodeRun, is_alive
from tests.waiting import wait_for

WAITER = """
import os, signal, sys, time
rank = os.environ["RUNYARD_RANK"]
signal.signal(signal.SIGUSR1, lambda number, frame: print("rank", rank, "was told", number, flush=True))
print("rank", rank, "ready", flush=True)
for _ in range(600):
    time.sleep(0.1)
"""


class Step:
    """A step of `tasks` tasks on this node, each started by hand."""

    def __init__(self, spool: Path, *command: str, tasks: int = 2, env: dict[str, str] | None = None) -> None:
        of_step = {"SLURM_JOB_ID": "5", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NUM_TASKS": str(tasks)}
        of_step |= {"SLURM_NODEID": "0", "SLURM_GTIDS": ",".join(map(str, range(tasks)))} | (env or {})
        self.tasks = [
            NodeRun(spool, *command, env=of_step | {"SLURM_LOCALID": str(number), "SLURM_PROCID": str(number)})
            for number in range(tasks)
        ]
        self.run = self.tasks[0]  # they share its folder

    def start(self, number: int) -> subprocess.Popen[bytes]:
        return self.tasks[number].launch()

    def started(self, number: int) -> dict[str, Any]:
        return self.run.json(f"{names.process_dir(number)}/started.json") or {}

    def log(self, number: int) -> bytes:
        path = self.run.path(names.driver_log(number, len(self.tasks)))
        return path.read_bytes() if path.exists() else b""

    def capture_pid(self, number: int) -> int:
        return int(self.run.path(f"{names.process_dir(number)}/capture.lock").read_text())

    def until_ready(self) -> None:
        wait_for(lambda: all(b"ready" in self.log(number) for number in range(len(self.tasks))), "the ranks' first words")

    def close(self) -> None:
        """End what still runs of it."""
        for task in self.tasks:
            if task.process is not None:
                task.process.kill()
                task.process.communicate()
        for number in range(len(self.tasks)):
            for pid in (self.started(number).get("pid"), self.run.state().get("shepherd_pid")):
                if pid and is_alive(pid):
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def steps(tmp_path: Path) -> Iterator[Any]:
    made: list[Step] = []

    def make(*command: str, **options: Any) -> Step:
        made.append(Step(tmp_path / "spool", *command, **options))
        return made[-1]

    yield make
    for step in made:
        step.close()


def ended(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_each_task_echoes_its_own_rank_and_ends_with_its_exit_code(steps: Any) -> None:
    program = "import os, sys; print('I am', os.environ['SLURM_PROCID']); sys.exit(int(os.environ['RUNYARD_RANK']) * 4)"
    step = steps(sys.executable, "-c", program)
    second, first = step.start(1), step.start(0)  # whichever comes first
    assert ended(first)[:2] == (0, b"I am 0\n")
    assert ended(second)[:2] == (4, b"I am 1\n")
    state = step.run.final_state()
    assert (state["status"], state["cause"]) == ("Failed", "rank 1: exit code 4")
    assert [(process["rank"], process["exit_code"]) for process in state["processes"]] == [(0, 0), (1, 4)]
    assert not step.run.path(names.ENVIRONMENT_FILE).exists()


def test_mlflow_in_every_task_finds_the_run(steps: Any) -> None:
    program = "import os, urllib.request as u; print(u.urlopen(os.environ['MLFLOW_TRACKING_URI'] + '/health').read().decode())"
    step = steps(sys.executable, "-c", program)
    first, second = step.start(0), step.start(1)
    assert ended(first)[:2] == ended(second)[:2] == (0, b"OK\n")


def test_a_rank_that_dies_by_a_signal_is_told_as_a_shell_tells_it(steps: Any) -> None:
    step = steps("sh", "-c", "[ $RUNYARD_RANK = 0 ] || kill -SEGV $$")
    first, second = step.start(0), step.start(1)
    assert (ended(second)[0], ended(first)[0]) == (139, 0)
    assert step.run.final_state()["cause"] == "rank 1: killed by SIGSEGV"


def test_the_first_tasks_driver_reads_its_own_stdin_and_is_bound_as_its_task(steps: Any) -> None:
    step = steps(sys.executable, "-c", "import os; print(sorted(os.sched_getaffinity(0)))")
    core = min(os.sched_getaffinity(0))
    for task in step.tasks:
        task.argv = ["taskset", "-c", str(core), *task.argv] if task is step.tasks[1] else task.argv
    first, second = step.start(0), step.start(1)
    assert ended(second)[1] == b"[%d]\n" % core
    assert ended(first)[1].decode().strip() == str(sorted(os.sched_getaffinity(0)))


def test_a_signal_to_a_task_reaches_its_driver_once_and_no_other(steps: Any) -> None:
    step = steps(sys.executable, "-c", WAITER)
    step.start(0), step.start(1)
    step.until_ready()
    step.tasks[1].process.send_signal(signal.SIGUSR1)
    wait_for(lambda: b"was told 10" in step.log(1), "the signal at the driver")
    step.tasks[0].process.send_signal(signal.SIGTERM)
    codes = [ended(task.process)[0] for task in step.tasks]
    assert codes == [143, 143]
    assert step.log(1).count(b"was told") == 1
    assert b"was told" not in step.log(0)
    assert step.run.final_state()["status"] == "Canceled"


def test_a_driver_does_not_outlive_its_task(steps: Any) -> None:
    step = steps(sys.executable, "-c", WAITER, env={"RUNYARD_RUN__GRACE_S": "1"})
    first, second = step.start(0), step.start(1)
    step.until_ready()
    os.kill(step.capture_pid(1), signal.SIGKILL)
    assert ended(second)[0] == 137
    driver = step.started(1)["pid"]
    wait_for(lambda: not is_alive(driver), "the driver's end")
    exit_ = wait_for(lambda: step.run.json(f"{names.process_dir(1)}/exit.json"), "what is known of its end")
    assert "its launcher has gone" in exit_["cause"]
    assert "its launcher has gone" in step.run.json(f"{names.process_dir(1)}/evidence.json")["stopped_by"]
    first.send_signal(signal.SIGTERM)  # the others have 30 s to end by themselves
    ended(first)
    assert b"rank 1 ready\n" in step.log(1)


def test_the_shepherds_death_costs_a_launchers_ranks_nothing(steps: Any) -> None:
    step = steps("sh", "-c", "echo ready; while [ ! -e $RUNYARD_OUTPUT_DIR/go ]; do sleep 0.05; done; exit $RUNYARD_RANK")
    first, second = step.start(0), step.start(1)
    step.until_ready()
    killed = wait_for(lambda: step.run.state().get("shepherd_pid"), "a shepherd")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: step.run.state().get("shepherd_pid") != killed, "another shepherd")
    step.run.path("outputs/go").touch()
    assert (ended(second)[0], ended(first)[0]) == (1, 0)
    assert [process["exit_code"] for process in step.run.final_state()["processes"]] == [0, 1]


def test_a_rank_that_never_comes_has_failed(steps: Any) -> None:
    step = steps("true", env={"RUNYARD_RUN__LAUNCH_S": "1.5"})
    code, _, err = ended(step.start(0))
    assert code == 1  # its own rank's is 0, and of the other one no task could tell
    assert b"rank 1 was never started by Slurm, within 1.5 s" in err
    state = step.run.final_state()
    assert state["status"] == "Failed"
    assert [process["rank"] for process in state["processes"]] == [0]  # the other was never there
    late = ended(step.start(1))
    assert late[0] == 1
    assert b"Traceback" not in late[2]


def test_a_launcher_that_has_ended_ends_the_wait_for_its_ranks(steps: Any) -> None:
    step = steps(sys.executable, "-c", "pass")
    first = step.start(0)
    wait_for(lambda: step.run.json(f"{names.process_dir(0)}/exit.json"), "the first rank's end")
    launcher_ended(str(step.run.run_dir), "mpirun ended with exit code 1: there are not enough slots")
    launcher_ended(str(step.run.run_dir), "a later word")
    ended(first)
    assert step.run.final_state()["cause"] == "rank 1: mpirun ended with exit code 1: there are not enough slots"


def test_a_task_whose_nodes_first_task_never_comes_says_so(steps: Any) -> None:
    step = steps("true", env={"RUNYARD_RUN__LAUNCH_S": "1"})
    code, _, err = ended(step.start(1))
    assert code == 1
    assert b"the first task of this node has not made the run's folder" in err
    assert b"Traceback" not in err


def test_a_launchers_child_ends_as_its_driver_has(steps: Any) -> None:
    step = steps("sh", "-c", "[ $RUNYARD_RANK = 0 ] || kill -SEGV $$")
    first = step.start(0)
    wait_for(step.run.path(names.RUN_FILE).exists, "the run")
    child = subprocess.Popen(joiner.argv(str(step.run.run_dir), 1), stdin=subprocess.DEVNULL)
    assert child.wait(30) == -signal.SIGSEGV
    ended(first)
    stranger = subprocess.run(joiner.argv(str(step.run.run_dir), 9), capture_output=True, timeout=30, check=False)
    assert stranger.returncode == 1
    assert b"rank 9 is none of this node's ranks" in stranger.stderr
