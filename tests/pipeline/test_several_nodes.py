"""One run on several nodes: each has a `runyard run` process and a spool of its own; the collector is where they meet."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent import proctree
from tests.agent.node_runs import NodeRun
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

WHERE = 'echo "$RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT, node $NODE_RANK"'


class Member(NodeRun):
    """One node's part of a run on several."""

    def __init__(self, rank: int, spool: Path, *command: str, **options: Any) -> None:
        super().__init__(spool, *command, **options)
        self.rank = rank
        self._words = b""

    @property
    def host_log(self) -> str:
        """What its 55 log says by now."""
        found = list(self.path(names.LOGS_DIR).glob("55_*"))
        return found[0].read_text() if found else ""

    def end(self, limit_s: float = 60) -> tuple[int, str]:
        """Wait for its end; (exit code, what it said on stderr)."""
        assert self.process is not None
        _, said = self.process.communicate(timeout=limit_s)
        return self.process.returncode, said.decode()

    def rank_log(self, rank: int, world_size: int) -> str:
        return self.path(names.driver_log(rank, world_size)).read_text()


MemberFactory = Callable[..., Member]


@pytest.fixture
def member(collector: CollectorProcess, tmp_path: Path) -> Iterator[MemberFactory]:
    """Makes nodes of the run r; what still runs at the test's end is ended."""
    made: list[Member] = []

    def make(rank: int, *command: str, count: int = 2, flags: tuple[str, ...] = (), spool: str = "") -> Member:
        env = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
        env |= {"RUNYARD_SHIP__BACKOFF_MAX_S": "0.5", "RUNYARD_RUN__CONNECT_TIMEOUT_S": "2"}
        words = ("--nnodes", str(count), "--node-rank", str(rank), "--distribution", "pytorch", *flags)
        one = Member(rank, tmp_path / (spool or f"node{rank}"), *command, flags=words, env=env)
        made.append(one)
        one.launch()
        return one

    yield make
    for one in made:
        assert one.process is not None
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGTERM)
            one.process.send_signal(signal.SIGTERM)
            one.process.communicate(timeout=30)


def shown(collector: CollectorProcess) -> dict[str, Any]:
    run: dict[str, Any] = collector.client().json("GET", "/runs/r")
    return run


def completed(collector: CollectorProcess) -> dict[str, Any]:
    """The run, when all of it is at the collector."""
    wait_for(lambda: shown(collector)["is_complete"], "the run is complete", limit_s=30)
    return shown(collector)


def has_come(one: Member) -> bool:
    return f"Node {one.rank} of " in one.host_log


@pytest.mark.row("A7")
@pytest.mark.row("A8")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["head first", "head last"])
def test_nodes_join_one_run_whichever_comes_first(
    collector: CollectorProcess, member: MemberFactory, order: tuple[int, ...]
) -> None:
    first = member(order[0], "sh", "-c", WHERE, flags=("--nproc-per-node", "2"))
    wait_for(lambda: has_come(first), "the first node at the rendezvous")
    assert shown(collector)["phase"] == "rendezvous"
    second = member(order[1], "sh", "-c", WHERE, flags=("--nproc-per-node", "2"))
    assert [one.end()[0] for one in (first, second)] == [0, 0]
    said = {}
    for one in (first, second):
        for rank in (2 * one.rank, 2 * one.rank + 1):
            word, _, place = one.rank_log(rank, 4).partition(" at ")
            assert word == f"{rank} of 4"
            said[rank] = place.partition(",")[0]
            assert place.endswith(f"node {one.rank}\n")
    assert len(set(said.values())) == 1, said
    assert said[0].startswith("127.0.0.1:")
    run = completed(collector)
    assert (run["status"], run["exit_code"], run["node_count"]) == ("Completed", 0, 2)
    assert sorted(process["rank"] for process in run["processes"]) == [0, 1, 2, 3]
    here_ns = time.time_ns() - time.monotonic_ns()
    for node in run["nodes"]:  # one machine: both clocks are its own
        assert abs(node["clock"]["offset_ns"] - here_ns) <= node["clock"]["error_ns"] + 1_000_000
        logs = collector.data_dir / "runs" / "default" / "r" / node["folder"] / names.LOGS_DIR
        assert len(list(logs.glob("70_driver_log_*.txt"))) == 2
    assert all(f"Node {rank} of 2 is here: 127.0.0.1" in first.host_log for rank in (0, 1))
    met = first.json(names.phase_dir("rendezvous") + "/result.json")["data"]
    assert (len(met["members"]), met["secret"]) == (2, ""), "what the nodes alone knew is gone with the run"


def test_nodes_that_do_not_come_are_named_and_the_run_has_failed(collector: CollectorProcess, member: MemberFactory) -> None:
    waiting = [member(rank, "true", count=4, flags=("--rendezvous", "4s")) for rank in (0, 2)]
    for one in waiting:
        code, said = one.end()
        assert code == 1
        assert "after 4s these nodes have not come: node ranks 1, 3 of 4; here are: 0 (127.0.0.1, " in said
        assert one.state()["failure"]["phase"] == "rendezvous"
    run = completed(collector)
    assert run["status"] == "Failed"
    assert "these nodes have not come: node ranks 1, 3 of 4" in run["cause"]


