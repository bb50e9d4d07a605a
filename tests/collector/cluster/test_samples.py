"""What nodes have sampled: shown at once, kept once a minute, removed when it is old, and told to Prometheus."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runyard.collector import auth
from runyard.collector.cluster import registry, samples
from runyard.collector.cluster.messages import Capacity, JoinCluster
from runyard.collector.cluster.samples import Newest, Taken
from runyard.collector.database import open_database
from tests.collector.cluster.pretend import Agent, cluster_name
from tests.collector.node import call, sha256
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

MINUTE_NS = samples.KEPT_EVERY_NS


def test_a_sample_is_shown_at_once_and_kept_a_moment_later(collector: CollectorProcess) -> None:
    agent = Agent(collector, cluster_name())
    agent.say(sample={"cpu_percent": 3.5, "gpu_power_w": 410.0})
    assert agent.shown()["sample"] == {"cpu_percent": 3.5, "gpu_power_w": 410.0}
    client, path = collector.client(), f"/nodes/{agent.node_id}/samples"
    kept = wait_for(lambda: client.json("GET", path)["samples"], "the sample is written down")
    assert kept[0][1] == {"cpu_percent": 3.5, "gpu_power_w": 410.0}
    assert abs(kept[0][0] - time.time_ns()) < 30 * 10**9
    assert client.json("GET", path, params={"since_ns": kept[0][0] + 1})["samples"] in ([], kept[1:])
    collector.kill()
    collector.restart()
    assert client.json("GET", path)["samples"][0] == kept[0]


def test_of_each_minute_one_sample_is_kept() -> None:
    newest = Newest()
    for value in range(3):
        newest.keep("node", {"value": float(value)})
    first = newest.take_due()
    assert [one.sample for one in first] == [{"value": 2.0}]
    newest.keep("node", {"value": 3.0})
    if newest.take_due():  # unless a minute has just begun
        newest.keep("node", {"value": 4.0})
    assert newest.take_due() == []
    newest.take_back(first)
    assert len(newest.take_due()) == 1


def test_what_is_too_old_is_removed_and_nothing_else(tmp_path: Path) -> None:
    database = open_database("", tmp_path, lambda: None)
    with database.engine.begin() as connection:
        registry.make_join_token(connection, "c", auth.NewToken("t", sha256(b"t")), 2, time.time_ns() + MINUTE_NS)
        for node_id in ("node-one", "node-two"):
            new = auth.new_token()[1]
            wanted = JoinCluster(
                node_id=node_id, machine=sha256(b"m"), hostname="h", ip="10.0.0.1", agent_version="",
                capacity=Capacity(cpus=1, memory_bytes=1),
            )  # fmt: skip
            registry.join(connection, "c", sha256(b"t"), wanted, new, is_silent=False)
        taken = [
            Taken(node_id, minute, {"value": minute}) for node_id in ("node-one", "node-two", "gone") for minute in range(5)
        ]
        samples.write(connection, taken)
        samples.prune(connection, 3)
        left = {node_id: [at for at, _ in samples.read(connection, node_id, 0)] for node_id in ("node-one", "node-two", "gone")}
    database.close()
    assert left == {"node-one": [3, 4], "node-two": [3, 4], "gone": []}


def test_prometheus_is_told_of_each_node_what_has_a_name(collector: CollectorProcess) -> None:
    cluster = cluster_name()
    agent = Agent(collector, cluster)
    agent.say("Running", sample={"cpu_percent": 12.5, "no name!": 1.0, "Gpu": 1.0})
    Agent(collector, cluster)
    text = call(collector, "GET", "/metrics").data.decode()
    labels = f'cluster="{cluster}",hostname="{agent.description["hostname"]}",node_id="{agent.node_id}"'
    lines = text.splitlines()
    assert f'runyard_nodes{{cluster="{cluster}",status="Running"}} 1.0' in lines
    assert f'runyard_nodes{{cluster="{cluster}",status="Idle"}} 1.0' in lines
    sampled = [line for line in lines if agent.node_id in line]
    assert len(sampled) == 1
    name, _, rest = sampled[0].partition("{")
    assert (name, rest.partition("} ")[2], sorted(rest.partition("} ")[0].split(","))) == (
        "runyard_node_cpu_percent",
        "12.5",
        sorted(labels.split(",")),
    )


@pytest.mark.parametrize("count", [samples.MOST_ANSWERED + 1])
def test_an_answer_holds_no_more_than_it_may_and_the_rest_is_had_by_asking_on(tmp_path: Path, count: int) -> None:
    database = open_database("", tmp_path, lambda: None)
    with database.engine.begin() as connection:
        registry.make_join_token(connection, "c", auth.NewToken("t", sha256(b"t")), 1, time.time_ns() + MINUTE_NS)
        wanted = JoinCluster(
            node_id="node-one", machine=sha256(b"m"), hostname="h", ip="10.0.0.1", agent_version="",
            capacity=Capacity(cpus=1, memory_bytes=1),
        )  # fmt: skip
        registry.join(connection, "c", sha256(b"t"), wanted, auth.new_token()[1], is_silent=False)
        samples.write(connection, [Taken("node-one", minute, {}) for minute in range(count)])
        first = samples.read(connection, "node-one", 0)
        rest = samples.read(connection, "node-one", first[-1][0] + 1)
    database.close()
    assert [at for at, _ in first + rest] == list(range(count))
