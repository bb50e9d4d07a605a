"""Nodes of a cluster: who may join it, as whom, and how long; how they are shown; draining and removing them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.client import CollectorClient
from runyard.errors import CollectorRefused
from tests.collector.cluster.pretend import CAPACITY, Agent, cluster_name, join_token
from tests.collector.node import Answer, call, sha256
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

HOUR_NS = 3600 * 10**9


@pytest.fixture
def cluster() -> str:
    return cluster_name()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector that gives nodes up after a second of silence."""
    environ = {"RUNYARD_COLLECTOR__LOST_CONTACT_S": "1", "RUNYARD_COLLECTOR__GIVE_UP_LOST_S": "1"}
    with running_collector(tmp_path_factory.mktemp("hasty"), environ=environ) as process:
        yield process


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json["code"]


def test_a_node_joins_with_a_join_token_and_speaks_for_itself_alone_from_then_on(
    collector: CollectorProcess, cluster: str
) -> None:
    token = join_token(collector, cluster, uses=2)
    first, second = Agent(collector, cluster, token=token), Agent(collector, cluster, token=token)
    first.say("Running", reason="")
    assert refusal(second.call("PUT", "/heartbeat", {"status": "Idle", "now_ns": 1}, token=first.token)) == (403, "not-yours")
    assert refusal(second.call("GET", "/work", token=first.token)) == (403, "not-yours")
    assert refusal(second.call("POST", "/token", token=first.token)) == (403, "not-yours")
    shown = first.shown()
    assert (shown["status"], shown["cluster"], shown["capacity"]) == ("Running", cluster, CAPACITY)
    nodes = collector.client().json("GET", "/nodes", params={"cluster": cluster})["nodes"]
    assert {node["node_id"] for node in nodes} == {first.node_id, second.node_id}


def test_a_join_token_is_good_for_nothing_but_joining(collector: CollectorProcess, cluster: str) -> None:
    agent = Agent(collector, cluster)
    token = join_token(collector, cluster)
    for method, path in (("GET", ""), ("GET", "/work"), ("POST", "/token"), ("DELETE", "")):
        assert agent.call(method, path, token=token).status == 403, (method, path)
    assert call(collector, "GET", "/api/v1/runs", token=token).status == 403
    # And nothing else joins: not the administrator, and not a node.
    assert call(collector, "POST", "/api/v1/nodes", agent.description).status == 403
    assert call(collector, "POST", "/api/v1/nodes", agent.description, token=agent.token).status == 403


def test_a_join_token_that_is_used_up_or_expired_says_so(collector: CollectorProcess, cluster: str) -> None:
    once = join_token(collector, cluster)
    Agent(collector, cluster, token=once)
    late = Agent(collector, cluster, join=False).join(once)
    assert (late.status, late.json["detail"]) == (
        401,
        "this join token is used up; make a new one with `runyard clusters token`",
    )
    short = join_token(collector, cluster, valid_s=0.001)
    expired = wait_for(lambda: _expired(Agent(collector, cluster, join=False), short), "the token expires")
    assert expired is not None
    assert expired.json["detail"].startswith("this join token expired at 2")


def _expired(agent: Agent, token: str) -> Answer | None:
    answer: Answer = agent.join(token)
    return answer if answer.status == 401 and "expired" in answer.json["detail"] else None


def test_a_machine_whose_answer_was_lost_joins_again_with_the_same_use(collector: CollectorProcess, cluster: str) -> None:
    token = join_token(collector, cluster, uses=1)
    agent = Agent(collector, cluster, token=token)
    lost = agent.token
    assert agent.join(token).status == 201
    agent.say()
    assert agent.call("GET", "/work", token=lost).status == 401
    assert agent.join(token).status == 401  # now it has been heard from: that was another join


