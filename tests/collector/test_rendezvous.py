"""Several nodes of one run at the collector: how they join it, how they meet, and whom a failure ends."""

from __future__ import annotations

import secrets
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from runyard.client import CollectorClient
from runyard.errors import CollectorRefused
from tests.collector.node import Answer, Node, call, sha256
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

COMMAND = ["python", "train.py"]


class Member(Node):
    """A node of a run on several: it creates or joins the run, with a token of its own."""

    def __init__(self, collector: CollectorProcess, run_id: str, rank: int, count: int = 2, **fields: Any) -> None:
        self.rank = rank
        shared = {"node_count": count, "world_size": count, "failure_grace_s": 0.0, "node_rank": rank}
        token = fields.pop("token", None)
        super().__init__(collector, run_id=run_id, ip=f"10.77.0.{11 + rank}", create=False, register=False)
        self.wanted = self.description(**(shared | {"node_id": self.node_id, "hostname": f"n{rank}"} | fields))
        self.created = call(collector, "POST", "/api/v1/runs", self.wanted, token=token)

    def register(self) -> Member:
        """Make the node known in its run."""
        assert self.created.status in (200, 201), self.created.data
        body = {"node_id": self.node_id, "ip": f"10.77.0.{11 + self.rank}", "hostname": f"n{self.rank}"}
        self.client.json("POST", f"/runs/{self.run_id}/nodes", body)
        return self

    def meet(self, wait_s: float = 0, *, token: str | None = None, **fields: Any) -> Answer:
        """Say that this node is ready to meet the others."""
        body = {"node_id": self.node_id, "node_rank": self.rank, "ip": f"10.77.0.{11 + self.rank}"}
        body |= {"hostname": f"n{self.rank}", "port": 29_500 + self.rank, "processes": 1, "ranks": [self.rank]} | fields
        path = f"/api/v1/runs/{self.run_id}/rendezvous?wait_s={wait_s}"
        return call(self.collector, "POST", path, body, token=token or self.run_token)

    def stop(self) -> Any:
        """What a node that says again that it runs is asked to do."""
        return self.put_state("Running", phase="driver")["stop"]


@pytest.fixture
def run_id() -> str:
    return "many-" + secrets.token_hex(4)


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


@pytest.mark.row("A7")
def test_the_first_node_creates_the_run_and_the_others_join_it(collector: CollectorProcess, run_id: str) -> None:
    second, first = Member(collector, run_id, 1), Member(collector, run_id, 0)
    assert (second.created.status, first.created.status) == (201, 200)
    for node in (first, second):
        again = call(collector, "POST", "/api/v1/runs", node.wanted)
        assert (again.status, again.json["run_id"]) == (200, run_id)
        node.register()
        stream = node.open_one()
        node.send(stream, 0, b"line\n", sync=True)  # with the token that is this node's own
    assert {node["folder"] for node in first.run()["nodes"]} == {"10.77.0.11", "10.77.0.12"}
    assert (first.run()["node_count"], first.run()["world_size"]) == (2, 2)


@pytest.mark.parametrize(
    "differs",
    [
        {"command": ["python", "other.py"]},
        {"experiment": "another"},
        {"node_count": 3},
        {"world_size": 4},
        {"on_failure": "wait"},
        {"failure_grace_s": 5.0},
    ],
    ids=lambda differs: next(iter(differs)),
)
def test_a_node_that_was_told_something_else_is_refused_and_told_what(
    collector: CollectorProcess, run_id: str, differs: dict[str, Any]
) -> None:
    Member(collector, run_id, 0)
    answer = Member(collector, run_id, 1, **differs).created
    assert refusal(answer) == (409, "run-differs")
    assert next(iter(differs)) in answer.json["detail"]


def test_only_who_created_a_run_or_the_administrator_lets_nodes_join(collector: CollectorProcess, run_id: str) -> None:
    tokens = {
        name: collector.client().json("POST", "/tokens", {"kind": "user", "subject": subject})["token"]
        for name, subject in (("anna", "anna"), ("anna again", "anna"), ("bert", "bert"))
    }
    assert Member(collector, run_id, 0, 3, token=tokens["anna"]).created.status == 201
    assert refusal(Member(collector, run_id, 1, 3, token=tokens["bert"]).created) == (403, "not-yours")
    assert Member(collector, run_id, 1, 3, token=tokens["anna again"]).created.status == 200
    assert Member(collector, run_id, 2, 3).created.status == 200
    mine = "mine-" + run_id
    Member(collector, mine, 0)
    assert refusal(Member(collector, mine, 1, token=tokens["anna"]).created) == (403, "not-yours")


