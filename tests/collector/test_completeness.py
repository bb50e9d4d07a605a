"""A run on several nodes is complete when its overall logs are finished, not before; what keeps them from it is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from runyard import names
from tests.collector.node import Node
from tests.collector.test_run_level import Rank, end, is_sealed, put_clock, run_level, two_nodes
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for


def merge_worker(collector: CollectorProcess) -> int:
    """The pid of the collector's process that merges."""
    children = Path(f"/proc/{collector.pid}/task/{collector.pid}/children").read_text().split()
    found = [int(pid) for pid in children if b"collector.merge.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(found) == 1
    return found[0]


def listed(node: Node) -> dict[str, Any]:
    """The run as the list of runs has it."""
    runs = node.client.json("GET", "/runs")["runs"]
    found: dict[str, Any] = next(run for run in runs if run["run_id"] == node.run_id)
    return found


def is_complete(node: Node) -> bool:
    """Whether the run is complete, on which everything that tells of it has to agree."""
    shown = node.run()
    said = [shown["is_complete"], listed(node)["is_complete"]]
    said.append(node.client.json("GET", f"/runs/{node.run_id}/verify")["is_complete"])
    assert sorted(said) == said or node.run()["is_complete"]  # asked one after the other
    return bool(shown["is_complete"])


def runyard(collector: CollectorProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of the user's."""
    environ = os.environ | {"RUNYARD_CLIENT__COLLECTOR_URL": collector.url, "RUNYARD_CLIENT__TOKEN": collector.token}
    argv = [sys.executable, "-m", "runyard", *words]
    return subprocess.run(argv, env=environ, check=False, capture_output=True, text=True, timeout=30)


def test_a_run_on_several_nodes_is_complete_when_its_overall_logs_are_finished(collector: CollectorProcess) -> None:
    first, second = two_nodes(collector)
    put_clock(first, 0)
    rank = Rank(first, 0, offset_ns=0)
    rank.write(b"first\n", time.time_ns() - 30 * 10**9)
    wait_for(lambda: run_level(first, names.STDOUT_LOGS), "something is merged")
    worker = merge_worker(collector)
    os.kill(worker, signal.SIGSTOP)
    rank.write(b"last\n", time.time_ns() - 29 * 10**9)
    rank.seal()
    for node in (first, second):
        node.complete()
    shown = first.run()
    assert (shown["status"], shown["pending"]) == ("Completed", "its overall logs are being merged")
    assert not is_complete(first)
    os.kill(worker, signal.SIGCONT)
    wait_for(lambda: is_complete(first), "the run is complete")
    assert is_sealed(first)
    assert run_level(first, names.STDOUT_LOGS).count(b"\n") == 2
    assert first.run()["pending"] == ""
    collector.kill()
    collector.restart()
    first.client = collector.client()
    assert is_complete(first)
    alone = Node(collector)
    alone.complete()
    assert is_complete(alone)


def test_what_keeps_a_run_from_being_complete_is_told_and_holds_no_other_run_back(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        first, second = two_nodes(collector)
        obstacle = collector.data_dir / "merge" / f"{first.run_id}.new"
        wait_for(obstacle.parent.is_dir, "the journals' folder")
        obstacle.mkdir()
        for node in (first, second):
            node.complete()
        wait_for(lambda: "Is a directory" in first.run()["pending"], "the reason")
        assert first.run()["pending"].startswith("its overall logs cannot be finished, which is tried again: ")
        end(*two_nodes(collector))
        assert not is_complete(first)
        said = runyard(collector, "show", first.run_id).stdout
        assert "not complete: its overall logs cannot be finished" in said.splitlines()[0]
        never = runyard(collector, "logs", "-f", first.run_id, "--file", f"{first.folder}/logs/none.txt")
        assert (never.returncode, "has no file" in never.stderr) == (2, True), (
            "who follows a file that never comes does not wait"
        )
        obstacle.rmdir()
        wait_for(lambda: is_complete(first), "the run is complete", limit_s=20)
