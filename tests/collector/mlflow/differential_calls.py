"""The calls of the differential test: each does the same on either side, and returns what it has seen."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag

from tests.collector.mlflow.differential_side import Side
from tests.collector.mlflow.differential_values import BASE_MS

counter = itertools.count()


Op = Callable[[Side], Any]


def shown_run(run: Any) -> dict[str, Any]:
    info = run.info
    return {
        "id": info.run_id,
        "name": info.run_name,
        "experiment": info.experiment_id,
        "user": info.user_id,
        "status": info.status,
        "start": info.start_time,
        "end": info.end_time,
        "uri": info.artifact_uri,
        "stage": info.lifecycle_stage,
        "metrics": run.data.metrics,
        "params": run.data.params,
        "tags": run.data.tags,
        "points": sorted(repr((one.key, one.step, one.timestamp)) for one in run.data._metric_objs),
        "inputs": sorted(
            repr((dict(one.dataset), sorted((tag.key, tag.value) for tag in one.tags))) for one in run.inputs.dataset_inputs
        ),
        "outputs": [] if run.outputs is None else sorted((one.model_id, one.step) for one in run.outputs.model_outputs),
    }


def shown_experiment(one: Any) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "id": one.experiment_id,
        "name": one.name,
        "uri": one.artifact_location,
        "stage": one.lifecycle_stage,
        "tags": one.tags,
    }


def shown_model(one: Any) -> dict[str, Any]:
    return {
        "id": one.model_id,
        "experiment": one.experiment_id,
        "name": one.name,
        "uri": one.artifact_location,
        "type": one.model_type or "",
        "run": one.source_run_id or "",
        "status": str(one.status),
        "tags": one.tags,
        "params": one.params,
        "metrics": sorted(
            repr((m.key, m.value, m.step, m.timestamp, m.dataset_name or "", m.dataset_digest or "")) for m in one.metrics or []
        ),
    }


def create_experiment(name: str, tags: dict[str, str]) -> Op:
    def op(side: Side) -> Any:
        made = side.client.create_experiment(name and side.prefix + name, tags=tags)
        side.experiments.append(made)
        return made

    return op


def create_run(pick: int, name: str, tags: dict[str, str], parent: int | None) -> Op:
    start = BASE_MS + next(counter) % 1_000_000

    def op(side: Side) -> Any:
        tags_of = tags | ({} if parent is None else {"mlflow.parentRunId": side.run(parent)})
        made = side.client.create_run(side.experiment(pick), start_time=start, tags=tags_of, run_name=name)
        side.runs.append(made.info.run_id)
        return shown_run(made)

    return op


def search_runs(picks: list[int], text: str, orders: list[str], view: int, size: int) -> Op:
    def op(side: Side) -> Any:
        ids = [side.experiment(pick) for pick in picks]
        found, token = [], None
        for _ in range(6):
            page = side.client.search_runs(ids, text, view, size, orders, token)
            found += [shown_run(run) for run in page]
            token = page.token
            if not token:
                return found
        return [*found, "and more"]

    return op


def search_experiments(text: str, orders: list[str], view: int, size: int) -> Op:
    def op(side: Side) -> Any:
        mine = f"name LIKE '{side.prefix}%'" + (f" AND {text}" if text else "")
        found, token = [], None
        for _ in range(6):
            page = side.client.search_experiments(view, size, mine, orders, token)
            found += [shown_experiment(one) for one in page]
            token = page.token
            if not token:
                return found
        return [*found, "and more"]

    return op


def history(pick: int, key: str, size: int | None) -> Op:
    def op(side: Side) -> Any:
        store = side.client._tracking_client.store
        found, token = [], None
        for _ in range(6):
            page = store.get_metric_history(side.run(pick), key, max_results=size, page_token=token)
            found += [[one.value, one.timestamp, one.step] for one in page]
            token = getattr(page, "token", None)
            if not token:
                # Of the same time and step, MLflow's own server puts NaN, which it keeps as 0, on either side of 0.
                return _settled(found)
        return [*_settled(found), "and more"]

    return op


def _settled(points: list[Any]) -> list[Any]:
    return sorted(points, key=lambda it: (it[1], it[2], 0.0 if it[0] != it[0] else it[0], it[0] != it[0], str(it[0])))


def interval(pick: int, other: int, key: str, steps: tuple[int, int] | None, size: int) -> Op:
    def op(side: Side) -> Any:
        query: dict[str, Any] = {"run_ids": [side.run(pick), side.run(other)], "metric_key": key, "max_results": size}
        if steps is not None:
            query |= {"start_step": steps[0], "end_step": steps[1]}
        return _raw(side, "GET", "metrics/get-history-bulk-interval", query)

    return op


def _raw(side: Side, method: str, path: str, body: dict[str, Any]) -> Any:
    kwargs: Any = {"params": body} if method == "GET" else {"json": body}
    answer = requests.request(method, f"{side.url}/api/2.0/mlflow/{path}", headers=side.headers, timeout=60, **kwargs)
    if answer.status_code != 200:
        code = answer.json().get("error_code") if answer.headers["Content-Type"].startswith("application/json") else None
        return answer.status_code, code if answer.status_code != 404 else None
    found = answer.json()
    points = [[_number(one["value"]), one["timestamp"], one["step"], one.get("run_id")] for one in found.get("metrics", [])]
    return answer.status_code, points


def _number(value: Any) -> float:
    return float(value)


def raw(pick: int, path: str, body: dict[str, Any]) -> Op:
    def op(side: Side) -> Any:
        method = "GET" if path == "runs/get" else "POST"
        return _raw(side, method, path, {name: side.run(pick) if value == "@" else value for name, value in body.items()})

    return op


def upload(pick: int, path: str, text: str) -> Op:
    def op(side: Side) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder, path.rpartition("/")[2])
            local.write_text(text)
            side.client.log_artifact(side.run(pick), str(local), path.rpartition("/")[0] or None)

    return op


def artifacts(pick: int, path: str) -> Op:
    def op(side: Side) -> Any:
        return [(one.path, one.is_dir, one.file_size) for one in side.client.list_artifacts(side.run(pick), path or None)]

    return op


def fetch(pick: int, path: str) -> Op:
    def op(side: Side) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            found = Path(side.client.download_artifacts(side.run(pick), path, folder))
            if found.is_file():
                return found.read_text()
            return sorted(str(one.relative_to(found)) for one in found.rglob("*") if one.is_file())

    return op


def inputs(pick: int, given: list[tuple[str, str, str]]) -> Op:
    def op(side: Side) -> Any:
        several = [
            DatasetInput(
                Dataset(name, digest, "local", "file:/x", "{}", f"profile of {name}"),
                [InputTag("mlflow.data.context", context)],
            )
            for name, digest, context in given
        ]
        side.client.log_inputs(side.run(pick), several)

    return op


def create_model(pick: int, run: int, name: str | None, tags: dict[str, str], params: dict[str, str]) -> Op:
    def op(side: Side) -> Any:
        made = side.client.create_logged_model(
            side.experiment(pick), name, side.run(run), tags=tags, params=params, model_type="t"
        )
        side.models.append(made.model_id)
        return shown_model(made)

    return op


def search_models(picks: list[int], text: str, orders: list[dict[str, Any]], size: int) -> Op:
    def op(side: Side) -> Any:
        ids = [side.experiment(pick) for pick in picks]
        found, token = [], None
        for _ in range(4):
            page = side.client.search_logged_models(
                ids, text or None, max_results=size, order_by=orders or None, page_token=token
            )
            found += [shown_model(one) for one in page]
            token = page.token
            if not token:
                break
        return (
            found if orders else sorted(found, key=lambda one: side.models.index(one["id"]) if one["id"] in side.models else -1)
        )

    return op


def batch(pick: int, metrics: list[Any], params: dict[str, str], tags: dict[str, str], again: bool) -> Op:
    def op(side: Side) -> Any:
        given = [Metric(key, value, at, step) for key, value, at, step in metrics]
        for _ in range(2 if again else 1):
            side.client.log_batch(
                side.run(pick), given, [Param(*one) for one in params.items()], [RunTag(*one) for one in tags.items()]
            )

    return op


def call(name: str, *arguments: Any, of: str = "run", shown: Callable[[Any], Any] = lambda given: None) -> Op:
    """A method of the client, whose first argument is picked from what there is of the kind `of`."""

    def op(side: Side) -> Any:
        return shown(getattr(side.client, name)(getattr(side, of)(arguments[0]), *arguments[1:]))

    return op


def terminate(pick: int, status: str, end: int) -> Op:
    return lambda side: side.client.set_terminated(side.run(pick), status, end)


def by_name(name: str) -> Op:
    return lambda side: shown_experiment(side.client.get_experiment_by_name(side.prefix + name))


def metric_of_model(pick: int, model: int, it: Any) -> Op:
    def op(side: Side) -> Any:
        if side.models:
            side.client.log_metric(side.run(pick), *it, model_id=side.model(model % 7))

    return op


def output(pick: int, model: int, step: int) -> Op:
    def op(side: Side) -> Any:
        link = side.run(pick), side.model(model % 7)
        if link not in side.outputs:  # MLflow's own server fails where the same is said again
            side.outputs.append(link)
            side.client.log_outputs(link[0], [LoggedModelOutput(link[1], step)])

    return op