def test_a_run_on_one_node_and_a_run_that_is_over_are_joined_by_nobody(collector: CollectorProcess, run_id: str) -> None:
    Node(collector, run_id="one-" + run_id)
    assert refusal(Member(collector, "one-" + run_id, 1).created) == (409, "run-id-taken")
    node = Member(collector, run_id, 0).register()
    node.put_state("Failed", exit_code=1, ended_ns=5, is_complete=True)
    assert refusal(Member(collector, run_id, 1).created) == (409, "run-id-taken")
    assert call(collector, "POST", "/api/v1/runs", node.wanted).status == 200  # its shipper, connecting again


def test_another_runs_token_is_not_taken_over(collector: CollectorProcess, run_id: str) -> None:
    other = Node(collector)
    Member(collector, run_id, 0)
    taken = Member(collector, run_id, 1, run_token_sha256=sha256(other.run_token.encode())).created
    assert refusal(taken) == (409, "token-taken")


def test_a_rank_is_one_nodes_and_a_node_has_one_rank(collector: CollectorProcess, run_id: str) -> None:
    first = Member(collector, run_id, 0)
    twice = Member(collector, run_id, 0).created
    assert refusal(twice) == (409, "rank-taken")
    assert "n0" in twice.json["detail"]
    shared = Member(collector, run_id, 1, node_id=first.node_id).created
    assert refusal(shared) == (409, "spool-shared")
    assert "spool.dir" in shared.json["detail"]
    assert refusal(Member(collector, run_id, 2).created) == (400, "invalid")
    # The same where a node tells its rank no sooner than when it comes to meet the others.
    late = Member(collector, run_id, 1, node_rank=None, node_id=None)
    assert late.created.status == 200
    first.meet()
    taken = late.meet(node_rank=0)
    assert refusal(taken) == (409, "rank-taken")
    assert "n0 (10.77.0.11)" in taken.json["detail"]
    assert refusal(late.meet(node_rank=1, node_id=first.node_id)) == (409, "spool-shared")
    assert refusal(late.meet(node_rank=2)) == (400, "invalid")
    assert late.meet().json["is_whole"]


@pytest.mark.row("A7")
def test_nodes_that_wait_are_answered_as_soon_as_the_last_has_come(collector: CollectorProcess, run_id: str) -> None:
    nodes = [Member(collector, run_id, rank, 3) for rank in range(3)]
    answers: dict[int, Answer] = {}

    def wait(node: Member) -> None:
        answers[node.rank] = node.meet(30)

    waiting = [threading.Thread(target=wait, args=(node,)) for node in (nodes[2], nodes[1])]
    for thread in waiting:
        thread.start()
    wait_for(lambda: len(nodes[2].meet().json["members"]) == 2, "two nodes at the collector")
    begun_s = time.monotonic()
    answers[0] = nodes[0].meet()
    for thread in waiting:
        thread.join()
    assert time.monotonic() - begun_s < 20
    first = answers[0].json
    assert [(one["node_rank"], one["ip"], one["port"], one["ranks"]) for one in first["members"]] == [
        (rank, f"10.77.0.{11 + rank}", 29_500 + rank, [rank]) for rank in range(3)
    ]
    assert first["is_whole"]
    assert len(first["secret"]) == 64
    assert all(answer.json == first for answer in answers.values())


def test_a_node_that_comes_again_is_heard_until_all_have_come(collector: CollectorProcess, run_id: str) -> None:
    first, second = Member(collector, run_id, 0), Member(collector, run_id, 1)
    once = first.meet(port=40_000).json
    assert (once["members"][0]["port"], once["is_whole"], once["secret"]) == (40_000, False, "")
    assert first.meet(port=40_001).json["members"][0]["port"] == 40_001
    whole = second.meet().json
    assert whole["members"][0]["port"] == 40_001
    assert first.meet(port=40_002).json == whole


def test_who_has_come_and_the_secret_outlive_a_killed_collector(collector: CollectorProcess, run_id: str) -> None:
    first, second = Member(collector, run_id, 0), Member(collector, run_id, 1)
    first.meet()
    collector.kill()
    collector.restart()
    whole = second.meet().json
    assert whole["is_whole"]
    collector.kill()
    collector.restart()
    assert first.meet().json == whole
    assert whole["secret"] not in collector.log_text
    assert whole["secret"] not in call(collector, "GET", f"/api/v1/runs/{run_id}").data.decode()


def test_the_secret_is_for_the_runs_nodes(collector: CollectorProcess, run_id: str) -> None:
    first, second, other = Member(collector, run_id, 0), Member(collector, run_id, 1), Node(collector)
    user = collector.client().json("POST", "/tokens", {"kind": "user", "subject": "anna"})["token"]
    node = collector.client().json("POST", "/tokens", {"kind": "node", "subject": "somebody-else"})["token"]
    first.meet()
    second.meet()
    for token in (user, other.run_token, node):
        assert first.meet(token=token).status == 403
    assert first.meet(node_id="somebody-else", token=node).status == 409
    assert first.meet(token=collector.token).json["secret"]


