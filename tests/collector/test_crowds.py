"""What keeps many nodes from costing the collector more than they have to say: the pause that they are asked for, and the
states that are known from memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runyard.collector.pace import LONGEST_S, Pace
from runyard.collector.repeats import MOST_RUNS, Repeats, Said
from runyard.collector.report import Clock, NodeState, Process, Progress
from tests.collector.node import Node, frame
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

pytestmark = pytest.mark.row("A8")


def word(seq: int, **fields: Any) -> NodeState:
    told: dict[str, Any] = {"seq": seq, "status": "Running", "phase": "driver"} | fields
    return NodeState(**told)


def test_nodes_are_asked_to_pause_the_longer_the_more_of_them_send() -> None:
    pace = Pace()
    assert pace.pause_s([("run", "node-0")]) == pytest.approx(0.002)
    assert pace.pause_s([("run", "node-0")]) == pytest.approx(0.002)
    assert pace.pause_s(("run", f"node-{number}") for number in range(1000)) == pytest.approx(2)
    assert pace.pause_s(("run", f"node-{number}") for number in range(10_000)) == LONGEST_S


def test_a_node_that_only_lives_slows_nobody_down(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        nodes = [Node(collector) for _ in range(3)]
        for node in nodes:
            assert node.ingest().json["pause_s"] == 0
        stream = nodes[0].open_one()
        assert nodes[0].ingest(frame(stream, 0, b"a")).json["pause_s"] == pytest.approx(0.002)


def test_a_word_is_a_repetition_only_if_nothing_in_it_is_new() -> None:
    said = Said()
    clock = Clock(offset_ns=1000, error_ns=100)
    said.keep("node", word(1, clock=clock))
    assert said.is_repeated("node", word(2, clock=Clock(offset_ns=1100, error_ns=50)))
    assert not said.is_repeated("node", word(2))  # an old word
    assert not said.is_repeated("other", word(3, clock=clock))
    for news in (
        {"status": "Finalizing"},
        {"attempt": 1},
        {"cause": "x"},
        {"processes": [Process(rank=0, status="Started")]},
        {"clock": Clock(offset_ns=1101, error_ns=100)},
        {"clock": Clock(offset_ns=1000, error_ns=49)},
    ):
        assert not said.is_repeated("node", word(3, **({"clock": clock} | news))), news
    assert said.is_repeated("node", word(3))


def test_ends_and_the_words_of_watched_nodes_are_never_repetitions() -> None:
    said = Said()
    watched = {"processes": [Process(rank=0, status="Started", progress=Progress(at_ns=1))]}
    for fields in ({"status": "Completed"}, watched):
        said.keep("node", word(1, **fields))
        assert not said.is_repeated("node", word(2, **fields))


def test_what_is_kept_of_a_run_that_was_forgotten_meanwhile_is_not_found() -> None:
    repeats = Repeats()
    before = repeats.of("run")
    repeats.forget("run")
    before.keep("node", word(1))
    assert not repeats.of("run").is_repeated("node", word(2))
    for number in range(MOST_RUNS):
        repeats.of(f"run-{number}").keep("node", word(1))
    assert repeats.of(f"run-{MOST_RUNS - 1}").is_repeated("node", word(2))


def test_a_node_that_says_the_same_for_ever_is_still_told_to_stop(collector: CollectorProcess) -> None:
    first = Node(collector, node_count=2, world_size=2, on_failure="fail-fast", failure_grace_s=0.3)
    second = Node(collector, run_id=first.run_id, create=False, ip="10.0.0.2")
    for _ in range(3):
        assert first.put_state("Running")["stop"] is None
    second.put_state("Failed", exit_code=3, cause="broke", is_complete=True)
    assert first.put_state("Running")["stop"] is None  # within the grace
    stop = wait_for(lambda: first.put_state("Running")["stop"], "the end of the grace")
    assert "broke" in stop["reason"] or "exit code 3" in stop["reason"]


def test_a_node_that_says_the_same_is_heard_from_and_what_it_says_next_counts(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.put_state("Running")
    before_ns = node.run()["heard_ns"]
    for _ in range(3):
        node.put_state("Running")
    assert node.run()["heard_ns"] > before_ns
    node.put_state("Completed", exit_code=0, ended_ns=5, is_complete=True)
    assert node.run()["status"] == "Completed"
