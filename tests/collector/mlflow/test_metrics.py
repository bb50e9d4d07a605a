"""Metrics through MLflow's API: exact, in order, each once however often a request comes, without reading all that is there."""

from __future__ import annotations

import time
from typing import Any

from tests.collector.mlflow.mlflow_api import Mlflow
from tests.collector_process import CollectorProcess

BATCH = 1000


def _batch(run_id: str, first: int, **more: Any) -> dict[str, Any]:
    points = [
        {"key": "loss", "value": step / 7, "timestamp": 1000 + step, "step": step} for step in range(first, first + BATCH)
    ]
    return {"run_id": run_id, "metrics": points} | more


def test_a_request_that_comes_again_adds_nothing(collector: CollectorProcess) -> None:
    client = Mlflow(collector)
    run_id = client.new_run()
    for first in (0, BATCH, 2 * BATCH):
        client.do("runs/log-batch", _batch(run_id, first))
    for first in (BATCH, 0, 2 * BATCH, 2 * BATCH):
        client.do("runs/log-batch", _batch(run_id, first))
    values = client.values(run_id, "loss")
    assert [step for _, _, step in values] == list(range(3 * BATCH))
    assert values[-1][0] == (3 * BATCH - 1) / 7
    # The same step and time with another value is another point, and so is a NaN beside a 0.
    point = {"run_id": run_id, "key": "loss", "timestamp": 1005, "step": 5}
    for value in (0, "NaN", 0.0, "NaN", "-Infinity", "Infinity"):
        client.do("runs/log-metric", point | {"value": value})
    assert len(client.values(run_id, "loss")) == 3 * BATCH + 4


def test_points_of_one_time_and_step_are_told_apart_by_their_value(collector: CollectorProcess) -> None:
    client = Mlflow(collector)
    run_id = client.new_run()
    same = [{"key": "m", "value": number, "timestamp": 7} for number in (3, 1, 2, 1, 3)]
    client.do("runs/log-batch", {"run_id": run_id, "metrics": same})
    client.do("runs/log-batch", {"run_id": run_id, "metrics": same})
    assert client.values(run_id, "m") == [[1.0, 7, 0], [2.0, 7, 0], [3.0, 7, 0]]
    latest = client.do("runs/get", run_id=run_id)["run"]["data"]["metrics"]
    assert latest == [{"key": "m", "value": 3.0, "timestamp": 7, "step": 0}]


def test_a_page_of_a_history_is_what_the_whole_has_there(collector: CollectorProcess) -> None:
    client = Mlflow(collector)
    run_id = client.new_run()
    for first in (2 * BATCH, 0, BATCH):  # not in the order of time
        client.do("runs/log-batch", _batch(run_id, first))
    whole, token = client.values(run_id, "loss"), ""
    paged: list[list[Any]] = []
    while True:
        query: dict[str, Any] = {"run_id": run_id, "metric_key": "loss", "max_results": 700}
        query |= {"page_token": token} if token else {}
        page = client.do("metrics/get-history", **query)
        paged += [[one["value"], one["timestamp"], one["step"]] for one in page["metrics"]]
        token = page.get("next_page_token", "")
        if not token:
            break
    assert paged == whole
    some = client.do("metrics/get-history-bulk-interval", run_ids=[run_id], metric_key="loss", max_results=10)["metrics"]
    assert [some[0]["step"], some[-1]["step"], len(some)] == [0, 3 * BATCH - 1, 10]


def test_what_is_wrong_in_a_batch_keeps_all_of_it_out(collector: CollectorProcess) -> None:
    client = Mlflow(collector)
    run_id = client.new_run()
    client.do("runs/log-parameter", {"run_id": run_id, "key": "p", "value": "1"})
    wrong: tuple[dict[str, Any], ...] = (
        _batch(run_id, 0, params=[{"key": "p", "value": "2"}]),
        _batch(run_id, 0, params=[{"key": "q", "value": "2"}, {"key": "q", "value": "3"}]),
        _batch(run_id, 0, tags=[{"key": "a//b", "value": "2"}]),
        {"run_id": run_id, "metrics": [{"key": "loss", "value": 1, "timestamp": 5}, {"key": "loss", "timestamp": 5}]},
        {"run_id": run_id, "metrics": [{"key": "loss", "value": 1, "timestamp": 5}] * 1001},
        {
            "run_id": run_id,
            "metrics": [{"key": "loss", "value": 1, "timestamp": 2**62}, {"key": "loss", "value": 1, "timestamp": 2**63}],
        },
    )
    for body in wrong:
        assert client.refused("runs/log-batch", body) == (400, "INVALID_PARAMETER_VALUE"), str(body)[:200]
    data = client.do("runs/get", run_id=run_id)["run"]["data"]
    assert "metrics" not in data
    assert data["params"] == [{"key": "p", "value": "1"}]


def test_a_long_history_makes_a_retry_no_slower(collector: CollectorProcess) -> None:
    client = Mlflow(collector)
    run_id = client.new_run()
    for first in range(0, 40 * BATCH, BATCH):
        client.do("runs/log-batch", _batch(run_id, first))

    def took_s(first: int) -> float:
        begun_s = time.perf_counter()
        client.do("runs/log-batch", _batch(run_id, first))
        return time.perf_counter() - begun_s

    new = min(took_s(first) for first in (40 * BATCH, 41 * BATCH, 42 * BATCH))
    again = min(took_s(first) for first in (42 * BATCH, 42 * BATCH, 42 * BATCH))
    assert again < 6 * new + 0.05
    assert len(client.values(run_id, "loss")) == 43 * BATCH