def test_two_machines_with_one_node_id_are_told_apart(hasty: CollectorProcess, cluster: str) -> None:
    known = Agent(hasty, cluster)
    known.say()
    copied = Agent(hasty, cluster, join=False, node_id=known.node_id, machine=sha256(b"another"), hostname="copy")
    token = join_token(hasty, cluster)
    answer = copied.join(token)
    assert refusal(answer) == (409, "node-id-taken")
    assert known.description["hostname"] in answer.json["detail"]
    known.say()
    # Where the first machine is gone for good, the other is its successor, and the first one's token is void.
    wait_for(lambda: known.shown()["status"] == "LostContact", "the first machine is lost")
    assert copied.join(token).status == 201
    assert known.call("GET", "/work").status == 401
    assert copied.shown()["hostname"] == "copy"


def test_a_renewed_token_takes_over_when_it_is_first_used(collector: CollectorProcess, cluster: str) -> None:
    agent = Agent(collector, cluster)
    lost = agent.call("POST", "/token").json["token"]
    renewed = agent.call("POST", "/token").json["token"]
    assert agent.call("GET", "/work").status == 200  # as long as nobody has used the new one
    assert agent.call("GET", "/work", token=lost).status == 401
    collector.kill()
    collector.restart()
    assert agent.call("GET", "/work", token=renewed).status == 200
    assert agent.call("GET", "/work").status == 401
    agent.token = renewed
    third = agent.call("POST", "/token").json["token"]
    assert [agent.call("GET", "/work", token=token).status for token in (third, renewed)] == [200, 401]


def test_a_clock_an_hour_off_is_told_and_does_no_harm(collector: CollectorProcess, cluster: str) -> None:
    agent = Agent(collector, cluster)
    answer = agent.say("Unusable", reason="a container cannot be removed", now_ns=time.time_ns() + HOUR_NS)
    assert abs(answer["clock_off_ns"] - HOUR_NS) < 10**9 * 20
    assert abs(answer["now_ns"] - time.time_ns()) < 10**9 * 20
    shown = agent.shown()
    assert shown["status"] == "Unusable"
    assert shown["reason"] in {
        f"a container cannot be removed; its clock is {seconds} s ahead of the collector's" for seconds in range(3590, 3601)
    }
    agent.say(now_ns=time.time_ns() - HOUR_NS)
    assert "behind the collector's" in agent.shown()["reason"]
    agent.say()
    assert agent.shown()["reason"] == ""


def test_silence_is_lost_contact_until_the_node_is_heard_again(hasty: CollectorProcess, cluster: str) -> None:
    agent, left = Agent(hasty, cluster), Agent(hasty, cluster)
    left.say("Leaving", runs=[{"run_id": "over", "attempt": 0, "status": "Completed", "is_over": True}])
    agent.say("Idle")
    wait_for(lambda: agent.shown()["status"] == "LostContact", "the node is lost")
    assert left.shown()["status"] == "Leaving"  # it has said good-bye and has nothing left
    hasty.restart()
    assert agent.shown()["status"] == "Idle"  # a collector that was away calls nobody lost
    wait_for(lambda: agent.shown()["status"] == "LostContact", "the node is lost again")
    agent.work()
    assert agent.shown()["status"] == "Idle"


def test_a_drained_node_stays_so_until_it_is_resumed(collector: CollectorProcess, cluster: str) -> None:
    agent, client = Agent(collector, cluster), collector.client()
    before = agent.work()
    client.json("POST", f"/nodes/{agent.node_id}/drain", {"reason": "new disk"})
    collector.restart()
    drained = agent.work()
    assert (drained["is_drained"], drained["version"] > before["version"]) == (True, True)
    assert (agent.shown()["is_drained"], agent.shown()["drain_reason"]) == (True, "new disk")
    client.json("POST", f"/nodes/{agent.node_id}/drain", {"reason": "new disk"})
    assert agent.work()["version"] == drained["version"]  # the same again is nothing new
    assert client.json("POST", f"/nodes/{agent.node_id}/resume")["is_drained"] is False


