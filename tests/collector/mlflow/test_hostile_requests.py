"""Requests of MLflow's API that mean harm: each has one clear answer, soon."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.collector.mlflow.mlflow_api import Mlflow
from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess

INVALID = (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.parametrize(
    "filter_text",
    [
        " AND ".join(["metrics.a > 1"] * 3000),
        f"attributes.start_time > {2**70}",
        f"attributes.start_time > {'1' * 5000}",
        f"run_id IN ({','.join(['1'] * 400_000)})".replace("1", "'1'"),
        f"run_id IN ({','.join(['0'] * 400_000)}".replace("0", "'0'"),
        "tags.a LIKE '" + "%a" * 30_000 + "'",
        "tags.`" + "a" * 1_000_000,
    ],
    ids=["clauses", "large", "digits", "list", "unclosed", "pattern", "long"],
)
def test_a_filter_that_no_database_takes_is_refused_soon(collector: CollectorProcess, filter_text: str) -> None:
    begun_s = time.monotonic()
    assert Mlflow(collector).refused("runs/search", {"experiment_ids": ["0"], "filter": filter_text}) == INVALID
    answer = call(collector, "POST", "/api/v1/runs/query", {"filter": filter_text})
    assert answer.status == 400, answer.data[:300]
    assert time.monotonic() - begun_s < 3


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("runs/search", {"experiment_ids": ["0"], "order_by": [f"metrics.m{n}" for n in range(3000)]}),
        ("experiments/search-datasets", {"experiment_ids": ["0"] * 300_000}),
        ("logged-models/search", {"experiment_ids": [str(n) for n in range(300_000)]}),
        ("logged-models/search", {"experiment_ids": ["0"], "order_by": [{"field_name": "metrics.a"}] * 100_000}),
        ("metrics/get-history-bulk-interval", {"run_ids": ["a"] * 101, "metric_key": "m", "max_results": 1}),
        ("runs/log-inputs", {"run_id": "RUN", "models": [{"model_id": f"m{n}"} for n in range(100_000)]}),
        ("runs/outputs", {"run_id": "RUN", "models": [{"model_id": f"m{n}"} for n in range(100_000)]}),
        ("runs/create", {"experiment_id": "0", "tags": [{"key": f"k{n}", "value": "v"} for n in range(100_000)]}),
        ("experiments/create", {"name": "of-many-tags", "tags": [{"key": f"k{n}", "value": "v"} for n in range(100_000)]}),
    ],
    ids=lambda one: one if isinstance(one, str) else sorted(one)[0],
)
def test_a_request_with_too_much_in_it_is_refused_soon(collector: CollectorProcess, route: str, body: dict[str, Any]) -> None:
    node = Node(collector)
    body = {name: node.run_id if value == "RUN" else value for name, value in body.items()}
    begun_s = time.monotonic()
    assert Mlflow(collector).refused(route, body) == INVALID
    assert time.monotonic() - begun_s < 3


@pytest.mark.parametrize(
    ("route", "query"),
    [
        ("experiments/get-by-name", {"experiment_name": "a\0b"}),
        ("runs/get", {"run_id": "a\0b"}),
        ("metrics/get-history", {"run_id": "a\0b", "metric_key": "m"}),
        ("metrics/get-history", {"run_id": "a", "metric_key": "a\0b"}),
        ("artifacts/list", {"run_id": "a\0b"}),
        ("logged-models/a%00b", {}),
    ],
)  # fmt: skip
def test_a_nul_finds_nothing(collector: CollectorProcess, route: str, query: dict[str, Any]) -> None:
    assert Mlflow(collector).ask(route, **query).status in (200, 400, 404)


def test_a_file_of_a_model_without_a_run_is_kept(collector: CollectorProcess) -> None:
    client = Mlflow(collector)
    made = client.do("logged-models", {"experiment_id": "0", "name": "of-nobody"})["model"]["info"]
    root = made["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert client.file("PUT", f"{root}/weights.bin", b"w").status == 200
    assert client.file("GET", f"{root}/weights.bin").data == b"w"
