"""The queue at a real collector: who gets nodes and when, what becomes of runs whose nodes are lost, and that none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.collector.node import LOG, call
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .fleet import Machine, Part, fleet, impatient_collector, listed, shown, submit, submitted, whoever


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector that gives silent nodes up soon."""
    with impatient_collector(tmp_path_factory.mktemp("impatient")) as process:
        yield process


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status, answer.json["code"]


@pytest.mark.row("C6")
def test_a_run_waits_for_nodes_is_given_to_all_of_them_at_once_and_ends_as_they_say(collector: CollectorProcess) -> None:
    first, second = fleet(collector, 2)
    blocker = whoever([first, second], submitted(collector, first.cluster))
    run_id = submitted(collector, first.cluster, node_count=2, spec={"name": "wide"})
    waits = wait_for(lambda: listed(collector, first.cluster)[1]["waits_for"], "it is told what the run waits for")
    run = shown(collector, run_id)
    assert (run["status"], run["name"], run["pending"], run["node_count"]) == ("Queued", "wide", waits, 2)
    assert "1 of 2 free now" in waits
    assert first.assigned(run_id) is second.assigned(run_id) is None
    blocker.finish()
    parts = [machine.take(run_id) for machine in (first, second)]
    assert sorted(part.order["node_rank"] for part in parts) == [0, 1]
    for part in parts:
        part.put("Running", phase="driver")
    assert shown(collector, run_id)["status"] == "Running"
    for part in parts:
        part.finish()
    run = shown(collector, run_id)
    assert (run["status"], run["exit_code"]) == ("Completed", 0)
    assert [moment["status"] for moment in run["transitions"]][:2] == ["Queued", "Starting"]
    wait_for(lambda: not listed(collector, first.cluster), "the queue is empty")
    assert first.work()["assignments"] == []


def test_the_same_run_submitted_again_is_the_same_run_and_another_one_with_its_id_is_refused(
    collector: CollectorProcess,
) -> None:
    cluster = fleet(collector, 1)[0].cluster
    asked: dict[str, Any] = {"run_id": f"same-{cluster}", "priority": 3, "request": {"cpus": 2}}
    assert [submit(collector, cluster, **asked).status for _ in range(2)] == [201, 200]
    assert refusal(submit(collector, cluster, **asked | {"priority": 4})) == (409, "run-id-taken")
    user = collector.client().json("POST", "/tokens", {"kind": "user", "subject": "eve"})["token"]
    assert refusal(submit(collector, cluster, **asked, token=user)) == (409, "run-id-taken")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"node_count": 3}, ["3 nodes", "has 2 nodes"]),
        ({"request": {"gpus": 4}}, ["1 node with 4 GPUs", "has 2 nodes, 0 of them", "2 GPUs"]),
        ({"request": {"memory_bytes": 64 << 30}}, ["64 GiB of memory", "32 GiB of memory"]),
    ],
)
def test_a_run_that_asks_for_more_than_the_cluster_has_is_refused_with_what_there_is(
    collector: CollectorProcess, asked: dict[str, Any], words: list[str]
) -> None:
    cluster = fleet(collector, 2)[0].cluster
    answer = submit(collector, cluster, **asked)
    assert refusal(answer) == (400, "too-large-for-cluster")
    assert all(word in answer.json["detail"] for word in words), answer.json["detail"]
    assert listed(collector, cluster) == []


@pytest.mark.parametrize(
    "spec",
    [{"command": "train"}, {"unknown": 1}, {"distribution": {"max_restarts": 2}}, {"distribution": 7}, {"experiment": "a/b"},
     {"distribution": {"kind": "none", "processes_per_node": "x"}}, {"limits": {"driver_s": "soon"}}, {"tags": {"a": 1}},
     {"environment": {"kind": "container"}}, {"cwd": "here"}],
)  # fmt: skip
def test_a_spec_that_is_none_is_refused_in_a_sentence(collector: CollectorProcess, spec: dict[str, Any]) -> None:
    answer = submit(collector, fleet(collector, 1)[0].cluster, spec=spec)
    assert refusal(answer) == (400, "invalid")
    assert "order.spec cannot be used" in answer.json["detail"]
    assert refusal(submit(collector, "no-such-cluster")) == (404, "no-such-cluster")


