"""The metrics of MLflow models: points that runs have logged with a model's id.

Reads from and writes to the table `model_metrics`. Every function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import model_metrics, models
from runyard.tracking.records import Metric, ModelMetric

from .aggregates import non_finite

_BATCH = 500  # ids in one query
_IDENTITY = ("model_id", "key", "timestamp_ms", "step", "run_id")


def note(connection: Connection, run_id: str, points: Iterable[Any], may_measure: Callable[[str], bool]) -> None:
    """The points that are of models are kept with these, each once; those of models that are not there are not, nor those of
    models of runs of which `may_measure` says no."""
    given = [point for point in points if type(point) is Metric and point.model_id]
    if not given:
        return
    ids = sorted({point.model_id for point in given})
    query = sa.select(models.c.model_id, models.c.run_id).where(models.c.model_id.in_(ids[:_BATCH]))
    there = {row.model_id for row in connection.execute(query).all() if may_measure(row.run_id or "")}
    rows = {
        tuple(row[name] for name in _IDENTITY): row
        for row in (_row(run_id, point) for point in given)
        if row["model_id"] in there
    }
    for identity, row in rows.items():
        same = sa.and_(*(model_metrics.c[name] == value for name, value in zip(_IDENTITY, identity, strict=True)))
        if connection.execute(sa.select(model_metrics.c.id).where(same)).first() is None:
            connection.execute(sa.insert(model_metrics).values(row))


def _row(run_id: str, point: Metric) -> dict[str, Any]:
    value = float(point.value)
    is_finite = math.isfinite(value)
    return {
        "model_id": point.model_id, "run_id": run_id, "key": point.name, "value": value if is_finite else None,
        "exact": "" if is_finite else non_finite(value), "timestamp_ms": point.at_ms, "step": point.step or 0,
        "dataset_name": point.dataset_name, "dataset_digest": point.dataset_digest,
    }  # fmt: skip


def of_models(connection: Connection, rows: Sequence[Any]) -> dict[str, list[ModelMetric]]:
    """The metrics of each of the models (their rows), by the model's id."""
    found: dict[str, list[ModelMetric]] = {row.model_id: list(row.metrics) for row in rows}
    ids = list(found)
    for start in range(0, len(ids), _BATCH):
        ours = model_metrics.c.model_id.in_(ids[start : start + _BATCH])
        for row in connection.execute(sa.select(model_metrics).where(ours).order_by(model_metrics.c.id)):
            value = row.value if row.value is not None else row.exact
            point = ModelMetric(row.key, value, row.timestamp_ms, row.step, row.run_id, row.dataset_name, row.dataset_digest)
            found[row.model_id].append(point)
    return found
