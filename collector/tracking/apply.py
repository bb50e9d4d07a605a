"""Applying records: the one way in for what trainings record, whether a journal or a request has brought it.

Each record is applied, or refused with one sentence; a refusal does not stop the rest. Reads from and writes to the tables of
runs and of what they have recorded. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.artifacts import rows
from runyard.collector.schema import runs
from runyard.tracking.records import (
    CHILD,
    SCALAR,
    Artifact,
    ArtifactGone,
    Child,
    Goal,
    GoalSet,
    Lifecycle,
    Link,
    Metric,
    Model,
    Name,
    Param,
    Property,
    Record,
    Status,
    Tag,
    Untag,
    Warned,
)

from . import best, client_runs, documents, labels, model_metrics, series, texts
from .lineage import Lineage
from .series import Arrivals, Point
from .warn import warn

MOST_MS = 2**63 // 10**6  # of which the nanoseconds are kept


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which record (its position among those that were given) was not applied, and why: one sentence."""

    position: int
    sentence: str


def apply(
    connection: Connection,
    run_id: str,
    records: Sequence[Record],
    *,
    now_ms: int,
    origin: str | None = None,
    sender: str | None = None,
    is_any_model: bool = False,
) -> list[Refusal]:
    """Applies records of the run `run_id` and its descendants, in order.

    `origin` is the run whose streams bring the bytes of files, None where they are in the store of blobs. `sender` is the run
    that has to have sent these itself, None where a person records. `is_any_model`: it was looked at before of which models the
    points may be; else they may be of these runs' models. Raises nothing for what a client has said; a 404 has to be told
    before, where there is no such run.
    """
    application = _Application(connection, run_id, now_ms, origin, sender)
    application.is_any_model = is_any_model
    return application.run(records)


class _Application:
    def __init__(self, connection: Connection, run_id: str, now_ms: int, origin: str | None, sender: str | None) -> None:
        self._connection = connection
        self._now_ms = now_ms
        self._origin = origin
        self._sender = sender
        self._lineage = Lineage(connection, run_id, now_ms)
        self._series: dict[tuple[str, str], Arrivals] = {}  # by (run id, name)
        self._spoken_of: dict[tuple[str, str], Arrivals] = {}  # the same by (run as the record has it, name)
        self._known: dict[str, dict[str, Any]] = {}  # rows of series, by run and name
        self._refusals: list[Refusal] = []
        self._run_id = run_id
        self.is_any_model = False

    def run(self, records: Sequence[Record]) -> list[Refusal]:
        """Each record in order; points are written at the end, which nobody sees before."""
        self._names = _names_of(records)
        spoken_of = self._spoken_of
        for position, record in enumerate(records):
            if type(record) is Metric:
                one = spoken_of.get((record.run, record.name))
                if one is not None and one.kind == SCALAR and not (record.model_id or record.dataset_name):
                    one.recorded.append(record)
                    continue
            sentence = self._take(record)
            if sentence:
                self._refusals.append(Refusal(position, sentence))
        self._write_points(records)
        if records:
            client_runs.note_said(self._connection, self._lineage.found, self._now_ms)
        return sorted(self._refusals, key=lambda refusal: refusal.position)

    def _take(self, record: Record) -> str:
        if isinstance(record, series.POINTS):
            return self._point(record)
        at_ms = getattr(record, "at_ms", 0)
        if not 0 <= at_ms < MOST_MS:
            return f"{at_ms} is no time in milliseconds"
        reason = texts.why_bad(record)
        if reason:
            return reason
        if isinstance(record, Child):
            kind = record.kind or CHILD
            return self._lineage.add_child(record.run, record.parent, record.name, kind, record.user, record.at_ms)
        if isinstance(record, Artifact | ArtifactGone):
            return self._file(record)
        row = self._lineage.find(record.run)
        return row if isinstance(row, str) else _APPLY[type(record)](self._connection, row, record)

    def _point(self, point: Point) -> str:
        row = self._lineage.find(point.run)
        if isinstance(row, str):
            return row
        reason = labels.why_bad_name("metric", point.name) or texts.why_bad_point(point)
        if reason:
            return reason
        one = self._series.get((row.run_id, point.name))
        kind = series.kind_of(point)
        if one is None:
            known = self._known_of(row.run_id, point.run).get(point.name)
            one = Arrivals(row.run_id, point.name, known.kind if known is not None else kind, known)
            self._series[row.run_id, point.name] = one
        self._spoken_of[point.run, point.name] = one
        if one.kind != kind:
            return f"the metric {point.name!r} of run {row.run_id} is of kind {one.kind}, and takes nothing of kind {kind}"
        one.recorded.append(point)
        return ""

    def _known_of(self, run_id: str, spoken: str) -> dict[str, Any]:
        if run_id not in self._known:
            same = {spoken, run_id} | ({""} if run_id == self._run_id else set())
            names = {name for run, name in self._names if run in same}
            self._known[run_id] = series.find(self._connection, run_id, names)
        return self._known[run_id]

    def _file(self, record: Artifact | ArtifactGone) -> str:
        run_id = rows.run_of(self._connection, record.owner)
        if run_id is None:
            return f"there is no model {record.owner[:100]!r} that could have a file"
        row = self._lineage.find(run_id)
        if isinstance(row, str):
            return row
        owner = row.run_id if rows.model_of(record.owner) is None else record.owner
        if isinstance(record, ArtifactGone):
            return documents.remove_artifact(self._connection, owner, record)
        return documents.put_artifact(self._connection, owner, record, self._origin, self._sender)

    def _write_points(self, records: Sequence[Record]) -> None:
        changed: dict[str, list[str]] = {}
        arrivals = []
        for one in self._series.values():
            self._make_points(one, records)
            if one.points:
                arrivals.append(one)
                changed.setdefault(one.run_id, []).append(one.name)
                model_metrics.note(self._connection, one.run_id, one.recorded, self._may_measure)
        series.append(self._connection, arrivals)
        for run_id, names in changed.items():
            row: Any = self._lineage.find(run_id)
            if row.parent_run_id is not None:
                best.note(self._connection, run_id, names)

    def _may_measure(self, run_id: str) -> bool:
        """Whether points may be of the models of this run."""
        return self.is_any_model or not isinstance(self._lineage.known(run_id), str)

    def _make_points(self, one: Arrivals, records: Sequence[Record]) -> None:
        """Numbers that no column takes are refused; they are looked for only where there is one."""
        try:
            one.points = series.points_of(one.recorded)
        except OverflowError:
            bad = {id(point) for point in one.recorded if _is_too_large(point)}
            one.points = series.points_of([point for point in one.recorded if id(point) not in bad])
            sentence = f"a value, step or time of the metric {one.name!r} is larger than is kept"
            self._refusals += [Refusal(position, sentence) for position, record in enumerate(records) if id(record) in bad]