def test_a_removed_node_is_forgotten_and_its_token_void(collector: CollectorProcess, cluster: str) -> None:
    agent, client = Agent(collector, cluster), collector.client()
    renewal = agent.call("POST", "/token").json["token"]
    agent.say(sample={"cpu_percent": 1.0})
    client.json("DELETE", f"/nodes/{agent.node_id}")
    assert [agent.call("GET", "/work", token=token).status for token in (agent.token, renewal)] == [401, 401]
    with pytest.raises(CollectorRefused, match=r"no node .* has joined a cluster"):
        agent.shown()
    assert agent.join(join_token(collector, cluster)).status == 201


def test_a_node_that_is_removed_while_it_has_a_run_is_kept_until_that_is_over(hasty: CollectorProcess, cluster: str) -> None:
    agent, client = Agent(hasty, cluster), hasty.client()
    agent.say()
    wanted = {"run_id": f"kept-{cluster}", "order": {"spec": {"command": ["true"]}}}
    client.json("POST", f"/clusters/{cluster}/runs", wanted)
    wait_for(lambda: agent.work()["assignments"], "the run has the node")
    agent.say("Running", runs=[{"run_id": wanted["run_id"], "attempt": 0, "status": "Running"}])
    client.json("DELETE", f"/nodes/{agent.node_id}")
    assert agent.call("GET", "/work").status == 401
    assert agent.shown()["drain_reason"] == "removed from its cluster; forgotten when its runs are over"
    assert agent.join(join_token(hasty, cluster)).status == 201
    assert (agent.shown()["is_drained"], agent.shown()["drain_reason"]) == (False, "")
    client.json("DELETE", f"/nodes/{agent.node_id}")
    run = wait_for(lambda: _ended(client, f"kept-{cluster}"), "the node is given up")
    assert run is not None
    assert "lost contact with node" in run["cause"]
    client.json("DELETE", f"/nodes/{agent.node_id}")
    assert agent.call("GET", "", token=hasty.token).status == 404


def _ended(client: CollectorClient, run_id: str) -> dict[str, str] | None:
    run: dict[str, str] = client.json("GET", f"/runs/{run_id}")
    return run if run["status"] == "Failed" else None


def test_a_cluster_is_the_sum_of_its_nodes(collector: CollectorProcess, cluster: str) -> None:
    client: CollectorClient = collector.client()
    join_token(collector, cluster)
    empty = client.json("GET", f"/clusters/{cluster}")
    assert (empty["nodes"], empty["capacity"]["cpus"], empty["queued"], empty["active"]) == ({}, 0, 0, 0)
    for status in ("Idle", "Idle", "Unusable"):
        Agent(collector, cluster).say(status)
    whole = client.json("GET", f"/clusters/{cluster}")
    assert whole["nodes"] == {"Idle": 2, "Unusable": 1}
    assert whole["capacity"] == {"cpus": 24.0, "memory_bytes": 96 << 30, "gpus": 6, "gpu_name": "H100"}
    assert whole in client.json("GET", "/clusters")["clusters"]


@pytest.mark.parametrize("name", ["-c", "c!", "c" * 65, "c.", "..%2Fc"])
def test_a_bad_name_of_a_cluster_is_refused(collector: CollectorProcess, name: str) -> None:
    answer = call(collector, "POST", f"/api/v1/clusters/{name}/join-tokens", {})
    assert answer.status == 400
    assert "the name of a cluster has to be 1 to 64 letters" in answer.json["detail"]


def test_what_is_not_there_is_said_to_be_not_there(collector: CollectorProcess, tmp_path: Path) -> None:
    for path in ("nodes/nobody-here", "nodes/nobody-here/samples", "clusters/none", "nodes?cluster=none"):
        answer = call(collector, "GET", f"/api/v1/{path}")
        assert refusal(answer) in {(404, "no-such-node"), (404, "no-such-cluster")}, path