def test_nodes_that_wait_learn_at_once_that_the_run_has_failed_elsewhere(collector: CollectorProcess, run_id: str) -> None:
    first, second = Member(collector, run_id, 0, 3).register(), Member(collector, run_id, 1, 3).register()
    found: list[Answer] = []
    thread = threading.Thread(target=lambda: found.append(first.meet(30)))
    thread.start()
    wait_for(lambda: second.client.json("GET", f"/runs/{run_id}")["nodes"], "both nodes")
    second.put_state("Finalizing", phase="release", failure={"phase": "preparation", "cause": "no space"})
    thread.join()
    assert refusal(found[0]) == (409, "run-failed")
    assert "node 10.77.0.12: preparation failed: no space" in found[0].json["detail"]


def failed(rank: int, exit_code: int | None = 1, **fields: Any) -> dict[str, Any]:
    return {"rank": rank, "status": "Failed", "exit_code": exit_code, "ended_ns": 5} | fields


@pytest.mark.row("A7")
def test_a_failure_ends_the_nodes_that_live_once_the_grace_is_over(collector: CollectorProcess, run_id: str) -> None:
    first, second = (Member(collector, run_id, rank, failure_grace_s=1.0).register() for rank in range(2))
    assert (first.stop(), second.stop()) == (None, None)
    begun_s = time.monotonic()
    assert second.put_state("Running", phase="driver", processes=[failed(1, 7)])["stop"] is None  # that is its own matter
    collector.kill()
    collector.restart()
    stop = wait_for(first.stop, "a stop")
    assert time.monotonic() - begun_s > 0.9
    assert stop["signal"] == 15
    assert stop["is_failure"]
    assert stop["reason"] == "rank 1 on 10.77.0.12 failed (exit code 7); the run ends (fail-fast)"
    assert second.stop() is None
    assert first.put_state("Finalizing")["stop"] is None
    first.put_state("Canceled", exit_code=143, ended_ns=3, is_complete=True)
    second.put_state("Failed", exit_code=7, cause="rank 1: exit code 7", processes=[failed(1, 7)], ended_ns=9, is_complete=True)
    run = first.run()
    assert (run["status"], run["exit_code"], run["cause"]) == ("Failed", 7, "rank 1 on 10.77.0.12 failed: exit code 7")


def test_a_cancel_on_one_node_is_one_of_the_run(collector: CollectorProcess, run_id: str) -> None:
    first, second, third = (Member(collector, run_id, rank, 3).register() for rank in range(3))
    first.put_state("Running")
    second.put_state("CancelRequested", cause="")
    stop = first.stop()
    assert (stop["reason"], stop["is_failure"]) == ("the run was canceled on node 10.77.0.12", False)
    second.put_state("Canceled", exit_code=130, cause="`runyard run` got SIGINT", ended_ns=5, is_complete=True)
    refused = third.meet(5)
    assert refusal(refused) == (409, "run-failed")
    assert refused.json["detail"] == "the run was canceled on node 10.77.0.12: `runyard run` got SIGINT"


def test_a_run_that_waits_ends_nobody(collector: CollectorProcess, run_id: str) -> None:
    first, second = (Member(collector, run_id, rank, on_failure="wait").register() for rank in range(2))
    second.put_state("Failed", exit_code=1, processes=[failed(1)], ended_ns=5, is_complete=True)
    assert first.stop() is None
    assert first.run()["status"] == "Running"


def test_the_first_failure_is_told_by_measured_clocks_not_by_the_nodes_own(collector: CollectorProcess, run_id: str) -> None:
    first, second = (Member(collector, run_id, rank).register() for rank in range(2))
    clock = {"offset_ns": 10**18, "error_ns": 1000}
    # Told first, and by its wall clock the first as well: an hour slow.
    first.put_state("Running", processes=[failed(0, ended_ns=1, ended_mono_ns=2_000_000)], clock=clock)
    assert first.run()["exit_code"] is None
    early = failed(1, 9, ended_ns=10**13, ended_mono_ns=1_000_000)
    second.put_state("Failed", exit_code=9, processes=[early], clock=clock, ended_ns=10**13, is_complete=True)
    first.put_state("Failed", exit_code=1, processes=[failed(0, ended_ns=1, ended_mono_ns=2_000_000)], is_complete=True)
    run = first.run()
    assert (run["exit_code"], run["cause"]) == (9, "rank 1 on 10.77.0.12 failed: exit code 9")
    assert [node["clock"] for node in run["nodes"]] == [clock, clock]


