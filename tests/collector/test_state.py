"""What a run of several nodes is, from what each of them says: its status, its phase, its failure, and how it came there."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.collector.messages import NodeStatus
from runyard.collector.report import Failure, Phase, Transition
from runyard.collector.state import FINAL, State, of_run, transitions_of_run

STATUSES = st.sampled_from(get_args(NodeStatus))


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ((), "NotStarted"),
        (("Failed",), "Failed"),
        (("NotStarted", "NotStarted"), "NotStarted"),
        (("NotStarted", "Queued"), "Queued"),
        (("Starting", "Queued"), "Starting"),
        (("Starting", "Provisioning"), "Provisioning"),
        (("Preparing", "Provisioning", "NotStarted"), "Preparing"),
        (("NotStarted", "Running"), "Running"),
        (("Preparing", "Running"), "Running"),
        (("NotStarted", "Completed"), "Running"),
        (("Preparing", "Finalizing"), "Running"),
        (("Running", "Failed"), "Running"),
        (("Finalizing", "Finalizing"), "Finalizing"),
        (("Finalizing", "Failed"), "Finalizing"),
        (("CancelRequested", "Running"), "CancelRequested"),
        (("CancelRequested", "Canceled"), "CancelRequested"),
        (("CancelRequested", "Finalizing"), "CancelRequested"),
        (("Completed", "Completed"), "Completed"),
        (("Completed", "Canceled"), "Canceled"),
        (("Canceled", "Failed", "Completed"), "Failed"),
    ],
)
def test_a_run_is_what_its_nodes_are(statuses: tuple[str, ...], expected: str) -> None:
    assert of_run([State(status) for status in statuses]).status == expected
    assert of_run([State(status) for status in reversed(statuses)]).status == expected


@given(st.lists(STATUSES, min_size=1))
def test_a_run_has_ended_exactly_when_all_its_nodes_have(statuses: list[str]) -> None:
    run = of_run([State(status) for status in statuses])
    assert run.is_final == all(status in FINAL for status in statuses)


def test_the_first_node_that_failed_explains_the_run() -> None:
    broken = Failure(phase="preparation", cause="no space", log="azureml-logs/65_job_prep-x.txt", start=3, end=9)
    nodes = [
        State("Failed", 1, None, "late", 1, 30, True, "driver", Failure(phase="driver", cause="late")),
        State("Failed", 2, 9, "first", 2, 20, True, "release", broken),
        State("Completed", 0, None, "", 3, 10, False, "release"),
    ]
    assert of_run(nodes) == State("Failed", 2, 9, "first", 1, 30, False, "release", broken)


def test_what_is_known_to_have_failed_first_explains_the_run_whatever_the_nodes_clocks_say() -> None:
    nodes = [State("Failed", 1, ended_ns=5), State("Failed", 143, ended_ns=9, cause="ended"), State("Canceled", 143)]
    first = State("Failed", 7, None, "rank 3 on 10.0.0.2 failed: exit code 7", ended_ns=9, phase="release")
    run = of_run(nodes, 3, first)
    assert (run.status, run.exit_code, run.cause) == ("Failed", 7, first.cause)
    assert of_run([State("Running"), *nodes], 4, first).cause == ""


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([], "NotStarted"),
        ([State("Starting")], "Starting"),
        ([State("Running")], "Running"),
        ([State("Completed", exit_code=0), State("Completed", exit_code=0)], "Running"),
        ([State("Finalizing", exit_code=0)], "Running"),
        ([State("Completed", exit_code=0), State("Failed", 1)], "Failed"),
        ([State("Failed")], "Failed"),
        ([State("Canceled", 130)], "Canceled"),
        ([State("Finalizing", failure=Failure(phase="rendezvous", cause="alone"))], "Finalizing"),
        ([State("Failed"), State("Starting", phase="rendezvous")], "Running"),
    ],
)
def test_a_run_has_not_ended_without_nodes_that_never_came_unless_they_can_change_nothing(
    nodes: list[State], expected: str
) -> None:
    assert of_run(nodes, 3).status == expected


@given(st.lists(STATUSES, min_size=1), st.integers(min_value=0, max_value=3))
def test_missing_nodes_never_let_a_run_complete(statuses: list[str], missing: int) -> None:
    run = of_run([State(status) for status in statuses], len(statuses) + missing)
    if run.is_final:
        assert all(status in FINAL for status in statuses)
        assert not missing or run.status != "Completed"
    elif all(status in FINAL for status in statuses):
        assert missing


def test_a_failure_is_told_while_other_nodes_go_on() -> None:
    broken = Failure(phase="image", cause="no such image")
    nodes = [State("Running", phase="driver"), State("Finalizing", ended_ns=5, phase="release", failure=broken)]
    run = of_run(nodes)
    assert (run.status, run.failure, run.cause) == ("Running", broken, "")


@pytest.mark.parametrize(
    ("nodes", "status", "phase"),
    [
        ([("Preparing", "preparation"), ("Preparing", "image")], "Preparing", "image"),
        ([("Preparing", "preparation"), ("Starting", "")], "Preparing", "preparation"),
        ([("Running", "driver"), ("Provisioning", "execution")], "Running", "driver"),
        ([("Completed", "release"), ("Preparing", "preparation")], "Running", "preparation"),
        (
            [("CancelRequested", "preparation"), ("CancelRequested", "driver"), ("Starting", "")],
            "CancelRequested",
            "preparation",
        ),
        ([("Finalizing", "release"), ("Canceled", "preparation")], "Finalizing", "release"),
    ],
)
def test_the_phase_is_that_of_the_hindmost_node_in_the_runs_status(
    nodes: list[tuple[str, str]], status: str, phase: str
) -> None:
    run = of_run([State(one, phase=its) for one, its in nodes])
    assert (run.status, run.phase) == (status, phase)


def moment(status: str, phase: str, wall_ns: int) -> Transition:
    told: Any = {"status": status, "phase": phase, "wall_ns": wall_ns}
    return Transition(**told)


def test_the_transitions_of_two_nodes_become_those_of_the_run() -> None:
    first = [
        moment("Starting", "", 1),
        moment("Preparing", "preparation", 3),
        moment("Running", "driver", 6),
        moment("Failed", "driver", 8),
    ]
    second = [
        moment("Starting", "", 2),
        moment("Preparing", "preparation", 5),
        moment("Running", "driver", 7),
        moment("Finalizing", "release", 9),
        moment("Completed", "release", 10),
    ]
    assert transitions_of_run([first, second]) == [
        moment("Starting", "", 1),
        moment("Preparing", "preparation", 3),
        moment("Running", "driver", 6),
        moment("Finalizing", "release", 9),
        moment("Failed", "driver", 10),
    ]


def test_a_clock_that_went_back_changes_no_order() -> None:
    first = [moment("Starting", "", 100), moment("Running", "driver", 40), moment("Completed", "driver", 50)]
    assert [one.status for one in transitions_of_run([first])] == ["Starting", "Running", "Completed"]
    assert [one.wall_ns for one in transitions_of_run([first])] == [100, 100, 100]


def test_a_node_that_has_not_begun_keeps_the_run_from_having_ended() -> None:
    told = transitions_of_run([[moment("Running", "driver", 1), moment("Completed", "release", 2)], []])
    assert told == [moment("Running", "driver", 1), moment("Running", "", 2)]


# How nodes come through a run: a final status is the last.
JOURNEY = st.tuples(
    st.lists(st.tuples(STATUSES.filter(lambda status: status not in FINAL), st.sampled_from(get_args(Phase))), max_size=5),
    st.none() | st.tuples(st.sampled_from(sorted(FINAL)), st.sampled_from(get_args(Phase))),
).map(lambda parts: [*parts[0], *([parts[1]] if parts[1] else [])])


@given(st.lists(JOURNEY, max_size=4), st.randoms(use_true_random=False))
def test_the_transitions_are_what_a_look_after_each_step_would_see(journeys: list[list[tuple[str, str]]], random: Any) -> None:
    turns = [node for node, journey in enumerate(journeys) for _ in journey]
    random.shuffle(turns)
    told: list[list[Transition]] = [[] for _ in journeys]
    now = [State() for _ in journeys]
    expected: list[Transition] = []
    for wall_ns, node in enumerate(turns):
        status, phase = journeys[node][len(told[node])]
        told[node].append(moment(status, phase, wall_ns))
        now[node] = State(status, ended_ns=wall_ns if status in FINAL else None, phase=phase)
        run = of_run(now)
        if not expected or (run.status, run.phase) != (expected[-1].status, expected[-1].phase):
            expected.append(moment(run.status, run.phase, wall_ns))
    assert transitions_of_run(told) == expected
