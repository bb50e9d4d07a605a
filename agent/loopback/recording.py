"""What MLflow's clients record, as records: requests checked against the book, and what they come to. Pure but for the clock.

Each function returns the records that the request comes to, none of them written yet; raises MlflowError for one that is wrong.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, cast

import msgspec

from runyard import names
from runyard.mlflow import answers, datasets, limits, messages
from runyard.mlflow.errors import invalid, missing
from runyard.mlflow.names import made_up_name
from runyard.mlflow.statuses import from_mlflow
from runyard.tracking import records

from .book import Book, KnownModel, KnownRun
from .known import RUN_NAME

_MODEL_HISTORY = "mlflow.log-model.history"
PENDING = messages.MODEL_STATUSES[1]


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 10**6


def check_active(run: KnownRun) -> None:
    """Nothing is recorded of a run that was deleted."""
    if run.is_deleted:
        raise invalid(f"The run {run.run_id} must be in the 'active' state. Current state is deleted.")


def child(asked: messages.CreateRun, parent: KnownRun, book: Book) -> tuple[str, list[records.Record]]:
    """A new run, which is a child: (its id, records)."""
    tags = {tag.key: limits.check_tag(tag.key, tag.value) for tag in asked.tags}
    name = asked.run_name or tags.pop(RUN_NAME, "") or made_up_name()
    run_id = _child_id(parent.run_id, book.own.run_id)
    at_ms = asked.start_time or now_ms()
    new: list[records.Record] = [
        records.Child(run_id, parent.word, name, records.MLFLOW, asked.user_id, at_ms),
        records.Status(run_id, "Running", "", at_ms),
    ]
    return run_id, new + [records.Tag(run_id, key, value) for key, value in tags.items() if key != RUN_NAME]


def _child_id(parent: str, own: str) -> str:
    """The collector knows by a child's id whose it is; a long line of ancestors has no room in there."""
    room = names.MAX_RUN_ID_LENGTH - 9
    return f"{parent if len(parent) <= room else own[:room]}_{os.urandom(4).hex()}"


def update(asked: messages.UpdateRun, run: KnownRun) -> list[records.Record]:
    """Status, end or name of a run."""
    new: list[records.Record] = []
    status = messages.status_of(asked.status)
    if status is not None:
        new.append(records.Status(run.word, from_mlflow(status), "", asked.end_time or now_ms()))
    if asked.run_name:
        new += tag(run, RUN_NAME, asked.run_name)
    return new


def batch(asked: messages.Batch, run: KnownRun, book: Book) -> list[records.Record]:
    """A log-batch: all of it, or none where a parameter has another value already."""
    check_active(run)
    limits.check_batch(asked)
    new: list[records.Record] = []
    wrong = []
    for param in asked.params:
        value = limits.check_param(param.key, param.value)
        known = run.params.get(param.key)
        if known is None:
            new.append(records.Param(run.word, param.key, value))
        elif known != value:
            wrong.append({"key": param.key, "old_value": known, "new_value": value})
    if wrong:
        raise invalid(f"Changing param values is not allowed. Params were already logged='{wrong}' for run ID='{run.run_id}'.")
    new += metrics(asked.metrics, run, book)
    for one in asked.tags:
        new += tag(run, one.key, limits.check_tag(one.key, one.value))
    return new


def metrics(asked: Iterable[messages.Metric], run: KnownRun, book: Book) -> list[records.Record]:
    """Points; one that was recorded a moment ago is the same request once more."""
    new: dict[records.Record, None] = {}  # the same point twice is one
    for one in asked:
        point = records.Metric(
            run.word, one.key, cast(records.NonFinite, answers.number(one.value or 0.0)), one.step or 0, one.timestamp or 0,
            one.model_id or "", one.dataset_name or "", one.dataset_digest or "",
        )  # fmt: skip
        if not book.is_known(point):
            new[point] = None
    return list(new)


def metric(asked: messages.LogMetric, run: KnownRun, book: Book) -> list[records.Record]:
    """A log-metric."""
    check_active(run)
    one = messages.Metric(
        asked.key, asked.value, asked.timestamp, asked.step, asked.dataset_name, asked.dataset_digest, asked.model_id
    )
    limits.check_metric(one)
    return metrics([one], run, book)


