"""MPI runs on nodes with addresses of their own: mpirun without ssh, each rank's log on its node, mpirun's words kept."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent import proctree
from runyard.atomic import read_json
from tests.netns_site import hub_collector, namespaces, needs_namespaces
from tests.training_site import TRAINING_PYTHON, needs_torch
from tests.waiting import wait_for

from .launched import Launched, driver_logs, launched
from .training import is_one_run

PROGRAM = Path(__file__).with_name("programs") / "allreduce.py"
TRAINING = PROGRAM.with_name("mpi_ddp.py")
# Debian's mpi4py belongs to Debian's Python.
PYTHON = "/usr/bin/python3"
FLAGS = ("--nproc-per-node", "2", "--distribution", "mpi")


def missing() -> str:
    """Why there can be no MPI runs here; empty where there can."""
    if shutil.which("mpirun") is None or shutil.which("orted") is None:
        return "mpirun is not installed"
    done = subprocess.run([PYTHON, "-c", "import mpi4py"], capture_output=True, check=False)
    return "python3-mpi4py is not installed" if done.returncode else ""


pytestmark = [
    pytest.mark.needs_system("openmpi-bin python3-mpi4py"),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@contextmanager
def mpi_run(tmp_path: Path, *words: str, flags: tuple[str, ...] = ()) -> Iterator[Launched]:
    """The program on two nodes with two ranks each. ssh is out of the question: no node has a daemon of it, nor a key."""
    with (
        namespaces(2) as site,
        hub_collector(site, tmp_path) as collector,
        launched(collector, site, tmp_path, (*FLAGS, *flags), (PYTHON, str(PROGRAM), *words)) as run,
    ):
        yield run


def mpi_log(run: Launched) -> bytes:
    """mpirun's own words, at the collector, on the head node."""
    return (run.root / run.site.nodes[0].ip / names.MPI_LOG).read_bytes()


def printed(rank: int, more: str = "") -> bytes:
    """What a rank has in its log."""
    return f"rank {rank} of 4: sum 6, as {rank}\nstderr of {rank}\n{more}".encode()


def spool_state(run: Launched, node: int) -> dict[str, Any]:
    """A node's own word on the run."""
    return read_json(str(run.spool(run.site.nodes[node]) / names.STATE_FILE)) or {}


