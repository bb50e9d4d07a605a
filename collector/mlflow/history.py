"""MLflow's routes of metrics' histories.

Reads from the tables `series` and `chunks`. Every function blocks, gets the connection of its transaction, and raises
MlflowError. Points come in the order of time, step and value, in which NaN counts as 0. A page is read from the chunks that
hold it, as far as the series was recorded in the order of time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import chunks, runs, series
from runyard.collector.tracking.points import unpack
from runyard.mlflow import answers, limits, messages
from runyard.mlflow.answers import Metric, number
from runyard.mlflow.errors import invalid
from runyard.mlflow.paging import offset_of, token_at

from .access import Ask, require_run


@dataclass(frozen=True, slots=True)
class _Point:
    """A point; in the order of time."""

    at_ms: int
    step: int
    value: float

    @property
    def comparable(self) -> float:
        return 0.0 if math.isnan(self.value) else self.value


def show(connection: Connection, ask: Ask, request: messages.History) -> answers.Answer:
    """GET metrics/get-history"""
    if request.max_results is not None and request.max_results <= 0:
        raise invalid(
            f"Invalid value {request.max_results} for parameter 'max_results' supplied. It must be a positive integer."
        )
    offset = offset_of(request.page_token)
    row = _series(connection, ask, request.run, request.metric_key)
    if row is None:
        return answers.Metrics()
    points, limit = _page(connection, row, offset, request.max_results), request.max_results
    token = token_at(offset + limit) if limit is not None and len(points) > limit else None
    return answers.Metrics(_answers(request.metric_key, points[:limit]), token)


def bulk(connection: Connection, ask: Ask, request: messages.HistoryBulk) -> answers.Answer:
    """GET metrics/get-history-bulk"""
    if len(request.run_id) > limits.MOST_INTERVAL_RUNS:
        raise invalid(f"at most {limits.MOST_INTERVAL_RUNS} run_ids are taken, got {len(request.run_id)}")
    left = limits.check_max_results(min(request.max_results, limits.MOST_BULK_RESULTS), limits.MOST_BULK_RESULTS)
    found: list[Metric] = []
    for run_id in sorted(set(request.run_id)):
        row = _series(connection, ask, run_id, request.metric_key)
        if row is not None and left:
            found += _answers(request.metric_key, _page(connection, row, 0, left)[:left], run_id)
            left = max(0, limits.MOST_BULK_RESULTS - len(found))
    return answers.Metrics(found[: request.max_results])


def interval(connection: Connection, ask: Ask, request: messages.HistoryInterval) -> answers.Answer:
    """GET metrics/get-history-bulk-interval: so many points of each run, evenly taken, the first and the last among them."""
    first, last = request.start_step, request.end_step
    if (first is None) != (last is None):
        raise invalid("If either start step or end step are specified, both must be specified.")
    if first is not None and last is not None and first > last:
        raise invalid(f"end_step must be greater than start_step. Found start_step={first} and end_step={last}.")
    if len(request.run_ids) > limits.MOST_INTERVAL_RUNS:
        raise invalid(f"at most {limits.MOST_INTERVAL_RUNS} run_ids are taken, got {len(request.run_ids)}")
    most = limits.check_max_results(request.max_results, limits.MOST_INTERVAL_RESULTS)
    found: list[Metric] = []
    for run_id in request.run_ids:
        row = _series(connection, ask, run_id, request.metric_key)
        if row is not None:
            points = [one for one in _read(connection, row, 0, None) if first is None or first <= one.step <= (last or 0)]
            points.sort(key=lambda point: (point.step, point.at_ms, point.comparable, math.isnan(point.value)))
            found += _answers(request.metric_key, _sample(points, most), run_id)
    return answers.Metrics(found)


def _sample(points: Sequence[_Point], most: int) -> list[_Point]:
    """The first of each of `most` parts that are as long as each other, and the last of all."""
    if len(points) <= most:
        return list(points)
    length, longer = divmod(len(points), most)
    starts = [part * length + min(part, longer) for part in range(most)]
    return [points[start] for start in starts[:-1]] + [points[-1]]


def _series(connection: Connection, ask: Ask, run_id: str, key: str) -> Any:
    """The series' row; None where there is none, as it is where there is no such run."""
    if ask.own_run is not None and connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == run_id)).first():
        require_run(connection, ask, run_id)
    mine = (series.c.run_id == run_id) & (series.c.name == key) & series.c.latest_ms.is_not(None)
    return connection.execute(sa.select(series).where(mine)).first()


def _page(connection: Connection, row: Any, offset: int, limit: int | None) -> list[_Point]:
    """The points from `offset` on: one more than `limit`, where there is one."""
    if limit is None or row.number_count < row.count:  # what is no number takes no place among MLflow's points
        return _ordered(_read(connection, row, 0, None))[offset : None if limit is None else offset + limit + 1]
    found: list[_Point] = []
    skipped = 0
    for first, end in _groups(connection, row):
        if end <= offset:
            skipped = end
            continue
        found += _ordered(_read(connection, row, first, end))
        if len(found) > offset - skipped + limit:
            break
    return found[offset - skipped : offset - skipped + limit + 1]


def _groups(connection: Connection, row: Any) -> list[tuple[int, int]]:
    """Runs of chunks, as [first index, end): all points of one are earlier than all of the next."""
    columns = (chunks.c.first_index, chunks.c.count, chunks.c.least_ms, chunks.c.greatest_ms)
    query = sa.select(*columns).where(chunks.c.series_id == row.id).order_by(chunks.c.first_index)
    groups: list[tuple[int, int, int]] = []  # with the greatest time
    for one in connection.execute(query):
        first, end, greatest = one.first_index, one.first_index + one.count, one.greatest_ms
        while groups and groups[-1][2] >= one.least_ms:
            before = groups.pop()
            first, greatest = before[0], max(greatest, before[2])
        groups.append((first, end, greatest))
    return [(first, end) for first, end, _ in groups]


def _read(connection: Connection, row: Any, first: int, end: int | None) -> list[_Point]:
    """The numbers of the series, in recorded order."""
    wanted = (chunks.c.series_id == row.id) & (chunks.c.first_index >= first)
    if end is not None:
        wanted &= chunks.c.first_index < end
    found: list[_Point] = []
    for data in connection.execute(sa.select(chunks.c.points).where(wanted).order_by(chunks.c.first_index)).scalars():
        points = unpack(data)
        rows = zip(points.times_ms, points.steps, points.numbers, range(len(points)), strict=True)
        found += [
            _Point(at_ms, step, value) for at_ms, step, value, position in rows if value == value or points.is_number(position)
        ]
    return found


def _ordered(points: list[_Point]) -> list[_Point]:
    points.sort(key=lambda point: (point.at_ms, point.step, point.comparable))
    return points


def _answers(key: str, points: Sequence[_Point], run_id: str | None = None) -> list[Metric]:
    return [Metric(key, number(point.value), point.at_ms, point.step, run_id) for point in points]