def param(asked: messages.LogParam, run: KnownRun, book: Book) -> list[records.Record]:
    """A log-parameter."""
    check_active(run)
    value = limits.check_param(asked.key, asked.value)
    known = run.params.get(asked.key)
    if known is None:
        return [records.Param(run.word, asked.key, value)]
    if known != value:
        raise invalid(
            f"Changing param values is not allowed. Param with key='{asked.key}' was already logged with value='{known}' for"
            f" run ID='{run.run_id}'. Attempted logging new value '{value}'."
        )
    return []


def tag(run: KnownRun, key: str, value: str) -> list[records.Record]:
    """A tag; the one that has the run's name is the name, and an empty one changes nothing."""
    check_active(run)
    kept = limits.check_tag(key, value)
    if key != RUN_NAME:
        return [records.Tag(run.word, key, kept)]
    return [records.Name(run.word, kept)] if kept else []


def set_tag(asked: messages.LogParam, run: KnownRun, book: Book) -> list[records.Record]:
    """A set-tag."""
    return tag(run, asked.key, asked.value)


def untag(asked: messages.LogParam, run: KnownRun, book: Book) -> list[records.Record]:
    """A delete-tag."""
    check_active(run)
    if asked.key not in run.tags:
        raise missing(f"No tag with name: {asked.key} in run with id {run.run_id}")
    return [records.Untag(run.word, asked.key)]


def delete(asked: messages.RunRequest, run: KnownRun, book: Book) -> list[records.Record]:
    """A run is hidden."""
    return [] if run.is_deleted else [records.Lifecycle(run.word, True, now_ms())]


def restore(asked: messages.RunRequest, run: KnownRun, book: Book) -> list[records.Record]:
    """A run is shown again."""
    return [records.Lifecycle(run.word, False, now_ms())] if run.is_deleted else []


def inputs(asked: messages.LogInputs, run: KnownRun, book: Book) -> list[records.Record]:
    """Datasets that a run has read, models that it has used."""
    check_active(run)
    limits.check_datasets(asked.datasets)
    new: list[records.Record] = []
    for key, document in map(datasets.link_of, datasets.distinct(asked.datasets)):
        if key not in run.datasets:
            new.append(records.Link(run.word, "dataset", key, document))
    new += _links(run.word, "model_input", run.model_inputs, asked.models)
    return new


def outputs(asked: messages.LogOutputs, run: KnownRun, book: Book) -> list[records.Record]:
    """Models that a run has made."""
    check_active(run)
    return _links(run.word, "model_output", run.model_outputs, asked.models)


def _links(
    run: str, kind: Any, known: dict[str, Any], models: Sequence[messages.ModelInput | messages.ModelOutput]
) -> list[records.Record]:
    return [
        records.Link(run, kind, model.model_id, msgspec.to_builtins(model)) for model in models if model.model_id not in known
    ]


def legacy_model(asked: messages.LogModel, run: KnownRun, book: Book) -> list[records.Record]:
    """A log-model: the tag that has the run's models."""
    check_active(run)
    try:
        document = json.loads(asked.model_json)
        earlier = json.loads(run.tags.get(_MODEL_HISTORY) or "[]")
    except ValueError as error:
        raise invalid(f"Malformed model info. \n {asked.model_json[:200]} \n is not a valid JSON: {error}") from error
    absent = {"artifact_path", "flavors", "utc_time_created", "run_id"} - set(document if isinstance(document, dict) else ())
    if absent:
        raise invalid(f"Model json is missing mandatory fields: {sorted(absent)}")
    kept = {key: value for key, value in document.items() if key not in ("signature", "saved_input_example_info")}
    return [records.Tag(run.word, _MODEL_HISTORY, json.dumps([*earlier, kept]))]


def model(asked: messages.CreateModel, run: KnownRun | None) -> tuple[str, list[records.Record]]:
    """A new model: (its id, records). `run` is the run that makes it."""
    limits.check_model_name(asked.name)
    model_id = f"m-{os.urandom(16).hex()}"
    document: dict[str, Any] = {
        "name": asked.name or made_up_name(),
        "model_type": asked.model_type or "",
        "status": PENDING,
        "status_message": "",
        "params": {one.key: one.value for one in asked.params},
        "tags": {one.key: one.value for one in asked.tags},
    }
    return model_id, [records.Model(model_id, run.word if run else "", document, now_ms())]


def change_model(known: KnownModel, **members: Any) -> list[records.Record]:
    """A model is otherwise; mappings are added to what is there."""
    changed = {
        name: {**(known.document.get(name) or {}), **value} if isinstance(value, dict) else value
        for name, value in members.items()
    }
    return [records.Model(known.model_id, known.word, changed, now_ms())]
