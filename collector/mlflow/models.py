"""MLflow's routes of logged models.

Reads from and writes to the tables `models` and `model_metrics`. Every function blocks, gets the connection of its transaction,
and raises MlflowError.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import experiments, models
from runyard.collector.tracking import model_metrics
from runyard.mlflow import answers, limits, messages
from runyard.mlflow.errors import MlflowError, invalid, missing
from runyard.mlflow.evaluate import Facts, matches
from runyard.mlflow.filters import METRIC, MODELS, MOST_ORDERS, Clause, Order, parse_filter
from runyard.mlflow.messages import DatasetFilter, ModelOrder, Tag
from runyard.mlflow.names import made_up_name
from runyard.mlflow.paging import offset_of, token_at
from runyard.tracking.records import ModelMetric

from .access import Ask, experiment_of, model_of, require_run, run_of
from .experiments import location_of

_PENDING = "LOGGED_MODEL_PENDING"
_SHORT = {"LOGGED_MODEL_PENDING": "PENDING", "LOGGED_MODEL_READY": "READY", "LOGGED_MODEL_UPLOAD_FAILED": "FAILED"}
_DONE = answers.Answer()


def create(connection: Connection, ask: Ask, request: messages.CreateModel) -> answers.Answer:
    """POST logged-models"""
    limits.check_model_name(request.name or None)
    experiment = experiment_of(connection, ask, request.experiment_id, is_active=True)
    run_id = request.source_run_id or ask.own_run or ""
    if ask.own_run is not None:
        run_of(connection, ask, run_id)
    model_id = f"m-{secrets.token_hex(16)}"
    values = {
        "model_id": model_id, "experiment_id": experiment.experiment_id, "run_id": run_id,
        "name": request.name or made_up_name(), "model_type": request.model_type or "",
        "status": _PENDING, "status_message": "", "created_ms": ask.now_ms,
        "updated_ms": ask.now_ms, "params": _dict(request.params), "tags": _dict(request.tags), "metrics": [],
    }  # fmt: skip
    connection.execute(sa.insert(models).values(values))
    return _shown(connection, ask, model_id)


def _dict(pairs: Sequence[Tag]) -> dict[str, str]:
    if any("\0" in pair.key or "\0" in pair.value for pair in pairs):
        raise invalid("a parameter or tag of a model may not hold a NUL")
    return {pair.key: pair.value for pair in pairs}


def one(connection: Connection, ask: Ask, model_id: str) -> answers.LoggedModel:
    """A model, also one that is deleted."""
    return _answers(connection, [model_of(connection, ask, model_id, is_deleted_too=True)])[0]


def _shown(connection: Connection, ask: Ask, model_id: str) -> answers.Answer:
    return answers.OneModel(one(connection, ask, model_id))


def get(connection: Connection, ask: Ask, request: messages.ModelQuery, model_id: str) -> answers.Answer:
    """GET logged-models/{model_id}"""
    model_of(connection, ask, model_id, is_deleted_too=request.allow_deleted)
    return _shown(connection, ask, model_id)


def finalize(connection: Connection, ask: Ask, request: messages.FinalizeModel, model_id: str) -> answers.Answer:
    """PATCH logged-models/{model_id}"""
    if request.status is None:
        raise invalid("Missing value for required parameter 'status'.")
    model_of(connection, ask, model_id, is_deleted_too=True)
    _set(connection, model_id, status=messages.model_status_of(request.status), updated_ms=ask.now_ms)
    return _shown(connection, ask, model_id)


def delete(connection: Connection, ask: Ask, request: messages.Request, model_id: str) -> answers.Answer:
    """DELETE logged-models/{model_id}: it is hidden."""
    model_of(connection, ask, model_id, is_deleted_too=True)
    _set(connection, model_id, deleted_ms=ask.now_ms, updated_ms=ask.now_ms)
    return _DONE


def _set(connection: Connection, model_id: str, **values: Any) -> None:
    connection.execute(sa.update(models).where(models.c.model_id == model_id).values(values))


def log_params(connection: Connection, ask: Ask, request: messages.ModelChange, model_id: str) -> answers.Answer:
    """POST logged-models/{model_id}/params"""
    row = model_of(connection, ask, model_id, is_deleted_too=True)
    given = _dict(request.params)
    for key, value in given.items():
        if row.params.get(key, value) != value:
            raise invalid(f"the parameter {key!r} of model {model_id} is {row.params[key][:100]!r} already, and never changes")
    _set(connection, model_id, params=row.params | given)
    return _DONE


def set_tags(connection: Connection, ask: Ask, request: messages.ModelChange, model_id: str) -> answers.Answer:
    """PATCH logged-models/{model_id}/tags"""
    row = model_of(connection, ask, model_id, is_deleted_too=True)
    _set(connection, model_id, tags=row.tags | _dict(request.tags))
    return _shown(connection, ask, model_id)


def delete_tag(connection: Connection, ask: Ask, request: messages.Request, model_id: str, key: str) -> answers.Answer:
    """DELETE logged-models/{model_id}/tags/{key}"""
    row = model_of(connection, ask, model_id, is_deleted_too=True)
    if key not in row.tags:
        raise missing(f"No tag with key {key!r} found for model with ID {model_id!r}.")
    _set(connection, model_id, tags={name: value for name, value in row.tags.items() if name != key})
    return _DONE


def find(connection: Connection, ask: Ask, request: messages.SearchModels) -> answers.Answer:
    """POST logged-models/search"""
    limits.check_count("keys of order_by", request.order_by, MOST_ORDERS)
    limits.check_count("datasets", request.datasets)
    if any(not one.dataset_name for one in request.datasets):
        raise invalid("`dataset_name` in the `datasets` clause must be specified.")
    clauses, orders = parse_filter(request.filter, MODELS), [_order(one) for one in request.order_by]
    limit, offset = limits.check_max_results(request.max_results or 50), offset_of(request.page_token)
    limits.check_count("experiments", request.experiment_ids, limits.MOST_EXPERIMENTS)
    numbers = {limits.parse_experiment_id(one) for one in request.experiment_ids}
    query = sa.select(models).where(models.c.experiment_id.in_(numbers) & models.c.deleted_ms.is_(None))
    rows = [row for row in connection.execute(query.order_by(models.c.model_id)) if _may_see(connection, ask, row)]
    metrics = model_metrics.of_models(connection, rows)
    found = [row for row in rows if _is_wanted(row, metrics[row.model_id], clauses, request.datasets)]
    found.sort(key=lambda row: row.created_ms, reverse=True)
    for given, key in reversed(orders):
        _sort(found, given, key, metrics)
    page = found[offset : offset + limit]
    token = token_at(offset + limit) if len(found) > offset + limit else None
    return answers.Models(_answers(connection, page), token)


def _may_see(connection: Connection, ask: Ask, row: Any) -> bool:
    if ask.own_run is None:
        return True
    try:
        require_run(connection, ask, row.run_id or "")
    except MlflowError:
        return False
    return True


def _is_wanted(row: Any, metrics: Sequence[ModelMetric], clauses: Sequence[Clause], datasets: Sequence[DatasetFilter]) -> bool:
    counted = [one for one in metrics if not datasets or any(_is_on(one, given) for given in datasets)]
    of_metrics = [clause for clause in clauses if clause.entity == METRIC]
    if datasets and not of_metrics and not counted:
        return False
    facts = Facts(_attributes(row), params=row.params, tags=row.tags)
    if not matches([clause for clause in clauses if clause.entity != METRIC], facts):
        return False
    return all(
        any(one.key == clause.key and matches([clause], Facts({}, {one.key: float(one.value)})) for one in counted)
        for clause in of_metrics
    )


def _is_on(metric: ModelMetric, given: DatasetFilter) -> bool:
    return metric.dataset_name == given.dataset_name and given.dataset_digest in ("", metric.dataset_digest)


def _attributes(row: Any) -> dict[str, Any]:
    return {
        "name": row.name, "model_id": row.model_id, "model_type": row.model_type or None, "status": _SHORT.get(row.status),
        "source_run_id": row.run_id or None, "status_message": row.status_message or None, "artifact_location": None,
        "creation_timestamp_ms": row.created_ms, "last_updated_timestamp_ms": row.updated_ms,
    }  # fmt: skip


def _order(given: ModelOrder) -> tuple[ModelOrder, Order]:
    name, dot, key = given.field_name.partition(".")
    if dot and name != "metrics":
        raise invalid(f"Invalid order by field name: {given.field_name}. Only metrics are supported.")
    if given.dataset_digest and not given.dataset_name:
        raise invalid("`dataset_digest` can only be specified if `dataset_name` is also specified.")
    if dot:
        return given, Order(METRIC, key, given.ascending)
    return given, Order("attribute", MODELS.attribute(given.field_name), given.ascending)


def _sort(found: list[Any], given: ModelOrder, order: Order, metrics: dict[str, list[ModelMetric]]) -> None:
    """Those without a value come last. The order of those that are equal stays as it was."""
    value_of: Callable[[Any], Any] = lambda row: _attributes(row)[order.key]  # noqa: E731 - one of two
    if order.entity == METRIC:
        value_of = lambda row: _latest(metrics[row.model_id], given, order.key)  # noqa: E731
    with_value = [row for row in found if value_of(row) is not None]
    with_value.sort(key=value_of, reverse=not order.is_ascending)
    found[:] = [*with_value, *(row for row in found if value_of(row) is None)]


def _latest(metrics: Sequence[ModelMetric], given: ModelOrder, key: str) -> float | None:
    on = DatasetFilter(given.dataset_name, given.dataset_digest)
    mine = [one for one in metrics if one.key == key and (not on.dataset_name or _is_on(one, on))]
    latest = max(mine, key=lambda one: (one.timestamp, one.step), default=None)
    return None if latest is None else float(latest.value)


def _answers(connection: Connection, rows: Sequence[Any]) -> list[answers.LoggedModel]:
    ids = {row.experiment_id for row in rows}
    query = sa.select(experiments.c.experiment_id, experiments.c.artifact_location)
    roots = {
        row[0]: location_of(row[0], row[1]) for row in connection.execute(query.where(experiments.c.experiment_id.in_(ids)))
    }
    metrics = model_metrics.of_models(connection, rows)
    return [_answer(row, roots[row.experiment_id], metrics[row.model_id]) for row in rows]


def _answer(row: Any, root: str, metrics: Sequence[ModelMetric]) -> answers.LoggedModel:
    info = answers.ModelInfo(
        str(row.experiment_id), row.model_id, row.name, f"{root}/models/{row.model_id}/artifacts", row.created_ms,
        row.updated_ms, row.status, row.model_type or None, row.run_id or None, row.status_message or None,
        answers.pairs(row.tags),
    )  # fmt: skip
    points = [
        answers.Metric(
            one.key, answers.number(float(one.value)), one.timestamp, one.step, one.run_id or None, row.model_id,
            one.dataset_name or None, one.dataset_digest or None,
        )
        for one in metrics
    ]  # fmt: skip
    return answers.LoggedModel(info, answers.ModelData(answers.pairs(row.params), points))