def test_who_was_stopped_is_not_what_failed_first(collector: CollectorProcess, run_id: str) -> None:
    first, second = (Member(collector, run_id, rank).register() for rank in range(2))
    clock = {"offset_ns": 0, "error_ns": 0}
    cascade = failed(0, 1, ended_mono_ns=5, evidence={"stopped_by": "runyard"})
    second.put_state("Running", processes=[failed(1, None, signal=9, ended_mono_ns=10)], clock=clock)
    first.put_state("Canceled", exit_code=1, processes=[cascade], clock=clock, ended_ns=5, is_complete=True)
    second.put_state("Failed", processes=[failed(1, None, signal=9, ended_mono_ns=10)], ended_ns=10, is_complete=True)
    assert first.run()["cause"] == "rank 1 on 10.77.0.12 failed: killed by SIGKILL"


def test_a_run_whose_other_nodes_never_came_fails_with_those_that_did(collector: CollectorProcess, run_id: str) -> None:
    first = Member(collector, run_id, 0).register()
    first.put_state("Starting", phase="rendezvous")
    assert (first.run()["status"], first.run()["phase"]) == ("Starting", "rendezvous")
    failure = {"phase": "rendezvous", "cause": "these nodes have not come: node rank 1 of 2"}
    first.put_state("Finalizing", phase="release", failure=failure)
    assert first.run()["status"] == "Finalizing"
    moments = [{"status": status, "wall_ns": number} for number, status in enumerate(("Starting", "Finalizing", "Failed"))]
    first.put_state("Failed", cause=failure["cause"], failure=failure, ended_ns=5, is_complete=True, transitions=moments)
    wait_for(lambda: first.run()["is_complete"], "the run is complete")
    run = first.run()
    assert (run["status"], run["cause"]) == ("Failed", f"node 10.77.0.11: {failure['cause']}")
    assert [one["status"] for one in run["transitions"]] == ["Starting", "Finalizing", "Failed"]


def test_a_run_is_not_complete_without_all_its_nodes(collector: CollectorProcess, run_id: str) -> None:
    first = Member(collector, run_id, 0).register()
    first.complete()
    assert (first.run()["status"], first.run()["is_complete"]) == ("Running", False)
    second = Member(collector, run_id, 1).register()
    second.complete()
    assert first.run()["status"] == "Completed"
    wait_for(lambda: first.run()["is_complete"], "the run is complete")


def test_a_state_that_says_the_same_again_is_a_sign_of_life_and_keeps_the_clock(
    collector: CollectorProcess, run_id: str
) -> None:
    node = Member(collector, run_id, 0).register()
    node.put_state("Running", clock={"offset_ns": 5, "error_ns": 1}, processes=[failed(0, status="Started", exit_code=None)])
    before = node.run()
    answer = node.put_state("Running", processes=[failed(0, status="Started", exit_code=None)])
    assert answer["now_ns"] > before["heard_ns"]
    assert answer["took_ns"] > 0
    after = node.run()
    assert after["heard_ns"] > before["heard_ns"]
    assert after["nodes"][0]["clock"] == {"offset_ns": 5, "error_ns": 1}
    assert after["processes"] == before["processes"]


def test_a_shipper_may_ask_again_with_an_old_word(collector: CollectorProcess, run_id: str) -> None:
    first, second = (Member(collector, run_id, rank).register() for rank in range(2))
    first.put_state("Running")
    second.put_state("Running", processes=[failed(1)])
    first.seq -= 1
    assert first.stop()["reason"].startswith("rank 1 on 10.77.0.12 failed")


def test_a_run_id_that_is_none_is_refused(collector: CollectorProcess, run_id: str) -> None:
    client: CollectorClient = collector.client()
    body = {"node_id": "somebody", "node_rank": 0, "ip": "10.0.0.1", "hostname": "h", "port": 1}
    with pytest.raises(CollectorRefused) as refused:
        client.json("POST", f"/runs/{run_id}/rendezvous", body)
    assert refused.value.code == "no-such-run"


def test_a_silent_node_is_named_and_ends_nobody(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__LOST_CONTACT_S": "1"}) as collector:
        first, second = (Member(collector, "r", rank).register() for rank in range(2))
        second.put_state("Running")

        def is_lost() -> bool:
            assert first.stop() is None
            return bool(first.run()["status"] == "NotResponding")

        wait_for(is_lost, "the silence to be told")
        assert first.run()["cause"] == "not heard from for 1 s: node 10.77.0.12"
        second.put_state("Running")
        assert (first.run()["status"], first.run()["cause"]) == ("Running", "")
        for node in (first, second):
            node.complete()
        assert first.run()["status"] == "Completed"
