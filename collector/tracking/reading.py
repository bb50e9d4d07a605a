"""Reading series: what each comes to, and its exact values.

Reads from the tables `series` and `chunks`. Every function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import chunks, series

from .aggregates import non_finite
from .points import Points, unpack


@dataclass(frozen=True, slots=True)
class Part:
    """Points of a series, from `start` on, and how many it has in all."""

    kind: str
    count: int
    start: int
    points: Points


def rows(connection: Connection, run_id: str, names: Iterable[str] = ()) -> list[Any]:
    """The rows of a run's series (without names: of all), by name."""
    wanted = list(names)
    condition = series.c.run_id == run_id
    if wanted:
        condition &= series.c.name.in_(wanted)
    return list(connection.execute(sa.select(series).where(condition).order_by(series.c.name)))


def kept(row: Any, name: str) -> Any:
    """The `first`, `last` or `latest` value of a series (its row) as it was recorded; NaN and the infinities are words."""
    exact = row.exact
    if exact and name in exact:
        return exact[name][1]
    return getattr(row, name)


def mean(row: Any) -> float | None:
    """The mean of the finite numbers."""
    return row.total / row.number_count if row.number_count else None


def part(connection: Connection, run_id: str, name: str, start: int, limit: int) -> Part | None:
    """At most `limit` points from the `start`th on; None where there is no such series."""
    columns = (series.c.id, series.c.kind, series.c.count.label("total"))
    row = connection.execute(sa.select(*columns).where((series.c.run_id == run_id) & (series.c.name == name))).first()
    if row is None:
        return None
    points = between(connection, row.id, start, start + limit)
    return Part(row.kind, row.total, start, points)


def between(connection: Connection, series_id: int, start: int, end: int) -> Points:
    """The points [start, end) of a series, as far as there are so many."""
    overlaps = (chunks.c.first_index < end) & (chunks.c.first_index + chunks.c.count > start)
    query = sa.select(chunks.c.first_index, chunks.c.points).where((chunks.c.series_id == series_id) & overlaps)
    found = Points()
    for row in connection.execute(query.order_by(chunks.c.first_index)):
        points = unpack(row.points)
        if row.first_index < start or row.first_index + len(points) > end:
            points = points.part(max(0, start - row.first_index), min(len(points), end - row.first_index))
        found.extend(points)
    return found


def cells(points: Points) -> Iterator[Any]:
    """The values as JSON has them."""
    for position in range(len(points)):
        cell = points.cell(position)
        yield non_finite(cell) if isinstance(cell, float) and not math.isfinite(cell) else cell
