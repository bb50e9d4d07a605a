"""`runyard stacks`: where all ranks of all nodes are, equal stacks together, of a run whose code knows nothing of it."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runyard.stacktext import RankStacks, Stacked, Thread, file_name, groups, parse, ranges, split_name, text_of
from tests.agent.node_runs import NodeRun
from tests.collector.node import Node
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .scene import lines, runyard

PROGRAM = """
import os, sys, threading, time

def hang_here():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.05)

def train():
    for step in range(100000):
        print(f"step {step}/100000", flush=True)
        time.sleep(0.1)
        if os.environ["RUNYARD_RANK"] == "1" and step == 3:
            hang_here()
        if os.path.exists(sys.argv[1]):
            return

train()
"""

PROGRESS = {"at_ns": 1, "stalls": 0}


def stacks_of(rank: int, *frames: str, request: int = 0, node_id: str = "node-0001", at: str = "10") -> RankStacks:
    """Stacks of a rank with one process and one thread more than the main one."""
    threads = (Thread("MainThread", frames), Thread(f"Thread-{rank}", ("wait (threading.py:1)",)))
    process = Stacked(100 + rank, "python train.py", "py-spy", threads)
    return RankStacks(rank, node_id, f"2026-11-24T15:00:{at}.000Z", "rank 3 is silent", request, (process,))


def send(node: Node, one: RankStacks) -> None:
    """Ship it as the node would."""
    node.send(node.open_one(file_name(one.node_id, one.taken, one.rank)), 0, text_of(one).encode())


def process(rank: int, **fields: Any) -> dict[str, Any]:
    return {"rank": rank, "status": "Started"} | fields


def test_a_rank_that_hangs_on_one_node_has_the_stacks_of_every_node_taken(
    standing_collector: CollectorProcess, tmp_path: Path
) -> None:
    go, script = tmp_path / "go", tmp_path / "train.py"
    script.write_text(PROGRAM)
    env = {"RUNYARD_COLLECTOR_URL": standing_collector.url, "RUNYARD_TOKEN": standing_collector.token}
    run_id = f"hung-{os.getpid()}"
    nodes = [
        NodeRun(
            tmp_path / f"spool{number}",
            *(sys.executable, str(script), str(go)),
            run_id=run_id,
            flags=("--nnodes", "2", "--node-rank", str(number), "--stall-after", "1"),
            env=env,
        )
        for number in range(2)
    ]
    processes = [node.launch() for node in nodes]
    try:
        told = wait_for(lambda: _both(standing_collector, run_id), "the stacks of both nodes")
        by_rank = {group["ranks"][0]: group["frames"] for group in told["groups"]}
        assert [frame.partition(" ")[0] for frame in by_rank[1][:2]] == ["hang_here", "train"]
        assert [frame.partition(" ")[0] for frame in by_rank[0][:2]] == ["train", "<module>"]
        assert {one["node_id"] for one in told["stacks"]} == {node.json(".runyard/run.json")["node_id"] for node in nodes}
        asked = runyard(standing_collector, "stacks", run_id, "--now", "-o", "json")
        assert asked.returncode == 0, asked.stderr
        again = json.loads(asked.stdout)
        assert min(one["request"] for one in again["stacks"]) > max(one["request"] for one in told["stacks"])
        shown = [line for line in lines(runyard(standing_collector, "show", run_id).stdout) if line.startswith("1 ")]
        assert any("3/100000" in line and "stalled now" in line for line in shown)
    finally:
        go.touch()
        for running in processes:
            running.communicate(timeout=60)
    assert [running.returncode for running in processes] == [0, 0]


def _both(collector: CollectorProcess, run_id: str) -> Any:
    done = runyard(collector, "stacks", run_id, "-o", "json")
    told = json.loads(done.stdout) if done.returncode == 0 else {"stacks": []}
    return told if len(told["stacks"]) == 2 else None


def test_equal_stacks_stand_together_and_only_the_newest_count(standing_collector: CollectorProcess) -> None:
    node = Node(standing_collector, node_id="node-0001")
    node.put_state("Running", processes=[process(rank, progress=PROGRESS) for rank in range(6)])
    send(node, stacks_of(3, "early (train.py:1)", at="05"))
    for rank in (0, 1, 2, 4):
        send(node, stacks_of(rank, "all_reduce (torch.py:7)", "train (train.py:9)"))
    send(node, stacks_of(3, "hang (train.py:2)", "train (train.py:8)"))
    done = runyard(standing_collector, "stacks", node.run_id)
    assert lines(done.stdout) == [
        "Stacks of rank 0-4, taken 2026-11-24T15:00:10.000Z: rank 3 is silent",
        "",
        "ranks 0-2, 4: main thread",
        "    all_reduce (torch.py:7)",
        "    train (train.py:9)",
        "",
        "rank 3: main thread",
        "    hang (train.py:2)",
        "    train (train.py:8)",
        "",
        "ranks 0-4: thread Thread-#",
        "    wait (threading.py:1)",
    ]
    assert done.stderr == b"runyard: there are no stacks of rank 5\n"
    assert done.returncode == 0


def test_where_there_are_no_stacks_it_says_why(standing_collector: CollectorProcess) -> None:
    node = Node(standing_collector, node_id="node-0001")
    for progress, why in ((None, b"--stall-after"), (PROGRESS, b"none of its ranks has stalled")):
        node.put_state("Running", processes=[process(0, progress=progress)])
        done = runyard(standing_collector, "stacks", node.run_id)
        assert (done.returncode, done.stdout) == (1, b"")
        assert why in done.stderr
    begun_s = time.monotonic()
    done = runyard(standing_collector, "stacks", node.run_id, "--now", "--wait", "0.1")
    assert done.returncode == 1
    assert time.monotonic() - begun_s < 20
    node.put_state("Completed", exit_code=0, ended_ns=2, is_complete=True, processes=[process(0, progress=PROGRESS)])
    assert b"has ended" in runyard(standing_collector, "stacks", node.run_id, "--now").stderr
    assert runyard(standing_collector, "stacks", node.run_id, "--wait", "soon").returncode == 2


def test_a_stall_of_one_node_is_told_to_every_node_once_and_so_is_each_request(standing_collector: CollectorProcess) -> None:
    one, two = (Node(standing_collector, node_id=f"node-000{number}", run_id="told", create=number == 1) for number in (1, 2))

    def tell(node: Node, stalls: int) -> int:
        return int(node.put_state("Running", processes=[process(0, progress=PROGRESS | {"stalls": stalls})])["want_stacks"])

    assert (tell(one, 0), tell(two, 0)) == (0, 0)
    assert (tell(one, 1), tell(two, 0), tell(one, 1)) == (1, 1, 1)
    assert one.client.json("POST", f"/runs/{one.run_id}/stacks") == {"number": 2}
    assert (tell(two, 0), tell(one, 2), tell(two, 0)) == (2, 3, 3)
    unwatched = two.put_state("Running", processes=[process(0)])
    assert (unwatched["want_stacks"], unwatched["front"]) == (0, None), "who watches nothing is asked nothing"
    assert [found["progress"]["stalls"] for found in one.run()["processes"] if found["progress"]] == [2, 0]


def test_every_node_hears_how_far_the_foremost_rank_of_its_attempt_has_come(standing_collector: CollectorProcess) -> None:
    one, two = (Node(standing_collector, node_id=f"node-000{number}", run_id="front", create=number == 1) for number in (1, 2))

    def tell(node: Node, done: int, total: int | None = 1000, attempt: int = 0) -> Any:
        progress = PROGRESS | {"done": done, "total": total}
        return node.put_state("Running", attempt=attempt, processes=[process(0, progress=progress)])["front"]

    assert tell(one, 20) == {"done": 20, "total": 1000}
    assert tell(two, 10) == {"done": 20, "total": 1000}
    assert tell(two, 30) == {"done": 30, "total": 1000}
    assert tell(one, 3, None) == {"done": 3, "total": None}
    assert tell(two, 1, attempt=1) == {"done": 1, "total": 1000}
    assert tell(one, 90) is None, "of an attempt that is over nothing is kept"


TEXTS = st.text(st.characters(blacklist_categories=("Cc", "Cs", "Zl", "Zp", "Cf", "Cn", "Co", "Zs")), min_size=1, max_size=20)
THREADS = st.builds(Thread, TEXTS, st.lists(TEXTS, min_size=1, max_size=4).map(tuple))
PROCESSES = st.builds(
    Stacked, st.integers(1, 2**22), TEXTS, st.sampled_from(["py-spy", "no Python"]), st.lists(THREADS, max_size=3).map(tuple)
)


@given(st.integers(0, 10**6), TEXTS, st.integers(0, 99), st.lists(PROCESSES, max_size=3))
def test_what_is_written_is_read_again(rank: int, reason: str, request_number: int, processes: list[Stacked]) -> None:
    one = RankStacks(rank, "node-0001", "2026-11-24T15:00:10.000Z", reason, request_number, tuple(processes))
    assert parse(text_of(one)) == one
    assert split_name(file_name(one.node_id, one.taken, rank)) == (0, "2026-11-24T150010.000Z", rank)


@given(st.text(max_size=500))
def test_any_text_is_taken(text: str) -> None:
    parse(text)
    found = parse("Stacks of rank 1 on node node-0001, taken now\n" + text)
    assert found is None or groups([found]) is not None


def test_ranks_are_told_in_ranges() -> None:
    assert [ranges(numbers) for numbers in ([], [3], [0, 1, 2, 4], [5, 4, 9, 4])] == ["", "3", "0-2, 4", "4-5, 9"]
