"""Which process is named, and how surely, from what is known of all: clocks that are off, ranks that say nothing, and more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.collector.report import Failure
from runyard.collector.verdict import exhibits, log_words
from runyard.collector.verdict.decide import Decision, decide
from runyard.collector.verdict.facts import NodeFacts, RankFacts, RunFacts

S = 10**9
MS = 10**6
CLOSED = "RuntimeError: [pair.cc:534] Connection closed by peer [10.0.0.7]:4321"
WAITED = "RuntimeError: [unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete"


def rank(number: int, at_s: float | None = None, exception: str = "", **more: Any) -> RankFacts:
    """A process that failed at `at_s`; with an exception, by that one."""
    node = more.pop("node", "a")
    at_ns = None if at_s is None else round(at_s * S)
    values: dict[str, Any] = {"status": "Failed", "exit_code": 1, "ended_ns": at_ns, "exception": exception}
    if exception:
        values["exception_ns"] = at_ns
    return RankFacts(number, node_id=node, node_ip=f"10.0.0.{ord(node) - 96}", **(values | more))


def going(number: int, **more: Any) -> RankFacts:
    """A process that has not ended."""
    return rank(number, None, status="Started", exit_code=None, **more)


def run(*ranks: RankFacts, status: str = "Failed", world: int = 0, nodes: Any = None, missing: Any = ()) -> RunFacts:
    """A run of these processes."""
    ids = sorted({one.node_id for one in ranks})
    nodes = nodes if nodes is not None else tuple(NodeFacts(node, f"10.0.0.{ord(node) - 96}", "Failed") for node in ids)
    return RunFacts(status, world or len(ranks) + len(missing), "", tuple(nodes), ranks, tuple(missing))


def verdict(facts: RunFacts) -> tuple[int | None, str, str]:
    """(rank, kind, confidence), and the answer can be made."""
    decision = decide(facts)
    assert isinstance(decision, Decision)
    told = exhibits.verdict(facts, decision)
    assert told.is_decided
    assert told.sentence
    return told.rank, told.kind, told.confidence


def test_a_reason_of_its_own_comes_before_a_consequence_that_was_noticed_earlier() -> None:
    assert verdict(run(rank(0, 10.0, CLOSED), rank(1, 10.05, signal=11, exit_code=139))) == (1, "signal", "high")


def test_the_order_is_that_of_corrected_clocks_and_their_error_limits_what_is_known() -> None:
    first, second = "ValueError: a", "KeyError: 'b'"
    sure = run(rank(0, 10, first, clock_error_ns=MS), rank(1, 13, second, node="b", clock_error_ns=MS))
    assert verdict(sure) == (0, "exception", "high")
    close = run(rank(0, 10, first, clock_error_ns=400 * MS), rank(1, 10.5, second, node="b", clock_error_ns=400 * MS))
    assert verdict(close) == (0, "exception", "low")
    decision = decide(close)
    assert decision is not None
    assert first in decision.sentence
    assert second in decision.sentence


def test_two_reasons_of_one_node_are_told_apart_by_its_one_clock() -> None:
    one_clock = run(rank(0, 10, "ValueError: a", clock_error_ns=5 * S), rank(1, 13, "KeyError: 'b'", clock_error_ns=5 * S))
    assert verdict(one_clock) == (0, "exception", "high")
    soon = run(rank(0, 10, "ValueError: a"), rank(1, 10.5, "KeyError: 'b'"))
    assert verdict(soon) == (0, "exception", "medium")


def test_a_clock_that_nobody_measured_takes_the_certainty() -> None:
    facts = run(rank(0, 100, "ValueError: a", clock_error_ns=None), rank(1, 140, CLOSED, node="b", clock_error_ns=None))
    assert verdict(facts) == (0, "exception", "medium")


def test_the_same_mistake_on_all_ranks_is_one_failure() -> None:
    facts = run(*(rank(number, 10 + number / 1000, f"ValueError: rank {number} has no data") for number in range(4)))
    assert verdict(facts) == (0, "exception", "high")
    assert "3 others failed in the same way" in (decide(facts) or Decision("", "", "")).sentence


def test_where_an_exception_began_decides_what_it_is() -> None:
    torn = rank(
        0, 10.0, "RuntimeError: the step failed", exception_first="ConnectionResetError: [Errno 104] Connection reset by peer"
    )
    assert verdict(run(torn, rank(1, 10.6, exit_code=7))) == (1, "exit-code", "high")
    cleaning = rank(0, 10.0, "BrokenPipeError: [Errno 32] Broken pipe", exception_first="KeyError: 'lr'")
    assert verdict(run(cleaning, rank(1, 10.6, CLOSED))) == (0, "exception", "high")


def test_alone_nothing_is_a_consequence() -> None:
    assert verdict(run(rank(0, 1, CLOSED))) == (0, "exception", "high")


@pytest.mark.parametrize(("signal", "exit_code"), [(9, 137), (None, 137)])
def test_a_kill_for_memory_wins_over_all_that_follows(signal: int | None, exit_code: int) -> None:
    killed = rank(1, 10.1, signal=signal, exit_code=exit_code, oom="the kernel's log: Killed process 7 (python)")
    assert verdict(run(rank(0, 10, CLOSED), killed, rank(2, 12, "ValueError: empty"))) == (1, "oom", "high")


def test_a_count_of_kills_that_ranks_share_is_no_kill_of_those_that_failed_otherwise() -> None:
    shared = "its control group v2:/job counts 1 killed for memory while it ran"
    facts = run(rank(0, 10, CLOSED, oom=shared), rank(1, 10.05, signal=9, exit_code=137, oom=shared))
    assert verdict(facts) == (1, "oom", "high")
    worker = rank(0, 10, "RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.", oom=shared)
    assert verdict(run(worker, rank(1, 10.2, CLOSED))) == (0, "oom", "high")


def test_a_kill_that_nobody_owns_up_to_is_placed_but_not_explained() -> None:
    assert verdict(run(rank(0, 10, CLOSED), rank(1, 10, signal=9, exit_code=137))) == (1, "signal", "medium")


def test_what_was_asked_to_end_has_not_failed() -> None:
    stopped = rank(0, 20, status="Terminated", signal=15, exit_code=143, stopped_ns=15 * S, stopped_by="rank 1: exit code 1")
    assert verdict(run(stopped, rank(1, 10))) == (1, "exit-code", "high")
    before = rank(0, 20, "ValueError: a", exception_ns=9 * S, stopped_ns=15 * S, stopped_by="rank 1: exit code 1")
    assert verdict(run(before, rank(1, 10.5, CLOSED)))[:2] == (0, "exception")


def test_a_watchdogs_abort_is_a_consequence_and_any_other_abort_a_crash() -> None:
    said = b"[rank0]:[E] [Rank 0] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=7)\nterminate called\n"
    waiting = rank(0, 30, signal=6, exit_code=134, words=log_words.read(said, 0))
    assert verdict(run(waiting, rank(1, 10, exit_code=7))) == (1, "exit-code", "high")
    assert verdict(run(rank(0, 30, signal=6, exit_code=134), rank(1, 31, CLOSED))) == (0, "signal", "high")


def test_the_rank_that_never_started_is_named_where_the_others_waited() -> None:
    assert verdict(run(rank(0, 30, WAITED), rank(1, 30, WAITED), missing=(2,))) == (2, "never-started", "high")


def test_a_reason_of_its_own_is_less_sure_while_a_rank_is_missing() -> None:
    assert verdict(run(rank(0, 30, "MyError: the others did not come"), missing=(1,)))[2] == "medium"


def test_the_silent_rank_hung_where_the_others_waited() -> None:
    assert verdict(run(rank(0, 30, WAITED), rank(1, 30, WAITED), going(2))) == (2, "hang", "high")
    assert verdict(run(rank(0, 30, WAITED), going(1))) == (1, "hang", "medium")
    assert verdict(run(rank(0, 30, WAITED), going(1), going(2)))[1:] == ("hang", "low")
    named = "RuntimeError: Ranks 2 failed to pass monitoredBarrier in 30000 ms"
    assert verdict(run(rank(0, 30, named), going(1), going(2))) == (2, "hang", "high")


def test_a_rank_that_ended_well_too_early_is_named() -> None:
    done = rank(1, 9, status="Completed", exit_code=0)
    assert verdict(run(rank(0, 10, CLOSED), done, rank(2, 10, CLOSED))) == (1, "early-exit", "medium")


def lost(heard_s: float, node: str = "b") -> NodeFacts:
    return NodeFacts(node, "10.0.0.2", "Running", is_lost=True, heard_ns=round(heard_s * S))


def test_a_node_that_fell_silent_is_named_before_what_follows() -> None:
    failed = NodeFacts("a", "10.0.0.1", "Failed")
    torn = run(rank(0, 100, CLOSED), going(1, node="b"), status="Running", nodes=(failed, lost(95)))
    assert verdict(torn) == (1, "lost-contact", "high")
    untold = run(rank(0, 100, CLOSED), status="Running", nodes=(failed, lost(95)), missing=(1,))
    assert verdict(untold) == (1, "lost-contact", "high")
    alive_longer = run(rank(0, 100, "ValueError: a"), going(1, node="b"), status="Running", nodes=(failed, lost(200)))
    assert verdict(alive_longer)[:2] == (0, "exception")


def test_a_phase_before_the_driver_is_the_cause_and_a_time_limit_is_nobodys() -> None:
    failure = Failure(phase="preparation", cause="no space", log="azureml-logs/65_job_prep-a.txt", start=3, end=9)
    broken = NodeFacts("a", "10.0.0.1", "Failed", failure=failure, ended_ns=5)
    other = NodeFacts("b", "10.0.0.2", "Failed", failure=Failure(phase="rendezvous", cause="node 0 did not come"), ended_ns=4)
    assert verdict(run(world=2, nodes=(broken, other))) == (None, "phase", "high")
    limit = NodeFacts("a", "10.0.0.1", "Failed", exit_code=124, cause="ended at the time limit of 2 s")
    stopped = rank(0, 20, signal=9, exit_code=137, stopped_ns=15 * S, stopped_by="the time limit of 2 s")
    assert verdict(run(stopped, nodes=(limit,))) == (None, "timeout", "high")


def test_nothing_is_decided_of_what_has_not_failed() -> None:
    fine = rank(0, 3, status="Completed", exit_code=0)
    assert decide(run(fine, status="Completed", nodes=(NodeFacts("a", status="Completed"),))) is None
    assert decide(run(rank(0, 3, "ValueError: a"), status="Canceled")) is None
    assert decide(run(status="NotStarted", nodes=())) is None


TEXT = st.sampled_from(["", CLOSED, WAITED, "ValueError: a", "KeyError: 'b'"])
MOMENT = st.none() | st.integers(0, 100 * S)
FACTS = st.builds(
    RankFacts,
    rank=st.integers(0, 5),
    node_id=st.sampled_from("ab"),
    status=st.sampled_from(["Started", "Completed", "Failed", "Terminated"]),
    exit_code=st.none() | st.integers(-300, 300),
    signal=st.none() | st.integers(-5, 100),
    ended_ns=MOMENT,
    exception_ns=MOMENT,
    stopped_ns=MOMENT,
    clock_error_ns=st.none() | st.integers(0, S),
    cause=st.sampled_from(["", "cannot be started", "its exit code is lost"]),
    exception=TEXT,
    exception_first=TEXT,
    oom=TEXT,
)
NODE = st.builds(
    NodeFacts,
    st.sampled_from("ab"),
    status=st.sampled_from(["Running", "Failed", "Completed"]),
    is_lost=st.booleans(),
    heard_ns=MOMENT,
    ended_ns=MOMENT,
)


@given(
    st.lists(FACTS, max_size=6, unique_by=lambda facts: facts.rank),
    st.lists(NODE, max_size=2, unique_by=lambda node: node.node_id),
    st.sampled_from(["Failed", "Running", "Completed"]),
)
def test_whatever_is_told_can_be_answered(ranks: list[RankFacts], nodes: list[NodeFacts], status: str) -> None:
    facts = RunFacts(status, max(1, len(ranks)), "", tuple(nodes), tuple(ranks))
    exhibits.verdict(facts, decide(facts))


def test_of_thousands_that_failed_at_once_the_sentence_names_some_and_counts_the_others() -> None:
    ranks = [rank(number, 10.0, f"ValueError: {letter}") for number, letter in enumerate("abcdefghijklmnopqrst" * 100)]
    told = decide(run(*ranks))
    assert isinstance(told, Decision)
    assert told.confidence == "low"
    assert told.sentence.count("ValueError") == 8
    assert told.sentence.endswith("; and 1893 others")  # of those like the first one is named


@pytest.mark.parametrize(
    ("cause", "kind", "confidence", "sentence"),
    [
        ("E7: no data", "exception", "high", "the process said that its run has failed: E7: no data"),
        (
            "process 7 ended without saying how its run ended",
            "exit-code",
            "medium",
            "the process was killed, or left without a word: process 7 ended without saying how its run ended",
        ),
    ],
)
def test_an_interactive_run_ends_as_its_process_says(cause: str, kind: str, confidence: str, sentence: str) -> None:
    node = NodeFacts("a", "10.0.0.1", "Failed")
    facts = RunFacts("Failed", 1, cause, (node,), (rank(0, 10.0, exit_code=None, cause=cause),), (), is_interactive=True)
    assert verdict(facts) == (0, kind, confidence)
    decision = decide(facts)
    assert decision is not None
    assert decision.sentence == sentence
