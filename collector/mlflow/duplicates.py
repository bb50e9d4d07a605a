"""Which points of a request its run has already.

MLflow's client sends a request again when its answer was lost; the same point (metric, step, time and value) is one point, as
it is on MLflow's own server.

Reads from the tables `series` and `chunks`: only of points that are not behind all that is known are the chunks looked at that
can hold them, so that a long series costs no more than a short one. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import chunks
from runyard.collector.tracking import series
from runyard.collector.tracking.points import unpack
from runyard.mlflow.messages import Metric

# Of one point: step, time, and the value; NaN is the same as NaN.
_Point = tuple[int, int, float | None]


def fresh(connection: Connection, run_id: str, metrics: Sequence[Metric]) -> list[Metric]:
    """The metrics that the run does not have yet, each once. They have passed limits.check_batch."""
    known = series.find(connection, run_id, {metric.key for metric in metrics})
    latest = {key: (row.latest_step, row.latest_ms) for key, row in known.items() if row.latest_ms is not None}
    seen: set[tuple[str, _Point]] = set()
    doubtful: dict[str, list[_Point]] = {}
    found: list[tuple[Metric, _Point]] = []
    for metric in metrics:
        key, value = metric.key, metric.value
        point: Any = (metric.step or 0, metric.timestamp, None if value != value else value)
        if (key, point) in seen:
            continue
        seen.add((key, point))
        found.append((metric, point))
        if key in latest and point[:2] <= latest[key]:
            doubtful.setdefault(key, []).append(point)
    if not doubtful:
        return [metric for metric, _ in found]
    there = {key: _kept(connection, known[key].id, points) for key, points in doubtful.items()}
    return [metric for metric, point in found if point not in there.get(metric.key, ())]


def _kept(connection: Connection, series_id: int, points: Iterable[_Point]) -> set[_Point]:
    """Those of `points` that the series has."""
    wanted = set(points)
    steps, times = [point[0] for point in wanted], [point[1] for point in wanted]
    may_hold = (
        (chunks.c.series_id == series_id)
        & (chunks.c.least_ms <= max(times)) & (chunks.c.greatest_ms >= min(times))
        & (chunks.c.least_step <= max(steps)) & (chunks.c.greatest_step >= min(steps))
    )  # fmt: skip
    found: set[_Point] = set()
    query = sa.select(chunks.c.least_step, chunks.c.greatest_step, chunks.c.least_ms, chunks.c.greatest_ms, chunks.c.points)
    for row in connection.execute(query.where(may_hold)):
        if any(_is_within(point, row) for point in wanted):
            found |= wanted & _points(row.points)
    return found


def _is_within(point: _Point, row: Any) -> bool:
    return bool(row.least_step <= point[0] <= row.greatest_step and row.least_ms <= point[1] <= row.greatest_ms)


def _points(data: bytes) -> set[_Point]:
    points = unpack(data)
    rows = zip(points.steps, points.times_ms, points.numbers, range(len(points)), strict=True)
    return {
        (step, at_ms, None if value != value else value)
        for step, at_ms, value, position in rows
        if value == value or points.is_number(position)
    }
