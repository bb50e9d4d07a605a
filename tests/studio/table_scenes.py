"""Runs that the tables are looked at with: two experiments, a sweep with children, runs that go on."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess

S = 10**9
MINUTE_MS = 60_000


def record(node: Node, *records: Any) -> None:
    """What a training records."""
    body = b"".join(json.dumps(one).encode() + b"\n" for one in records)
    headers = {"Content-Type": "application/x-ndjson"}
    path = f"/api/v1/runs/{node.run_id}/records"
    answer = call(node.collector, "POST", path, body, token=node.run_token, headers=headers)
    assert (answer.status, answer.json["refused"]) == (200, []), answer.data


def losses(*values: float, run: str = "", name: str = "loss") -> list[list[Any]]:
    """A metric with these values, one a minute."""
    now_ms = time.time_ns() // 10**6
    return [["m", run, name, value, step, now_ms + step * MINUTE_MS] for step, value in enumerate(values)]


def training(collector: CollectorProcess, name: str, *, ago_s: int, experiment: str = "mnist", **more: Any) -> Node:
    """A run that was started a while ago, with two parameters and a metric; it goes on unless it is given a status."""
    status, lr, values = more.pop("status", "Running"), more.pop("lr", "0.1"), more.pop("values", (1.0, 0.5))
    created_ns = time.time_ns() - ago_s * S
    node = Node(
        collector, run_id=name.replace(" ", "-"), name=name, experiment=experiment, created_ns=created_ns,
        user=more.pop("user", "ada"), **more,
    )  # fmt: skip
    record(node, ["p", "", "lr", lr], ["p", "", "depth", str(len(values))], *losses(*values))
    told: dict[str, Any] = {"started_ns": created_ns + S}
    if status != "Running":
        told |= {"ended_ns": created_ns + 90 * S, "is_complete": True, "exit_code": int(status == "Failed")}
    node.put_state(status, **told)
    return node


def fill(collector: CollectorProcess) -> None:
    """All of it, the newest last: cnn, mlp small, mlp large, the sweep, and a run of another experiment."""
    training(
        collector,
        "resnet",
        ago_s=9000,
        experiment="imagenet",
        user="grace",
        ip="10.1.0.7",
        status="Failed",
        tags={"team": "vision"},
    )
    training(collector, "cnn", ago_s=7200, status="Completed", lr="0.01", values=(0.9, 0.05, 0.2), tags={"team": "vision"})
    training(collector, "mlp small", ago_s=3600, status="Failed", lr="0.1", values=(0.8, 0.7, 0.6), user="grace")
    training(collector, "mlp large", ago_s=1800, lr="0.3", values=(0.7, 0.4, 0.3), tags={"team": "text"})
    sweep(collector)


def sweep(collector: CollectorProcess) -> None:
    """A run with three children, the second of which is the best."""
    parent = training(collector, "sweep over lr", ago_s=600)
    now_ms = time.time_ns() // 10**6
    record(parent, ["w", "", "loss", "minimize"])
    for number, value in enumerate((0.5, 0.1, 0.3)):
        child = f"trial-{number}"
        record(
            parent, ["c", child, "", f"trial {number}", "trial", "", now_ms + number], ["p", child, "lr", f"0.0{number + 1}"],
            *losses(1.0, value, run=child), ["s", child, "Completed", "", now_ms + 1000],
        )  # fmt: skip