def test_a_node_that_waits_ends_as_soon_as_another_one_has_failed(collector: CollectorProcess, member: MemberFactory) -> None:
    patient = member(0, "true", count=3, flags=("--rendezvous", "10m"))
    hasty = member(1, "true", count=3, flags=("--rendezvous", "3s"))
    assert hasty.end()[0] == 1
    code, said = patient.end(30)
    assert code == 1
    assert "the run has failed on another node" in said
    assert "these nodes have not come: node rank 2 of 3" in said


def test_a_rendezvous_outlives_the_deaths_of_its_collector_and_its_shepherd(
    collector: CollectorProcess, member: MemberFactory
) -> None:
    first = member(0, "sh", "-c", WHERE)
    wait_for(lambda: has_come(first), "the first node at the rendezvous")
    collector.kill()
    shepherd = first.state()["shepherd_pid"]
    os.kill(shepherd, signal.SIGKILL)
    second = member(1, "sh", "-c", WHERE)  # it cannot even register
    wait_for(lambda: "is tried again" in first.host_log and "is tried again" in second.host_log, "both to miss the collector")
    wait_for(lambda: first.state()["shepherd_pid"] != shepherd, "another shepherd")
    mark = f"RUNYARD_RUN_MARK={first.json(names.RUN_FILE)['mark']}"
    (phase,) = proctree.with_environment(mark, "RUNYARD_PHASE=rendezvous")
    os.kill(phase, signal.SIGKILL)
    collector.restart()
    assert [one.end()[0] for one in (first, second)] == [0, 0]
    assert first.rank_log(0, 2).partition(" at ")[2].split(",")[0] == second.rank_log(1, 2).partition(" at ")[2].split(",")[0]
    assert completed(collector)["status"] == "Completed"


FAILING = 'if [ "$RANK" = 1 ]; then echo going; exit 7; fi; echo staying; exec sleep "$0"'


@pytest.mark.row("A5")
def test_a_failure_on_one_node_ends_the_others_and_is_the_runs_cause(
    collector: CollectorProcess, member: MemberFactory
) -> None:
    nodes = [member(rank, "sh", "-c", FAILING, "600", flags=("--failure-grace", "1s")) for rank in (0, 1)]
    wait_for(
        lambda: "staying" in nodes[0].rank_log(0, 2) if nodes[0].path(names.driver_log(0, 2)).exists() else False, "rank 0"
    )
    assert nodes[1].end()[0] == 7
    code, _ = nodes[0].end(30)
    assert code != 0
    stop = nodes[0].json(names.STOP_FILE)
    assert stop["is_failure"]
    assert stop["reason"] == "rank 1 on 127.0.0.1 failed (exit code 7); the run ends (fail-fast)"
    run = completed(collector)
    assert (run["status"], run["exit_code"]) == ("Failed", 7)
    assert run["cause"] == "rank 1 on 127.0.0.1 failed: exit code 7"
    assert {process["rank"]: process["status"] for process in run["processes"]} == {0: "Terminated", 1: "Failed"}


def test_where_the_others_are_to_go_on_they_do(collector: CollectorProcess, member: MemberFactory) -> None:
    nodes = [member(rank, "sh", "-c", FAILING, "5", flags=("--on-failure", "wait", "--failure-grace", "0")) for rank in (0, 1)]
    assert [one.end()[0] for one in nodes] == [0, 7]
    run = shown(collector)
    assert (run["status"], run["exit_code"]) == ("Failed", 7)
    assert {process["rank"]: process["status"] for process in run["processes"]} == {0: "Completed", 1: "Failed"}


def test_a_cancel_on_one_node_ends_the_run_on_all(collector: CollectorProcess, member: MemberFactory) -> None:
    nodes = [member(rank, "sleep", "600") for rank in (0, 1)]
    wait_for(lambda: all(one.state().get("phase") == "driver" for one in nodes), "both drivers")
    assert nodes[1].process is not None
    nodes[1].process.send_signal(signal.SIGINT)
    for one in nodes:
        one.end(30)
    run = completed(collector)
    assert run["status"] == "Canceled"


def test_who_waits_can_be_canceled(collector: CollectorProcess, member: MemberFactory) -> None:
    one = member(0, "true")
    wait_for(lambda: has_come(one), "the node at the rendezvous")
    assert one.process is not None
    one.process.send_signal(signal.SIGTERM)
    assert one.end(20)[0] == 143
    assert shown(collector)["status"] == "Canceled"


def test_a_second_node_that_is_wrong_is_refused_and_harms_nobody(collector: CollectorProcess, member: MemberFactory) -> None:
    first = member(0, "sh", "-c", WHERE)
    wait_for(lambda: has_come(first), "the first node at the rendezvous")
    wrong = {
        "have to be told the same: command": member(1, "sh", "-c", "other", spool="a"),
        "node rank 0 of run 'r' is taken by": member(0, "sh", "-c", WHERE, spool="b"),
        "node_count is 3 here and 2 there": member(1, "sh", "-c", WHERE, count=3, spool="c"),
        "spool.dir": member(1, "sh", "-c", WHERE, spool="node0"),
    }
    for sentence, one in wrong.items():
        code, said = one.end()
        assert code == 2, said
        assert sentence in said
    right = member(1, "sh", "-c", WHERE)
    assert [one.end()[0] for one in (first, right)] == [0, 0]
    assert shown(collector)["status"] == "Completed"


def test_a_node_without_a_collector_is_told_that_it_needs_one(tmp_path: Path) -> None:
    flags = ("--nnodes", "2", "--node-rank", "0")
    done = NodeRun(tmp_path / "spool", sys.executable, "-c", "", flags=flags).complete()
    assert done.returncode == 2
    assert b"needs a collector" in done.stderr
