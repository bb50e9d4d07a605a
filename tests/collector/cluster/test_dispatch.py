"""What reaches the agents of a cluster, and when: long polls that answer at once, and wait where there is nothing to say."""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.collector.cluster.pretend import Agent, cluster_name
from tests.collector.node import Node
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for


@pytest.fixture
def agent(collector: CollectorProcess) -> Agent:
    return Agent(collector, cluster_name())


def waiting(agent: Agent, seen: int, wait_s: float) -> Callable[[], Any]:
    """A question for work that waits in a thread of its own; what it was answered, once it was."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(agent.work(seen, wait_s)), daemon=True)
    thread.start()
    return lambda: answers[0] if answers else None


def test_a_question_for_work_is_answered_as_soon_as_there_is_something_new(agent: Agent, collector: CollectorProcess) -> None:
    version = agent.work()["version"]
    answer = waiting(agent, version, 20)
    collector.client().json("POST", f"/nodes/{agent.node_id}/drain", {"reason": "full"})
    work = wait_for(answer, "the work is answered", limit_s=5)
    assert (work["is_drained"], work["version"] > version) == (True, True)
    assert agent.say()["version"] == work["version"]
    assert agent.work(version, 20) == work  # whoever has not seen the newest is not kept waiting


def test_the_work_tells_the_same_memory_after_a_restart(agent: Agent, collector: CollectorProcess) -> None:
    epoch = agent.work()["epoch"]
    assert epoch
    collector.restart()
    assert agent.work()["epoch"] == epoch


def test_a_question_for_work_is_answered_when_its_time_is_over(agent: Agent) -> None:
    version = agent.work()["version"]
    begun_s = time.monotonic()
    assert agent.work(version, 0.5)["version"] == version
    assert time.monotonic() - begun_s > 0.4


def test_the_version_of_the_work_outlives_the_collector(agent: Agent, collector: CollectorProcess) -> None:
    version = agent.work()["version"]
    collector.kill()
    collector.restart()
    assert agent.work(version, 0.01)["version"] == version
    answer = waiting(agent, version, 20)
    collector.client().json("POST", f"/nodes/{agent.node_id}/drain", {})
    assert wait_for(answer, "the work is answered", limit_s=5)["version"] > version


def test_a_collector_that_stops_keeps_no_agent_waiting(agent: Agent, collector: CollectorProcess) -> None:
    version = agent.work()["version"]
    answers = [waiting(agent, version, 30) for _ in range(20)]
    assert agent.say()["version"] == version
    begun_s = time.monotonic()
    assert collector.stop() == 0
    assert time.monotonic() - begun_s < 10
    collector.restart()
    assert all(answer() is None or answer()["version"] == version for answer in answers)


def test_a_change_that_nobody_told_reaches_the_agent_all_the_same(agent: Agent, collector: CollectorProcess) -> None:
    version = agent.work()["version"]
    answer = waiting(agent, version, 30)
    with contextlib.closing(sqlite3.connect(collector.data_dir / "collector.sqlite3", isolation_level=None)) as database:
        database.execute("UPDATE cluster_nodes SET work_version = work_version + 1 WHERE node_id = ?", (agent.node_id,))
    assert wait_for(answer, "the work is answered", limit_s=20)["version"] == version + 1


def test_a_node_that_is_removed_while_it_waits_is_told(agent: Agent, collector: CollectorProcess) -> None:
    version = agent.work()["version"]
    statuses: list[int] = []
    ask = threading.Thread(
        target=lambda: statuses.append(agent.call("GET", f"/work?seen={version}&wait_s=20").status), daemon=True
    )
    ask.start()
    collector.client().json("DELETE", f"/nodes/{agent.node_id}")
    wait_for(lambda: statuses, "the question is answered", limit_s=5)
    assert statuses[0] in (401, 404)


def submit(collector: CollectorProcess, cluster: str, **fields: Any) -> str:
    """Submits a run; its id."""
    run_id = "dispatched-" + secrets.token_hex(5)
    wanted = {"run_id": run_id, "order": {"spec": {"command": ["true"]}}} | fields
    collector.client().json("POST", f"/clusters/{cluster}/runs", wanted)
    return run_id


def test_all_nodes_of_a_run_hear_of_it_while_they_wait(agent: Agent, collector: CollectorProcess) -> None:
    agents = [agent, *(Agent(collector, agent.cluster) for _ in range(2))]
    answers = [waiting(one, one.say()["version"], 20) for one in agents]
    run_id = submit(collector, agent.cluster, node_count=3)
    works = [wait_for(answer, "the work is answered", limit_s=5) for answer in answers]
    assert {work["assignments"][0]["run_id"] for work in works} == {run_id}
    assert sorted(work["assignments"][0]["node_rank"] for work in works) == [0, 1, 2]


def test_whoever_follows_a_run_that_waits_hears_that_it_was_canceled(agent: Agent, collector: CollectorProcess) -> None:
    collector.client().json("POST", f"/nodes/{agent.node_id}/drain", {})
    run_id = submit(collector, agent.cluster)
    told: list[str] = []
    with Node(collector, run_id=run_id, create=False, register=False).follow() as events:
        for event in events:
            told += [json.loads(event.data)["status"]] if event.name in ("status", "end") else []
            if told == ["Queued"]:
                collector.client().json("POST", f"/runs/{run_id}/cancel", {"reason": "not needed"})
    assert told[0] == "Queued"
    assert told[-1] == "Canceled"
