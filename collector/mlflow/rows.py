"""Runs as MLflow's clients see them.

Reads from the tables `runs`, `experiments`, `series`, `params`, `tags` and `links`. Blocks; gets the connection of its
transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import catalog, state
from runyard.collector.schema import experiments, links, params, runs, series, tags
from runyard.collector.tracking import client_runs
from runyard.collector.tracking.search import PARENT_TAG, RUN_NAME_TAG
from runyard.mlflow import answers
from runyard.mlflow.datasets import input_of
from runyard.mlflow.messages import DatasetInput, ModelInput, ModelOutput, Number, Tag
from runyard.mlflow.statuses import to_mlflow

from .access import Ask
from .experiments import location_of

_BATCH = 500  # ids in one query: SQLite and PostgreSQL both limit the parameters


@dataclass(slots=True)
class _Details:
    metrics: list[answers.Metric] = field(default_factory=list)
    params: list[Tag] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[DatasetInput] = field(default_factory=list)
    used: list[ModelInput] = field(default_factory=list)
    made: list[ModelOutput] = field(default_factory=list)


def runs_of(connection: Connection, ask: Ask, rows: Sequence[Any]) -> list[answers.Run]:
    """The rows of `runs` as answers."""
    details = {row.run_id: _Details() for row in rows}
    for ids in _batches(list(details)):
        _read(connection, ids, details)
    return [_run(info, details[info.run_id], row) for info, row in zip(infos_of(connection, ask, rows), rows, strict=True)]


def infos_of(connection: Connection, ask: Ask, rows: Sequence[Any]) -> list[answers.RunInfo]:
    """What is in the rows of `runs` themselves."""
    roots = _roots(connection, {row.experiment for row in rows})
    shown = statuses_of(connection, ask, rows)
    return [_info(row, roots[row.experiment], shown.get(row.run_id, row.status)) for row in rows]


def statuses_of(connection: Connection, ask: Ask, rows: Sequence[Any]) -> dict[str, str]:
    """The statuses that are shown otherwise than they are kept: of runs that may not respond."""
    open_rows = [row for row in rows if row.status not in state.FINAL]
    silent = [row.run_id for row in open_rows if client_runs.is_silent(row, ask.now_ms / 1000)]
    held = [row for row in open_rows if not row.is_client_run]
    known = catalog.with_details(connection, held) if held else []
    return dict.fromkeys(silent, "NotResponding") | {one.row.run_id: ask.shown_status(one) for one in known}


def _roots(connection: Connection, folders: set[str]) -> dict[str, tuple[str, str]]:
    """The id and the place of the artifacts of each experiment."""
    query = sa.select(experiments.c.folder, experiments.c.experiment_id, experiments.c.artifact_location)
    found = {}
    for some in _batches(sorted(folders)):
        for row in connection.execute(query.where(experiments.c.folder.in_(some))):
            found[row.folder] = str(row.experiment_id), location_of(row.experiment_id, row.artifact_location)
    return found


def _info(row: Any, root: tuple[str, str], status: str) -> answers.RunInfo:
    experiment_id, location = root
    started_ns = row.created_ns if row.started_ns is None else row.started_ns
    return answers.RunInfo(
        row.run_id, row.run_id, row.name, experiment_id, row.user, to_mlflow(status), started_ns // 10**6,
        f"{location}/{row.run_id}/artifacts", answers.DELETED if row.deleted_ms is not None else answers.ACTIVE,
        None if row.ended_ns is None else row.ended_ns // 10**6,
    )  # fmt: skip


def _run(info: answers.RunInfo, details: _Details, row: Any) -> answers.Run:
    tags_of = details.tags | {RUN_NAME_TAG: row.name}
    if row.parent_run_id is not None:
        tags_of.setdefault(PARENT_TAG, row.parent_run_id)
    data = answers.RunData(details.metrics, details.params, answers.pairs(tags_of))
    outputs = answers.RunOutputs(details.made) if details.made else None
    return answers.Run(info, data, answers.RunInputs(details.datasets, details.used), outputs)


def _read(connection: Connection, ids: Sequence[str], details: dict[str, _Details]) -> None:
    for row in connection.execute(_METRICS.where(series.c.run_id.in_(ids))):
        value = number_of(row.latest, row.exact)
        details[row.run_id].metrics.append(answers.Metric(row.name, value, row.latest_ms, row.latest_step))
    for row in connection.execute(sa.select(params).where(params.c.run_id.in_(ids))):
        details[row.run_id].params.append(Tag(row.key, row.value))
    for row in connection.execute(sa.select(tags).where(tags.c.run_id.in_(ids))):
        details[row.run_id].tags[row.key] = row.value
    for row in connection.execute(sa.select(links).where(links.c.run_id.in_(ids)).order_by(links.c.key)):
        _link(details[row.run_id], row)


_METRICS = (
    sa.select(series.c.run_id, series.c.name, series.c.latest, series.c.latest_ms, series.c.latest_step, series.c.exact)
    .where(series.c.latest_ms.is_not(None))
    .order_by(series.c.name)
)


def number_of(latest: float | None, exact: dict[str, Any] | None) -> Number:
    """A latest value as an answer has it."""
    if latest is not None:
        return latest
    word = ((exact or {}).get("latest") or ("number", "NaN"))[1]
    return answers.number(float(word))


def _link(details: _Details, row: Any) -> None:
    if row.kind == "dataset":
        details.datasets.append(input_of(row.document))
    elif row.kind == "model_input":
        details.used.append(ModelInput(row.document["model_id"]))
    else:
        details.made.append(msgspec.convert(row.document, ModelOutput))


def _batches(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), _BATCH):
        yield values[start : start + _BATCH]


def open_runs(connection: Connection, folders: Sequence[str]) -> list[Any]:
    """The runs of some experiments that nodes have and that have not ended."""
    is_open = runs.c.status.not_in(sorted(state.FINAL)) & ~runs.c.is_client_run
    found: list[Any] = []
    for some in _batches(folders):
        found += connection.execute(sa.select(runs).where(is_open & runs.c.experiment.in_(some))).all()
    return found
