"""MLflow's routes that log into a run: metrics, parameters, tags, inputs, outputs, models.

Requests become records that tracking/apply.py applies. Every function blocks, gets the connection of its transaction, and
raises MlflowError; then nothing of its request is kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import links, tags
from runyard.collector.tracking.labels import MOST_VALUE
from runyard.collector.tracking.search import RUN_NAME_TAG
from runyard.mlflow import answers, datasets, limits, messages
from runyard.mlflow.errors import invalid, missing
from runyard.tracking.records import Link, Metric, Name, Param, Record, Tag, Untag

from .access import Ask, model_of, run_of
from .duplicates import fresh
from .runs import write

_HISTORY_TAG = "mlflow.log-model.history"
_OF_MODEL = ("run_id", "utc_time_created", "artifact_path", "model_uuid")
_NEEDED_OF_MODEL = ("artifact_path", "flavors", "utc_time_created", "run_id")
_DONE = answers.Answer()


def log_metric(connection: Connection, ask: Ask, request: messages.LogMetric) -> answers.Answer:
    """POST runs/log-metric"""
    fields = ("key", "value", "timestamp", "step", "dataset_name", "dataset_digest", "model_id")
    metric = messages.Metric(**{field: getattr(request, field) for field in fields})
    limits.check_metric(metric)
    row = run_of(connection, ask, request.run, is_active=True)
    _check_models(connection, ask, [metric])
    write(connection, ask, row.run_id, _metrics(fresh(connection, row.run_id, [metric])))
    return _DONE


def log_param(connection: Connection, ask: Ask, request: messages.LogParam) -> answers.Answer:
    """POST runs/log-parameter"""
    value = limits.check_param(request.key, request.value)
    row = run_of(connection, ask, request.run, is_active=True)
    write(connection, ask, row.run_id, [Param("", request.key, value)])
    return _DONE


def set_tag(connection: Connection, ask: Ask, request: messages.LogParam) -> answers.Answer:
    """POST runs/set-tag"""
    limits.check_tag(request.key, request.value)
    row = run_of(connection, ask, request.run, is_active=True)
    write(connection, ask, row.run_id, _tags([messages.Tag(request.key, request.value)]))
    return _DONE


def delete_tag(connection: Connection, ask: Ask, request: messages.LogParam) -> answers.Answer:
    """POST runs/delete-tag"""
    row = run_of(connection, ask, request.run, is_active=True)
    if request.key == RUN_NAME_TAG:
        raise invalid(f"the tag {RUN_NAME_TAG} is the run's name, and a run always has one: set another name instead")
    this = (tags.c.run_id == row.run_id) & (tags.c.key == request.key)
    if connection.execute(sa.select(tags.c.key).where(this)).first() is None:
        raise missing(f"No tag with name: {request.key} in run with id {row.run_id}")
    write(connection, ask, row.run_id, [Untag("", request.key)])
    return _DONE


def log_batch(connection: Connection, ask: Ask, request: messages.Batch) -> answers.Answer:
    """POST runs/log-batch"""
    limits.check_run_id(request.run)
    limits.check_batch(request)
    row = run_of(connection, ask, request.run, is_active=True)
    _check_models(connection, ask, request.metrics)
    params: list[Record] = [Param("", one.key, one.value[: limits.MOST_PARAM_VALUE]) for one in request.params]
    metrics = fresh(connection, row.run_id, request.metrics) if request.metrics else []
    write(connection, ask, row.run_id, [*params, *_metrics(metrics), *_tags(request.tags)])
    return _DONE


def _metrics(metrics: Iterable[messages.Metric]) -> list[Record]:
    return [
        Metric("", one.key, _value(one.value), one.step or 0, one.timestamp or 0,
               one.model_id or "", one.dataset_name or "", one.dataset_digest or "")
        for one in metrics
    ]  # fmt: skip


def _value(value: float | None) -> Any:
    assert value is not None
    return value


def _check_models(connection: Connection, ask: Ask, metrics: Iterable[messages.Metric]) -> None:
    """Raises where a metric is of a model that is not there."""
    for model_id in {metric.model_id for metric in metrics if metric.model_id}:
        model_of(connection, ask, model_id, is_deleted_too=True)


def _tags(given: Iterable[messages.Tag]) -> list[Record]:
    """The tag of the name is the name; an empty one changes nothing."""
    said: list[Record] = []
    for tag in given:
        if tag.key != RUN_NAME_TAG:
            said.append(Tag("", tag.key, tag.value[: limits.MOST_TAG_VALUE]))
        elif tag.value:
            said.append(Name("", tag.value[: limits.MOST_TAG_VALUE]))
    return said


def log_inputs(connection: Connection, ask: Ask, request: messages.LogInputs) -> answers.Answer:
    """POST runs/log-inputs"""
    limits.check_run_id(request.run)
    limits.check_count("datasets and models", [*request.datasets, *request.models])
    limits.check_datasets(request.datasets)
    row = run_of(connection, ask, request.run, is_active=True)
    given = [datasets.link_of(one) for one in datasets.distinct(request.datasets)]
    there = _linked(connection, row.run_id, "dataset", [key for key, _ in given])
    said: list[Record] = [Link("", "dataset", key, document) for key, document in given if key not in there]
    said += [Link("", "model_input", one.model_id, {"model_id": one.model_id}) for one in request.models]
    write(connection, ask, row.run_id, said)
    return _DONE


def _linked(connection: Connection, run_id: str, kind: str, keys: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(keys), 500):
        ours = (links.c.run_id == run_id) & (links.c.kind == kind) & links.c.key.in_(keys[start : start + 500])
        found.update(connection.execute(sa.select(links.c.key).where(ours)).scalars())
    return found


def log_outputs(connection: Connection, ask: Ask, request: messages.LogOutputs) -> answers.Answer:
    """POST runs/outputs"""
    limits.check_count("models", request.models)
    row = run_of(connection, ask, request.run, is_active=True)
    said: list[Record] = [
        Link("", "model_output", one.model_id, {"model_id": one.model_id, "step": one.step}) for one in request.models
    ]
    write(connection, ask, row.run_id, said)
    return _DONE


def log_model(connection: Connection, ask: Ask, request: messages.LogModel) -> answers.Answer:
    """POST runs/log-model: the history of models lies in a tag."""
    try:
        model = json.loads(request.model_json)
    except ValueError as error:
        raise invalid("Malformed model info: model_json is not a valid JSON") from error
    lacking = [name for name in _NEEDED_OF_MODEL if not isinstance(model, dict) or name not in model]
    if lacking:
        raise invalid(f"Model json is missing mandatory fields: {', '.join(lacking)}")
    row = run_of(connection, ask, request.run, is_active=True)
    this = (tags.c.run_id == row.run_id) & (tags.c.key == _HISTORY_TAG)
    before = connection.execute(sa.select(tags.c.value).where(this)).scalar()
    history = [*(json.loads(before) if before else []), _of_history(model)]
    while len(json.dumps(history)) > MOST_VALUE and len(history) > 1:
        history.pop(0)
    write(connection, ask, row.run_id, [Tag("", _HISTORY_TAG, json.dumps(history))])
    return _DONE


def _of_history(model: dict[str, Any]) -> dict[str, Any]:
    flavors = {
        name: {key: value for key, value in one.items() if key != "config"} if isinstance(one, dict) else one
        for name, one in model["flavors"].items()
    }
    return {name: model[name] for name in _OF_MODEL if name in model} | {"flavors": flavors}
