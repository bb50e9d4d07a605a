"""Pretend nodes that take runs of a queue, as agents and shippers do, for tests of the collector."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.collector.cluster.pretend import Agent, cluster_name
from tests.collector.node import Answer, Node, call
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

# So that nodes are given up within a test.
LOST_S, GIVE_UP_S = 1.0, 2.5


@contextmanager
def impatient_collector(folder: Path) -> Iterator[CollectorProcess]:
    """A collector that gives nodes up after GIVE_UP_S."""
    environ = {"RUNYARD_COLLECTOR__LOST_CONTACT_S": str(LOST_S), "RUNYARD_COLLECTOR__GIVE_UP_LOST_S": str(GIVE_UP_S)}
    environ["RUNYARD_COLLECTOR__RESERVE_AFTER_S"] = "0"
    with running_collector(folder, environ=environ) as process:
        yield process
        assert "internal error" not in process.log_text
        assert "has failed" not in process.log_text


class Machine(Agent):
    """A node with its agent. `runs`: what it has in hand, by run id, as it says in its heartbeats."""

    def __init__(self, collector: CollectorProcess, cluster: str, **fields: Any) -> None:
        super().__init__(collector, cluster, **fields)
        self.runs: dict[str, dict[str, Any]] = {}
        self.beat()

    def beat(self, **fields: Any) -> Any:
        """Says what it has."""
        return self.say("Running" if self.runs else "Idle", runs=list(self.runs.values()), **fields)

    def assigned(self, run_id: str) -> dict[str, Any] | None:
        """The assignment of this run; None where there is none."""
        return next((one for one in self.work()["assignments"] if one["run_id"] == run_id), None)

    def given(self, run_id: str) -> dict[str, Any]:
        """The assignment of this run, which is waited for."""
        order = wait_for(lambda: self.beat() and self.assigned(run_id), f"{run_id} is given to {self.node_id}")
        assert order
        return dict(order)

    def take(self, run_id: str) -> Part:
        """Waits for the run, takes it and starts its part."""
        return Part(self, self.given(run_id))


class Part(Node):
    """What one node has of a run of the queue: it makes itself known there, and tells how it is."""

    def __init__(self, machine: Machine, order: dict[str, Any], *, is_told: bool = True) -> None:
        super().__init__(machine.collector, run_id=order["run_id"], node_id=machine.node_id, create=False, register=False)
        self.machine, self.order, self.attempt = machine, order, order["attempt"]
        self.admitted = self.create()
        if self.admitted.status != 200:
            return
        self.client.json("POST", f"/runs/{self.run_id}/nodes", self._place())
        self.put("Starting")
        if is_told:
            self.tell("Starting")

    def create(self) -> Answer:
        """Asks to be admitted to the run."""
        asked = {"attempt": self.attempt, "node_count": self.order["node_count"], "node_rank": self.order["node_rank"]}
        wanted = self.description(node_id=self.node_id, hostname="host", **asked)
        return call(self.collector, "POST", "/api/v1/runs", wanted, token=self.machine.token)

    def _place(self) -> dict[str, str]:
        return {"node_id": self.node_id, "ip": "127.0.0.1", "hostname": "host"}

    def put(self, status: str, **fields: Any) -> Any:
        """Tells the state of its attempt."""
        return self.put_state(status, attempt=self.attempt, **fields)

    def tell(self, status: str, *, is_over: bool = False) -> None:
        """The node's agent says that it has the run in hand."""
        entry = {"run_id": self.run_id, "attempt": self.attempt, "status": status, "is_over": is_over}
        self.machine.runs[self.run_id] = entry
        self.machine.beat()

    def finish(self, status: str = "Completed", exit_code: int = 0) -> None:
        """Ends well, ships all, and is over."""
        self.put(status, exit_code=exit_code, started_ns=1, ended_ns=2, is_complete=True)
        self.over(status)

    def over(self, status: str) -> None:
        """The agent says that nothing of it is left here."""
        self.tell(status, is_over=True)
        del self.machine.runs[self.run_id]
        self.machine.beat()


def whoever(machines: Sequence[Machine], run_id: str) -> Part:
    """The part of the machine that the run is given to, which takes it."""
    found = wait_for(lambda: [one for one in machines if one.assigned(run_id)], f"{run_id} is given to one of them")
    return found[0].take(run_id)


def submit(collector: CollectorProcess, cluster: str, *, token: str | None = None, **fields: Any) -> Answer:
    """Submits a run; the answer."""
    spec = {"command": ["python", "train.py"]} | fields.pop("spec", {})
    body = {"run_id": "queued-" + secrets.token_hex(5), "order": {"spec": spec}} | fields
    return call(collector, "POST", f"/api/v1/clusters/{cluster}/runs", body, token=token)


def submitted(collector: CollectorProcess, cluster: str, **fields: Any) -> str:
    """Submits a run that has to be taken; its id."""
    answer = submit(collector, cluster, **fields)
    assert answer.status == 201, answer.data
    run_id: str = answer.json["run_id"]
    return run_id


def shown(collector: CollectorProcess, run_id: str) -> dict[str, Any]:
    """The run as people see it."""
    answer: dict[str, Any] = collector.client().json("GET", f"/runs/{run_id}")
    return answer


def cancel(collector: CollectorProcess, run_id: str, reason: str = "") -> Answer:
    """Cancels the run; the answer."""
    return call(collector, "POST", f"/api/v1/runs/{run_id}/cancel", {"reason": reason})


def listed(collector: CollectorProcess, cluster: str) -> list[dict[str, Any]]:
    """The cluster's queue."""
    runs: list[dict[str, Any]] = collector.client().json("GET", f"/clusters/{cluster}/runs")["runs"]
    return runs


def fleet(collector: CollectorProcess, count: int, **fields: Any) -> list[Machine]:
    """Machines of a new cluster."""
    cluster = cluster_name()
    return [Machine(collector, cluster, **fields) for _ in range(count)]