def _is_too_large(point: Point) -> bool:
    try:
        series.points_of([point])
    except OverflowError:
        return True
    return False


def _names_of(records: Iterable[Record]) -> set[tuple[str, str]]:
    return {(record.run, record.name) for record in records if isinstance(record, series.POINTS)}


def _param(connection: Connection, row: Any, record: Param) -> str:
    return labels.set_param(connection, row.run_id, record.key, record.value)


def _tag(connection: Connection, row: Any, record: Tag) -> str:
    return labels.set_tag(connection, row.run_id, record.key, record.value)


def _untag(connection: Connection, row: Any, record: Untag) -> str:
    return labels.remove_tag(connection, row.run_id, record.key)


def _property(connection: Connection, row: Any, record: Property) -> str:
    return labels.set_property(connection, row.run_id, record.key, record.value)


def _status(connection: Connection, row: Any, record: Status) -> str:
    client_runs.say_status(connection, row.run_id, record.status, record.cause, record.at_ms)
    return ""


def _name(connection: Connection, row: Any, record: Name) -> str:
    if "\0" in record.name or len(record.name) > labels.MOST_VALUE:
        return f"the name {record.name[:40]!r} of run {row.run_id} holds a NUL, or is too long"
    connection.execute(sa.update(runs).where(runs.c.run_id == row.run_id).values(name=record.name))
    return ""


def _lifecycle(connection: Connection, row: Any, record: Lifecycle) -> str:
    deleted_ms = record.at_ms if record.is_deleted else None
    connection.execute(sa.update(runs).where(runs.c.run_id == row.run_id).values(deleted_ms=deleted_ms))
    if row.parent_run_id is not None:
        best.note_children(connection, row.parent_run_id)
    return ""


def _goal(connection: Connection, row: Any, record: GoalSet) -> str:
    reason = labels.why_bad_name("primary metric", record.metric)
    if not reason:
        best.set_goal(connection, row.run_id, Goal(record.metric, record.goal))
    return reason


def _model(connection: Connection, row: Any, record: Model) -> str:
    return documents.put_model(connection, row, record)


def _link(connection: Connection, row: Any, record: Link) -> str:
    return documents.put_link(connection, row.run_id, record)


def _warned(connection: Connection, row: Any, record: Warned) -> str:
    warn(connection, row.run_id, [record.text], record.at_ms)
    return ""


_APPLY: dict[type, Callable[[Connection, Any, Any], str]] = {
    Param: _param,
    Tag: _tag,
    Untag: _untag,
    Property: _property,
    Status: _status,
    Name: _name,
    Lifecycle: _lifecycle,
    GoalSet: _goal,
    Model: _model,
    Link: _link,
    Warned: _warned,
}
