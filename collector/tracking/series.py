"""Appending to series: new points become rows of `chunks`, and the aggregates in `series` follow them.

Reads from and writes to the tables `series` and `chunks`, in the caller's transaction. Small chunks at the end of a series are
joined with what comes, as in a log-structured store: a series that gets a point at a time rewrites a few kilobytes for each, a
long one is a few hundred rows, and every point is written anew a handful of times at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import chunks, series
from runyard.tracking.records import ROW, SCALAR, FileMetric, Metric, Row, Word

from . import aggregates
from .envelope import envelope_of
from .points import Points, of_numbers, of_words, pack, unpack

MOST_POINTS = 8192  # of a chunk
SMALL = 256  # points: a chunk below this is joined with whatever comes
_BATCH = 500  # names in one query: SQLite and PostgreSQL both limit the parameters
_NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

Point = Metric | Word | Row | FileMetric
POINTS = (Metric, Word, Row, FileMetric)


@dataclass(slots=True)
class Arrivals:
    """What has come for one series in this transaction. `known` is its row as it was, None where it is new; `points` are made
    of what was `recorded`, once all has come."""

    run_id: str
    name: str
    kind: str
    known: Any
    recorded: list[Point] = field(default_factory=list)
    points: Points = field(default_factory=Points)


def kind_of(point: Point) -> str:
    """The kind of series that the point belongs to."""
    if isinstance(point, Row):
        return ROW
    return point.kind if isinstance(point, FileMetric) else SCALAR


def find(connection: Connection, run_id: str, names: Iterable[str]) -> dict[str, Any]:
    """The rows of a run's series with these names."""
    wanted = list(names)
    found: dict[str, Any] = {}
    for start in range(0, len(wanted), _BATCH):
        ours = (series.c.run_id == run_id) & series.c.name.in_(wanted[start : start + _BATCH])
        found |= {row.name: row for row in connection.execute(sa.select(series).where(ours))}
    return found


def append(connection: Connection, arrivals: Iterable[Arrivals]) -> None:
    """The points of each series behind those that it has."""
    changed: list[dict[str, Any]] = []
    removed: list[dict[str, Any]] = []
    added: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    chunks_of_new: list[list[dict[str, Any]]] = []
    for one in arrivals:
        before = dict(one.known._mapping) if one.known is not None else _NOTHING
        values = aggregates.with_points(before, one.points)
        tail, first_index, joined = _joined(connection, before, one.points)
        made = list(_chunks(first_index, joined))
        values["tail"] = tail + [chunk["count"] for chunk in made]
        if one.known is None:
            new.append(values | {"run_id": one.run_id, "name": one.name, "kind": one.kind})
            chunks_of_new.append(made)
            continue
        series_id = before["id"]
        if first_index < before["count"]:
            removed.append({"of_series": series_id, "from_index": first_index})
        changed.append({"of_series": series_id} | {f"new_{name}": value for name, value in values.items()})
        added += [chunk | {"series_id": series_id} for chunk in made]
    if new:
        for series_id, made in zip(connection.execute(_ADD, new).scalars().all(), chunks_of_new, strict=True):
            added += [chunk | {"series_id": series_id} for chunk in made]
    for statement, rows in ((_UPDATE, changed), (_REMOVE, removed), (_ADD_CHUNKS, added)):
        if rows:
            connection.execute(statement, rows)


_NOTHING: dict[str, Any] = aggregates.NONE | {"tail": []}
_CHANGED = (*aggregates.COLUMNS, "tail")
_UPDATE = (
    sa.update(series)
    .where(series.c.id == sa.bindparam("of_series"))
    .values({name: sa.bindparam(f"new_{name}", type_=series.c[name].type) for name in _CHANGED})
)
_REMOVE = sa.delete(chunks).where(
    (chunks.c.series_id == sa.bindparam("of_series")) & (chunks.c.first_index >= sa.bindparam("from_index"))
)
_ADD = sa.insert(series).returning(series.c.id, sort_by_parameter_order=True)
_ADD_CHUNKS = sa.insert(chunks)
_LAST_CHUNKS = (
    sa.select(chunks.c.points)
    .where((chunks.c.series_id == sa.bindparam("of_series")) & (chunks.c.first_index >= sa.bindparam("from_index")))
    .order_by(chunks.c.first_index)
)


def _joined(connection: Connection, before: dict[str, Any], points: Points) -> tuple[list[int], int, Points]:
    """The new points, behind those of the last chunks that are to be written anew with them: the sizes of the chunks before
    that are neither full nor touched, and the index of the first point."""
    tail, total = list(before["tail"]), len(points)
    while tail and total + tail[-1] <= MOST_POINTS and (tail[-1] < SMALL or tail[-1] <= 2 * total):
        total += tail.pop()
    first_index = before["count"] + len(points) - total
    if first_index == before["count"]:
        return _open(tail), first_index, points
    found = connection.execute(_LAST_CHUNKS, {"of_series": before["id"], "from_index": first_index})
    joined = Points()
    for row in found:
        joined.extend(unpack(row.points))
    joined.extend(points)
    return _open(tail), first_index, joined


def _open(tail: list[int]) -> list[int]:
    """Without those that nothing will be joined to any more: whatever lies before a full one stays as it is."""
    full = next((position for position in range(len(tail) - 1, -1, -1) if tail[position] > MOST_POINTS // 2), None)
    return tail if full is None else tail[full + 1 :]


def _chunks(first_index: int, points: Points) -> Iterable[dict[str, Any]]:
    for start in range(0, len(points), MOST_POINTS):
        part = points if len(points) <= MOST_POINTS else points.part(start, start + MOST_POINTS)
        yield {
            "first_index": first_index + start,
            "count": len(part),
            "least_step": min(part.steps),
            "greatest_step": max(part.steps),
            "least_ms": min(part.times_ms),
            "greatest_ms": max(part.times_ms),
            "envelope": envelope_of(part).pack(),
            "points": pack(part),
        }


def points_of(recorded: Sequence[Point]) -> Points:
    """The points that some records of one series say, in their order."""
    if all(type(one) is Metric for one in recorded):
        return _numbers(recorded)
    points = Points()
    for is_number, some in groupby(recorded, lambda one: isinstance(one, Metric)):
        points.extend((_numbers if is_number else _words)(list(some)))
    return points


def _numbers(recorded: Sequence[Any]) -> Points:
    values = [one.value for one in recorded]
    if str in set(map(type, values)):
        values = [_NUMBERS[value] if isinstance(value, str) else value for value in values]
    points = of_numbers(values, [one.step for one in recorded], [one.at_ms for one in recorded])
    for position, one in enumerate(recorded):
        if one.model_id or one.dataset_name:
            points.notes[position] = [one.model_id, one.dataset_name, one.dataset_digest]
    return points


def _words(recorded: Sequence[Any]) -> Points:
    words = [_word(one) for one in recorded]
    steps = [None if isinstance(one, Row) else one.step for one in recorded]
    return of_words(words, steps, [one.at_ms for one in recorded])


def _word(point: Word | Row | FileMetric) -> Any:
    if isinstance(point, Row):
        return point.cells
    return point.path if isinstance(point, FileMetric) else point.value