@pytest.mark.row("A5")
@pytest.mark.xdist_group("torch")
@needs_torch
@needs_namespaces
def test_a_training_that_mpirun_starts_on_two_nodes_without_ssh_is_one_run(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    command = (str(TRAINING_PYTHON), str(TRAINING), "30", "0.02", str(copies))
    with (
        namespaces(2) as site,
        hub_collector(site, tmp_path) as collector,
        launched(collector, site, tmp_path, FLAGS, command) as run,
    ):
        for name, (code, said) in run.ended().items():
            assert code == 0, f"{name}: {said}"
        is_one_run(run, copies, 4)
        assert mpi_log(run) == b""
        assert not (run.root / site.nodes[1].ip / names.MPI_LOG).exists()


@pytest.mark.row("A5")
@needs_namespaces
def test_too_few_slots_are_in_mpiruns_log_and_are_the_runs_cause(tmp_path: Path) -> None:
    with mpi_run(tmp_path, flags=("--mpi-arg=-np", "--mpi-arg=5")) as run:
        codes = {name: code for name, (code, _) in run.ended().items()}
        assert codes["n1"] != 0
        assert codes["n2"] != 0
        assert b"There are not enough slots available" in mpi_log(run)
        shown = run.run()
        assert shown["status"] == "Failed"
        assert "5 processes were asked for, and there are not enough slots" in shown["cause"]


@pytest.mark.row("A5")
@needs_namespaces
def test_a_host_that_is_no_node_of_the_run_is_in_mpiruns_log_and_in_the_cause(tmp_path: Path) -> None:
    with mpi_run(tmp_path, flags=("--mpi-arg=--host", "--mpi-arg=10.99.0.1:4", "--mpi-arg=-np", "--mpi-arg=6")) as run:
        assert all(code != 0 for code, _ in run.ended().values())
        assert b"runyard: the host 10.99.0.1 is none of this run's nodes" in mpi_log(run)
        shown = run.run()
        assert shown["status"] == "Failed"
        assert "the host 10.99.0.1 is none of this run's nodes" in shown["cause"]


@pytest.mark.parametrize(
    ("words", "code", "cause"),
    [(("exit", "7", "3"), 7, "exit code 7"), (("kill", "11", "0"), 139, "killed by SIGSEGV")],
)
@needs_namespaces
def test_the_rank_that_failed_is_the_cause_and_those_that_mpirun_then_ended_are_not(
    tmp_path: Path, words: tuple[str, ...], code: int, cause: str
) -> None:
    with mpi_run(tmp_path, *words) as run:
        run.ended()
        shown = run.run()
        assert (shown["status"], shown["exit_code"]) == ("Failed", code)
        failed = int(words[2])
        assert shown["cause"] == f"rank {failed} on {run.site.nodes[failed // 2].ip} failed: {cause}"
        by_rank = {process["rank"]: process for process in shown["processes"]}
        assert {rank: by_rank[rank]["status"] for rank in range(4)} == {
            rank: "Failed" if rank == failed else "Terminated" for rank in range(4)
        }
        assert b"mpirun" in mpi_log(run)
        for rank, log in driver_logs(run.root, run.site, 4).items():  # Open MPI has a rank write its own stack at a SIGSEGV
            assert log.startswith(printed(rank))
            assert log == printed(rank) or (rank == failed and words[0] == "kill")


@needs_namespaces
def test_a_shepherd_of_the_head_that_is_killed_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    go = tmp_path / "go"
    with mpi_run(tmp_path, "wait", str(go)) as run:
        wait_for(lambda: len(spool_state(run, 0).get("processes", [])) == 2, "the head's ranks run")
        wait_for(lambda: len(spool_state(run, 1).get("processes", [])) == 2, "the other node's ranks run")
        for node in (0, 1):
            before = spool_state(run, node)["shepherd_pid"]
            os.kill(before, signal.SIGKILL)
            wait_for(lambda: spool_state(run, node)["shepherd_pid"] != before, "another shepherd has taken over")  # noqa: B023
        go.touch()
        for name, (code, said) in run.ended().items():
            assert code == 0, f"{name}: {said}"
        assert run.run()["status"] == "Completed"
        logs = driver_logs(run.root, run.site, 4)
        assert logs == {rank: printed(rank, f"rank {rank}: sum 6 again\n") for rank in range(4)}
        assert read_json(str(run.spool(run.site.nodes[0]) / ".runyard/proc/mpi/exit.json"))["exit_code"] == 0


@needs_namespaces
def test_a_stop_of_one_node_ends_all_ranks_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with mpi_run(tmp_path, "wait", str(tmp_path / "never")) as run:
        for node in (0, 1):
            wait_for(lambda: len(spool_state(run, node).get("processes", [])) == 2, "ranks run")  # noqa: B023
        marks = [proctree.marker(read_json(str(run.spool(node) / names.RUN_FILE))) for node in run.site.nodes]
        run.processes["n1"].send_signal(signal.SIGTERM)
        run.ended()
        wait_for(lambda: not any(proctree.with_environment(mark) for mark in marks), "no process of the run is left")
        assert spool_state(run, 0)["status"] == "Canceled"
        assert all(process["status"] == "Terminated" for process in run.run()["processes"])


def test_an_mpi_run_on_one_node_needs_no_collector(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "runyard", "run", "--run-id", "one", *FLAGS, "--", PYTHON, str(PROGRAM)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    environ["RUNYARD_SPOOL__DIR"] = str(tmp_path / "spool")
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    logs = tmp_path / "spool" / "one" / "azureml-logs"
    for rank in range(2):
        text = f"rank {rank} of 2: sum 1, as {rank}\nstderr of {rank}\n"
        assert (logs / f"70_driver_log_{rank}.txt").read_text() == text
    assert (logs / "70_mpi_log.txt").read_bytes() == b""


@needs_namespaces
def test_ranks_that_do_not_heed_mpirun_and_mpirun_itself_killed_are_ended_all_the_same(tmp_path: Path) -> None:
    with mpi_run(tmp_path, "stay", str(tmp_path / "never")) as run:
        for node in (0, 1):
            wait_for(lambda: len(spool_state(run, node).get("processes", [])) == 2, "ranks run")  # noqa: B023
        marks = [proctree.marker(read_json(str(run.spool(node) / names.RUN_FILE))) for node in run.site.nodes]
        os.kill(read_json(str(run.spool(run.site.nodes[0]) / ".runyard/proc/mpi/started.json"))["pid"], signal.SIGKILL)
        assert all(code != 0 for code, _ in run.ended().values())
        wait_for(lambda: not any(proctree.with_environment(mark) for mark in marks), "no process of the run is left")
        shown = run.run()
        assert shown["status"] == "Failed"
        assert spool_state(run, 0)["cause"] == "mpirun was killed by SIGKILL"