def test_a_node_starts_no_attempt_that_was_not_given_to_it(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    other = Machine(collector, machine.cluster)
    other.call("POST", "/drain", {"reason": ""}, token=collector.token)
    part = machine.take(submitted(collector, machine.cluster))
    assert part.admitted.status == 200
    assert part.create().status == 200  # its shipper says it again
    part.machine = other
    part.run_token = "another-token-of-the-other-node"
    assert refusal(part.create()) == (409, "not-placed")
    part.machine, part.attempt = machine, 1
    assert refusal(part.create()) == (409, "not-placed")


def test_runs_share_a_node_as_far_as_it_goes_and_one_that_wants_it_for_itself_waits(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    small = [submitted(collector, machine.cluster, request={"cpus": 3, "gpus": 1}) for _ in range(3)]
    parts = [machine.take(run_id) for run_id in small[:2]]
    alone = submitted(collector, machine.cluster)
    assert machine.assigned(small[2]) is None
    parts[0].finish()
    last = machine.take(small[2])
    for part in (parts[1], last):
        assert machine.assigned(alone) is None
        part.finish()
    machine.take(alone).finish()


def test_who_is_drained_or_unusable_gets_nothing_and_what_it_has_goes_on(collector: CollectorProcess) -> None:
    drained, broken = fleet(collector, 2)
    broken.say("Unusable", reason="a GPU is stuck")
    part = drained.take(submitted(collector, drained.cluster, request={"cpus": 1}))
    drained.call("POST", "/drain", {"reason": "maintenance"}, token=collector.token)
    run_id = submitted(collector, drained.cluster, request={"cpus": 1})
    waits = wait_for(lambda: listed(collector, drained.cluster)[1]["waits_for"], "it is told what it waits for")
    assert "2 cannot be used" in waits
    assert part.put("Running")["stop"] is None
    part.finish()
    assert drained.assigned(run_id) is None
    drained.call("POST", "/resume", token=collector.token)
    drained.take(run_id).finish()


def test_a_run_that_a_node_refuses_has_failed_with_its_reason(collector: CollectorProcess) -> None:
    machines = fleet(collector, 2)
    run_id = submitted(collector, machines[0].cluster, node_count=2)
    first = machines[0].take(run_id)
    machines[1].given(run_id)
    refused = {"run_id": run_id, "attempt": 0, "reason": "there is no user 'nobody2' on this node"}
    machines[1].beat(refused=[refused])
    run = shown(collector, run_id)
    assert run["status"] == "Failed"
    assert run["cause"] == f"node {machines[1].description['hostname']} cannot start it: {refused['reason']}"
    order = machines[0].assigned(run_id)
    assert order is not None
    assert refused["reason"] in order["stop"]
    assert refused["reason"] in first.put("Running")["stop"]["reason"]
    assert not shown(collector, run_id)["is_complete"]
    first.finish("Failed", 143)
    run = shown(collector, run_id)
    assert (run["status"], run["exit_code"]) == ("Failed", None)
    machines[0].take(submitted(collector, machines[0].cluster, node_count=2))


def test_a_run_that_has_waited_too_long_has_failed(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    part = machine.take(submitted(collector, machine.cluster))
    run_id = submitted(collector, machine.cluster, max_queue_s=0.2)
    wait_for(lambda: shown(collector, run_id)["status"] == "Failed", "it has waited too long")
    run = shown(collector, run_id)
    assert "waited for 0.2 s" in run["cause"]
    assert run["is_complete"]
    part.finish()


def test_the_queue_survives_a_kill_of_the_collector(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    part = machine.take(submitted(collector, machine.cluster))
    low, high = (submitted(collector, machine.cluster, priority=priority) for priority in (0, 5))
    collector.kill()
    collector.restart()
    assert [one["run"]["run_id"] for one in listed(collector, machine.cluster)] == [high, part.run_id, low]
    part.put("Running")
    part.finish()
    machine.beat()
    machine.take(high).finish()
    machine.take(low).finish()


def test_a_run_whose_node_is_lost_goes_to_another_one_and_the_first_is_told_to_stop(impatient: CollectorProcess) -> None:
    lost, other = fleet(impatient, 2)
    other.call("POST", "/drain", {"reason": ""}, token=impatient.token)
    run_id = submitted(impatient, lost.cluster, retries=1)
    part = lost.take(run_id)
    part.put("Running", phase="driver")
    late = part.open_one()
    other.call("POST", "/resume", token=impatient.token)
    assert other.given(run_id)["attempt"] == 1
    assert shown(impatient, run_id)["attempt"] == 1
    again = other.take(run_id)
    again.put("Running", phase="driver")
    stop = part.put("Running", phase="driver")["stop"]
    assert "attempt 1" in stop["reason"]
    assert stop["is_failure"]
    part.send(late, 0, b"of the first attempt\n", sync=True)
    lost.beat()
    assert lost.assigned(run_id) is None
    wide = submitted(impatient, lost.cluster)
    other.beat()
    assert lost.assigned(wide) is None  # it still has something of the first attempt
    part.finish("Canceled", 143)
    assert shown(impatient, run_id)["status"] == "Running"
    again.finish()
    run = shown(impatient, run_id)
    assert (run["status"], run["exit_code"], run["attempt"]) == ("Completed", 0, 1)
    wait_for(lambda: shown(impatient, run_id)["is_complete"], "nothing is waited for of the first node")
    assert part.file(f"{part_folder(run, part.node_id)}/{LOG}").data == b"of the first attempt\n"


def part_folder(run: dict[str, Any], node_id: str) -> str:
    """The folder of a node's files."""
    folder: str = next(node["folder"] for node in run["nodes"] if node["node_id"] == node_id)
    return folder


def test_a_run_whose_node_is_lost_without_retries_has_failed_and_no_later_word_changes_that(
    impatient: CollectorProcess,
) -> None:
    lost, other = fleet(impatient, 2)
    run_id = submitted(impatient, lost.cluster, node_count=2)
    parts = [machine.take(run_id) for machine in (lost, other)]
    for part in parts:
        part.put("Running", phase="driver")
    wait_for(lambda: other.beat() and shown(impatient, run_id)["status"] == "Failed", "the run has failed")
    run = shown(impatient, run_id)
    assert run["cause"] == f"lost contact with node {lost.description['hostname']}"
    assert "lost contact" in parts[1].put("Running")["stop"]["reason"]
    assert not run["is_complete"]
    verdict = impatient.client().json("GET", f"/runs/{run_id}/verdict")
    assert (verdict["kind"], verdict["node_id"]) == ("lost-contact", lost.node_id)
    parts[1].finish("Failed", 143)
    wait_for(lambda: shown(impatient, run_id)["is_complete"], "nothing more is waited for")
    for part in parts:
        part.finish()
    run = shown(impatient, run_id)
    assert (run["status"], run["cause"]) == ("Failed", f"lost contact with node {lost.description['hostname']}")


def test_a_node_that_dies_before_it_has_begun_costs_no_retry(impatient: CollectorProcess) -> None:
    (lost,) = fleet(impatient, 1)
    run_id = submitted(impatient, lost.cluster)
    lost.given(run_id)
    other = Machine(impatient, lost.cluster)
    assert other.given(run_id)["attempt"] == 1
    other.take(run_id).finish()
    assert shown(impatient, run_id)["status"] == "Completed"


def test_a_node_that_has_nothing_of_its_run_any_more_has_lost_it(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    once, again = (submitted(collector, machine.cluster, retries=retries, request={"cpus": 1}) for retries in (0, 1))
    for run_id in (once, again):
        machine.take(run_id)
    machine.runs.clear()  # its disk was lost
    machine.beat()
    wait_for(lambda: shown(collector, once)["status"] == "Failed", "the run has failed")
    assert "has nothing of the run any more" in shown(collector, once)["cause"]
    part = machine.take(again)
    assert part.attempt == 1
    part.finish()


@pytest.mark.parametrize("retries", [0, 1])
def test_a_node_that_comes_back_with_an_empty_disk_does_not_execute_the_same_attempt_again(
    collector: CollectorProcess, retries: int
) -> None:
    (machine,) = fleet(collector, 1)
    run_id = submitted(collector, machine.cluster, retries=retries)
    order = machine.given(run_id)
    Part(machine, order, is_told=False)  # the node died before its agent could say what it has
    machine.beat()
    assert machine.assigned(run_id) == order
    again = Part(machine, order)
    assert refusal(again.admitted) == (409, "not-placed")
    if retries:
        machine.take(run_id).finish()
        run = shown(collector, run_id)
        assert (run["status"], run["attempt"]) == ("Completed", 1)
    else:
        wait_for(lambda: shown(collector, run_id)["status"] == "Failed", "the run has failed")
        assert "has nothing of the run any more" in shown(collector, run_id)["cause"]
    wait_for(lambda: not listed(collector, machine.cluster), "the queue is empty")


def test_a_wide_run_gets_its_nodes_although_small_ones_never_stop_coming(impatient: CollectorProcess) -> None:
    machines = fleet(impatient, 2)
    cluster = machines[0].cluster
    parts = [whoever(machines, submitted(impatient, cluster)) for _ in machines]
    wide = submitted(impatient, cluster, node_count=2)
    small = [submitted(impatient, cluster) for _ in range(3)]
    for part in parts:  # never both at once
        part.finish()
        for machine in machines:
            machine.beat()
    wides = [machine.take(wide) for machine in machines]
    assert all(machine.assigned(run_id) is None for machine in machines for run_id in small)
    for one in wides:
        one.finish()
    whoever(machines, small[0]).finish()


def test_what_follows_a_queued_run_sees_how_it_goes_on(collector: CollectorProcess) -> None:
    (machine,) = fleet(collector, 1)
    run_id = submitted(collector, machine.cluster)
    part = machine.take(run_id)
    with part.follow() as events:
        part.put("Running", phase="driver")
        part.finish()
        words = [event.data for event in events if event.name in ("status", "end")]
    assert '"status":"Completed"' in words[-1]
    user = collector.client().json("POST", "/tokens", {"kind": "user", "subject": "ada"})["token"]
    assert call(collector, "POST", f"/api/v1/runs/{run_id}/pin", token=user).status == 200
    assert call(collector, "POST", f"/api/v1/runs/{run_id}/unpin", token=user).status == 200
