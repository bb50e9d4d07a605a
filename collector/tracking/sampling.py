"""Series as charts show them: each pixel column has the least, greatest and last number of the points that fall into it.

Reads from the tables `series` and `chunks`: of long series the envelopes alone, all of them in one query; of those of which a
column would get too few entries that way, the points. What was asked for last is kept. Blocks; gets the connection of its
transaction.
"""

from __future__ import annotations

import math
import operator
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import messages
from runyard.collector.schema import chunks, series
from runyard.tracking.records import SCALAR

from . import reading
from .answers import Sampled, SampledQuery, X
from .envelope import SPAN, Packed
from .points import Points

# A column that gets less entries of an envelope than this would be drawn too coarsely.
_LEAST_ENTRIES = 2


@dataclass(slots=True)
class _Series:
    """A series with its envelope, and the index of the first point of each of its entries."""

    row: Any
    envelope: Packed = field(default_factory=Packed)
    firsts: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Entries:
    """What is drawn: `low` and `high` are the x of each entry's first and last point; of a single point both are one."""

    low: Sequence[int]
    high: Sequence[int]
    least: Sequence[float]
    greatest: Sequence[float]
    last: Sequence[float]


def sampled(connection: Connection, query: SampledQuery, kept: Kept) -> list[msgspec.Raw]:
    """The series that are asked for, as far as there are such, in the order in which they were asked for: each a Sampled."""
    columns = (series.c.id, series.c.run_id, series.c.name, series.c.count.label("total"), series.c.last_ms)
    wanted = series.c.run_id.in_(query.run_id) & series.c.name.in_(query.name) & (series.c.kind == SCALAR)
    rows = {(row.run_id, row.name): row for row in connection.execute(sa.select(*columns).where(wanted)).all() if row.total}
    made = {place: kept.find(_key(row, query)) for place, row in rows.items()}
    for one in _read(connection, [rows[place] for place, body in made.items() if body is None]):
        body = messages.encode(_sample(connection, query, one))
        kept.keep(_key(one.row, query), body)
        made[one.row.run_id, one.row.name] = body
    places = ((run_id, name) for name in dict.fromkeys(query.name) for run_id in dict.fromkeys(query.run_id))
    return [msgspec.Raw(found) for place in places if (found := made.get(place)) is not None]


class Kept:
    """What was asked for last, in memory: of a run that has ended a chart is asked for again and again, and is always the same.
    A series only grows, so its length tells whether it is still that one. For several threads."""

    def __init__(self, most_bytes: int = 32 << 20) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._bodies: OrderedDict[Hashable, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> bytes | None:
        """The JSON of a Sampled; None where it is not kept (any more)."""
        with self._lock:
            if key in self._bodies:
                self._bodies.move_to_end(key)
            return self._bodies.get(key)

    def keep(self, key: Hashable, body: bytes) -> None:
        """What has not been asked for the longest is forgotten for it."""
        with self._lock:
            self._bytes += len(body) - len(self._bodies.pop(key, b""))
            self._bodies[key] = body
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._bodies.popitem(last=False)[1])


def _key(row: Any, query: SampledQuery) -> Hashable:
    return (*row, query.x, query.start, query.end, query.columns)


def _read(connection: Connection, rows: Sequence[Any]) -> Iterable[_Series]:
    by_id = {row.id: _Series(row) for row in rows}
    if not by_id:
        return []
    # Apart from their series: the chunks come along their own index, in order, and are not sorted with all that they hold.
    parts = sa.select(chunks.c.series_id, chunks.c.first_index, chunks.c.count.label("points"), chunks.c.envelope)
    of_these = parts.where(chunks.c.series_id.in_(list(by_id))).order_by(chunks.c.series_id, chunks.c.first_index)
    for series_id, first_index, points, envelope in connection.execute(of_these).all():
        one = by_id[series_id]
        one.envelope.pieces.append(envelope)
        one.firsts.extend(range(first_index, first_index + points, SPAN))
    return [one for one in by_id.values() if one.firsts]


def _sample(connection: Connection, query: SampledQuery, one: _Series) -> Sampled:
    x_is, low, high = _places(query.x, one)
    chosen = _overlapping(low, high, query.start, query.end)
    total = one.row.total
    first = one.firsts[chosen[0]] if chosen else total
    end = _end(one, chosen[-1]) if chosen else total
    if end - first < query.columns * SPAN * _LEAST_ENTRIES:
        points = reading.between(connection, one.row.id, first, end)
        return _from_points(query, one.row, x_is, points, first)
    entries = _Entries(low, high, *(one.envelope.numbers(name) for name in ("least", "greatest", "last")))
    if len(chosen) < len(low):
        entries = _picked(entries, chosen)
    return _in_columns(query, one.row, x_is, entries)


