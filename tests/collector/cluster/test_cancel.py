"""Cancelling, in every state, of runs of a queue and of others: it ends the run once, and what had ended stays as it was."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.collector.node import Node, call
from tests.collector.test_rendezvous import Member
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .fleet import cancel, fleet, impatient_collector, listed, shown, submitted


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector that gives silent nodes up soon."""
    with impatient_collector(tmp_path_factory.mktemp("impatient")) as process:
        yield process


def say(collector: CollectorProcess, run_id: str, *records: list[Any]) -> None:
    """Records of a run, by a request."""
    body = "".join(json.dumps(record) + "\n" for record in records).encode()
    answer = collector.client().send("POST", f"/runs/{run_id}/records", body, "application/x-ndjson")
    assert answer["refused"] == []


def summary(run: dict[str, Any]) -> tuple[str, str, bool]:
    return run["status"], run["cause"], run["is_complete"]


@pytest.mark.row("C7")
def test_a_run_that_waits_is_canceled_at_once(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    part = machine.take(submitted(collector, machine.cluster))
    run_id = submitted(collector, machine.cluster)
    user = collector.client().json("POST", "/tokens", {"kind": "user", "subject": "ada"})["token"]
    answer = call(collector, "POST", f"/api/v1/runs/{run_id}/cancel", {"reason": "a typo"}, token=user)
    assert (answer.status, *summary(answer.json)) == (200, "Canceled", "canceled by ada: a typo", True)
    again = cancel(collector, run_id)
    assert (again.status, again.json["cause"]) == (200, "canceled by ada: a typo")
    assert [one["run"]["run_id"] for one in listed(collector, machine.cluster)] == [part.run_id]
    assert [one["status"] for one in shown(collector, run_id)["transitions"]] == ["Queued", "Canceled"]
    part.finish()
    machine.beat()
    assert machine.assigned(run_id) is None


def test_a_run_that_no_node_has_taken_yet_is_canceled_at_once_and_can_not_be_started_any_more(
    collector: CollectorProcess,
) -> None:
    (machine,) = fleet(collector, 1)
    run_id = submitted(collector, machine.cluster)
    machine.given(run_id)
    seen = machine.work()["version"]
    assert cancel(collector, run_id).json["status"] == "Canceled"
    assert machine.work(seen=seen, wait_s=20)["assignments"] == []
    machine.take(submitted(collector, machine.cluster)).finish()


def test_what_runs_is_told_by_both_ways_and_ends_as_its_nodes_say(collector: CollectorProcess) -> None:
    machines = fleet(collector, 2)
    run_id = submitted(collector, machines[0].cluster, node_count=2)
    parts = [machine.take(run_id) for machine in machines]
    for part in parts:
        part.put("Running", phase="driver")
    answer = cancel(collector, run_id, "enough")
    assert (answer.status, answer.json["status"]) == (200, "CancelRequested")
    assert cancel(collector, run_id, "again").json["status"] == "CancelRequested"
    for part in parts:
        order = part.machine.assigned(run_id)
        assert order is not None
        assert order["stop"] == "canceled by the administrator: enough"
        stop = part.put("Running", phase="driver")["stop"]
        assert (stop["reason"], stop["is_failure"]) == (order["stop"], False)
    parts[0].finish("Canceled", 143)
    assert shown(collector, run_id)["status"] == "CancelRequested"
    parts[1].finish("Canceled", 143)
    run = shown(collector, run_id)
    assert (run["status"], run["exit_code"]) == ("Canceled", 143)
    wait_for(lambda: shown(collector, run_id)["is_complete"], "its overall logs")
    wait_for(lambda: not listed(collector, machines[0].cluster), "the queue is empty")


def test_a_part_that_has_begun_ends_the_run_and_one_that_has_not_is_not_waited_for(collector: CollectorProcess) -> None:
    machines = fleet(collector, 2)
    run_id = submitted(collector, machines[0].cluster, node_count=2)
    part = machines[0].take(run_id)
    machines[1].given(run_id)
    assert cancel(collector, run_id).json["status"] == "CancelRequested"
    assert machines[1].assigned(run_id) is None
    part.finish("Canceled", 143)
    assert shown(collector, run_id)["status"] == "Canceled"


def test_who_has_ended_otherwise_stays_so(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    part = machine.take(submitted(collector, machine.cluster))
    part.put("Finalizing", exit_code=0)
    assert cancel(collector, part.run_id).json["status"] == "CancelRequested"
    assert part.put("Finalizing", exit_code=0)["stop"] is None
    part.finish()  # its driver had ended before
    assert shown(collector, part.run_id)["status"] == "Completed"
    answer = cancel(collector, part.run_id)
    assert (answer.status, answer.json["code"]) == (409, "ended")
    assert "Completed" in answer.json["detail"]


def test_a_run_that_no_queue_has_started_is_asked_to_end(collector: CollectorProcess) -> None:
    node = Node(collector)
    assert node.put_state("Running", phase="driver")["stop"] is None
    assert node.put_state("Running", phase="driver")["stop"] is None  # answered from memory
    assert cancel(collector, node.run_id, "by hand").json["status"] == "CancelRequested"
    stop = node.put_state("Running", phase="driver")["stop"]
    assert (stop["reason"], stop["is_failure"]) == ("canceled by the administrator: by hand", False)
    collector.kill()
    collector.restart()
    assert node.put_state("Running", phase="driver")["stop"] is not None
    node.put_state("Canceled", exit_code=143, is_complete=True)
    assert summary(node.run())[0] == "Canceled"
    assert cancel(collector, "no-such-run").json["code"] == "no-such-run"


def test_nodes_that_wait_for_each_other_are_told_at_once(collector: CollectorProcess) -> None:
    node = Member(collector, "many-" + secrets.token_hex(4), 0).register()
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(node.meet(30)))
    waiting.start()
    node.put_state("Starting", phase="rendezvous")
    cancel(collector, node.run_id, "not now")
    waiting.join(20)
    assert (answers[0].status, answers[0].json["code"]) == (409, "run-failed")
    assert "not now" in answers[0].json["detail"]


def test_a_run_of_which_nobody_was_ever_heard_is_canceled_at_once(collector: CollectorProcess) -> None:
    node = Node(collector, register=False)
    assert summary(cancel(collector, node.run_id).json)[::2] == ("Canceled", True)


def test_a_canceled_run_whose_node_is_lost_is_canceled_whatever_retries_are_left(impatient: CollectorProcess) -> None:
    (machine,) = fleet(impatient, 1)
    part = machine.take(submitted(impatient, machine.cluster, retries=3))
    part.put("Running", phase="driver")
    assert cancel(impatient, part.run_id).json["status"] == "CancelRequested"
    wait_for(lambda: shown(impatient, part.run_id)["status"] == "Canceled", "the node is given up")
    cause = f"canceled by the administrator; lost contact with node {machine.description['hostname']}"
    assert summary(shown(impatient, part.run_id)) == ("Canceled", cause, True)


def test_a_canceled_run_of_no_queue_whose_node_is_gone_is_canceled_and_the_node_is_told_should_it_come_back(
    impatient: CollectorProcess,
) -> None:
    node, slow = Node(impatient), Node(impatient)
    for one in (node, slow):
        one.put_state("Running", phase="driver")
        assert cancel(impatient, one.run_id, "by hand").json["status"] == "CancelRequested"
    is_over = lambda: slow.put_state("Running", phase="driver") and shown(impatient, node.run_id)["status"] == "Canceled"  # noqa: E731
    wait_for(is_over, "the node is given up")
    assert shown(impatient, slow.run_id)["status"] == "CancelRequested"  # that one is there, and takes its time
    cause = "canceled by the administrator: by hand; lost contact with node 127.0.0.1"
    assert summary(shown(impatient, node.run_id)) == ("Canceled", cause, True)
    stop = node.put_state("Running", phase="driver")["stop"]
    assert ("the run is over" in stop["reason"], stop["is_failure"]) == (True, False)
    node.put_state("Completed", exit_code=0, is_complete=True)
    assert summary(shown(impatient, node.run_id)) == ("Canceled", cause, True)


def test_a_sweep_is_canceled_with_its_children_and_theirs(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    sweep = f"sweep-{secrets.token_hex(4)}"
    made = {"run_id": sweep, "experiment": "e", "kind": "sweep"}
    assert call(collector, "POST", "/api/v1/client-runs", made).status == 201
    assert call(collector, "POST", "/api/v1/client-runs", made).status == 200
    assert call(collector, "POST", "/api/v1/client-runs", made | {"experiment": "other"}).json["code"] == "run-taken"
    # One child runs and has a child of its own that no node has; another waits; a third is over.
    part = machine.take(submitted(collector, machine.cluster, parent_run_id=sweep))
    waiting = submitted(collector, machine.cluster, parent_run_id=sweep)
    own, over = f"{part.run_id}_own", f"{sweep}_over"
    say(collector, part.run_id, ["c", own, "", "", "child", "", 1000], ["s", own, "Running", "", 1000])
    say(collector, sweep, ["c", over, "", "", "child", "", 1000], ["s", over, "Completed", "", 2000])

    assert cancel(collector, sweep, "enough").json["status"] == "Canceled"
    assert summary(shown(collector, sweep))[1] == "canceled by the administrator: enough"
    assert summary(shown(collector, waiting)) == ("Canceled", f"canceled with its parent run {sweep}", True)
    assert shown(collector, part.run_id)["status"] == "CancelRequested"
    assert shown(collector, own)["status"] == "Running"  # until its parent, which a node has, has ended
    assert shown(collector, over)["status"] == "Completed"
    part.finish("Canceled")
    wait_for(lambda: shown(collector, own)["status"] == "Canceled", "the end of the child of a child")
    assert cancel(collector, sweep).status == 200
    assert [one["run"]["run_id"] for one in listed(collector, machine.cluster)] == []