def _end(one: _Series, entry: int) -> int:
    return one.firsts[entry + 1] if entry + 1 < len(one.firsts) else int(one.row.total)


def _places(wanted: X, one: _Series) -> tuple[X, Sequence[int], Sequence[int]]:
    """What is x, and that of the first and the last point of each entry."""
    if wanted == "time":
        return "time", one.envelope.integers("least_ms"), one.envelope.integers("greatest_ms")
    if wanted == "step":
        low, high = one.envelope.integers("least_step"), one.envelope.integers("greatest_step")
        if max(high) or min(low):
            return "step", low, high
    # Points without steps are drawn over their places.
    ends = chain(islice(one.firsts, 1, None), [one.row.total])
    return "index", one.firsts, [end - 1 for end in ends]


def _overlapping(low: Sequence[int], high: Sequence[int], start: int | None, end: int | None) -> Sequence[int]:
    """The entries that have points between `start` and `end`."""
    if start is None and end is None:
        return range(len(low))
    from_x = min(low, default=0) if start is None else start
    to_x = max(high, default=0) if end is None else end
    return [entry for entry, (least, most) in enumerate(zip(low, high, strict=True)) if most >= from_x and least <= to_x]


def _picked(entries: _Entries, chosen: Sequence[int]) -> _Entries:
    pick = operator.itemgetter(*chosen) if len(chosen) > 1 else lambda column: [column[entry] for entry in chosen]
    return _Entries(*(pick(column) for column in (entries.low, entries.high, entries.least, entries.greatest, entries.last)))


def _from_points(query: SampledQuery, row: Any, x_is: X, points: Points, first: int) -> Sampled:
    places: dict[X, Sequence[int]] = {"step": points.steps, "time": points.times_ms, "index": range(first, first + len(points))}
    xs = places[x_is]
    inside = _overlapping(xs, xs, query.start, query.end)
    if len(inside) > query.columns:
        entries = _Entries(xs, xs, *(points.numbers.tolist(),) * 3)
        return _in_columns(query, row, x_is, entries if len(inside) == len(xs) else _picked(entries, inside))
    values = list(reading.cells(points))
    return Sampled(
        run_id=row.run_id, name=row.name, x_is=x_is, is_sampled=False, count=row.total,
        x=[xs[place] for place in inside], min=[], max=[], last=[], value=[values[place] for place in inside],
    )  # fmt: skip


def _in_columns(query: SampledQuery, row: Any, x_is: X, entries: _Entries) -> Sampled:
    low, high = entries.low, entries.high
    least_x = min(low) if query.start is None else query.start
    most_x = max(high) if query.end is None else query.end
    if not all(map(operator.le, low, islice(low, 1, None))):
        # Where x runs backwards now and then, the points of a column are brought together; within one their order stays.
        order = sorted(range(len(low)), key=low.__getitem__)
        entries = _picked(entries, order)
        low, high = entries.low, entries.high
    groups = list(_groups(low, least_x, most_x, query.columns))
    return Sampled(
        run_id=row.run_id, name=row.name, x_is=x_is, is_sampled=True, count=row.total,
        x=[min(high[end - 1], most_x) for _, end in groups],
        min=_each(entries.least, groups, min),
        max=_each(entries.greatest, groups, max),
        last=_each(entries.last, groups, _last),
        value=[],
    )  # fmt: skip


def _each(
    numbers: Sequence[float], groups: Sequence[tuple[int, int]], choose: Callable[[Sequence[float]], float]
) -> list[float | None]:
    """What `choose` says of the finite numbers of each group; None where none is."""
    if math.isfinite(sum(numbers)):  # one that is not finite makes the sum so, too
        return [choose(numbers[start:end]) for start, end in groups]
    parts = ([number for number in numbers[start:end] if math.isfinite(number)] for start, end in groups)
    return [choose(part) if part else None for part in parts]


def _last(numbers: Sequence[float]) -> float:
    return numbers[-1]


def _groups(low: Sequence[int], least_x: int, most_x: int, columns: int) -> Iterator[tuple[int, int]]:
    """Where the entries of each column that has some begin and end; `low` ascends."""
    place, width = 0, most_x - least_x + 1
    for column in range(1, columns + 1):
        if place == len(low):
            return
        edge = least_x + column * width // columns  # the first x of the next column
        end = bisect_left(low, edge, place) if column < columns else len(low)
        if end > place:
            yield place, end
            place = end
