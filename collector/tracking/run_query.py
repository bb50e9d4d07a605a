"""Runs as a table with columns of their metrics: filtered, ordered, a page at a time.

The filter's language is MLflow's, with our attributes and words for the status. `metrics.loss` is what the column of that
metric shows, or else its last value, in filters and orders alike. Reads from the tables `runs`, `experiments`, `series`,
`params` and `tags`. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import catalog, listing, state
from runyard.collector.catalog import RunRow
from runyard.collector.problems import invalid
from runyard.collector.schema import FreeText, experiments, params, queue, runs, series, tags
from runyard.mlflow.errors import MlflowError
from runyard.mlflow.filters import ATTRIBUTE, METRIC, PARAM, Clause, Order, parse_filter, parse_orders

from . import run_attributes, search
from .answers import MetricColumn, QueriedRun, QueryRuns, RunTable

_BATCH = 1000  # ids in one query
_SHOWN = (
    *("run_id", "name", "status", "user", "kind", "number", "parent_run_id", "cause"),
    *("created_ns", "started_ns", "ended_ns", "best_run_id", "best_value"),
    *("phase", "hostname", "node_count", "world_size", "is_pinned", "deleted_ms"),
)
_COLUMNS: dict[str, Any] = {
    "last": series.c.last,
    "first": series.c.first,
    "min": series.c.min,
    "max": series.c.max,
    "mean": series.c.total / sa.func.nullif(series.c.number_count, 0),
}

StatusOf = Callable[[RunRow], str]


@dataclass(frozen=True, slots=True)
class _Scope:
    """What a query is about: which value of each metric it compares, and what it knows of the database."""

    values: dict[str, str]  # by the metric's name
    context: search.Context


def query_runs(connection: Connection, query: QueryRuns, status_of: StatusOf) -> RunTable:
    """A page of the table. `status_of` tells the status as it is shown. Raises a 400."""
    clauses, orders = _parsed(query)
    offset = _offset(query)
    condition = _condition(query)
    silent: list[str] = []
    if {(ATTRIBUTE, "status")} & ({(one.entity, one.key) for one in clauses} | {(one.entity, one.key) for one in orders}):
        silent = _silent(connection, condition, status_of)
    context = search.Context(connection.dialect.name, time.time_ns() // 10**6, silent)
    scope = _Scope({one.name: one.value for one in reversed(query.metrics)}, context)
    wanted = sa.and_(condition, *(_clause(clause, scope) for clause in clauses))
    page = sa.select(runs.c.run_id).where(wanted).order_by(*_keys(orders, scope)).offset(offset).limit(query.page_size + 1)
    ids = connection.execute(page).scalars().all()
    token = listing.page_token([offset + query.page_size]) if len(ids) > query.page_size else None
    total = None
    if query.with_total:
        total = connection.execute(sa.select(sa.func.count()).select_from(runs).where(wanted)).scalar_one()
    shown = _answers(connection, ids[: query.page_size], query, status_of)
    return RunTable(runs=shown, next_page_token=token, total=total)


def _offset(query: QueryRuns) -> int:
    if query.page_token is None:
        return query.offset
    if query.offset:
        raise invalid("offset and page_token both say where the page begins; give one of them")
    position: int = listing.position_of(query.page_token, tuple[int])[0]
    return position


def _parsed(query: QueryRuns) -> tuple[list[Clause], list[Order]]:
    try:
        return parse_filter(query.filter, run_attributes.LANGUAGE), parse_orders(query.order_by, run_attributes.LANGUAGE)
    except MlflowError as error:
        raise invalid(str(error)) from error


def _condition(query: QueryRuns) -> Any:
    condition: Any = sa.true()
    if query.experiment is not None:
        folder = sa.select(experiments.c.folder).where(experiments.c.name == query.experiment)
        condition &= runs.c.experiment == folder.scalar_subquery()
    if query.parent is not None:
        condition &= runs.c.parent_run_id == query.parent
    elif not query.include_children:
        condition &= runs.c.parent_run_id.is_(None)
    return condition if query.include_deleted else condition & runs.c.deleted_ms.is_(None)


def _silent(connection: Connection, condition: Any, status_of: StatusOf) -> list[str]:
    """Which of the runs do not respond."""
    rows = connection.execute(sa.select(runs).where(condition & runs.c.status.not_in(state.FINAL))).all()
    some = (list(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH))
    found = (row for batch in some for row in catalog.with_details(connection, batch))
    return [row.row.run_id for row in found if status_of(row) == listing.NOT_RESPONDING]


def _clause(clause: Clause, scope: _Scope) -> Any:
    if clause.entity == METRIC:
        return search.compare(_metric(clause.key, scope), clause.comparator, clause.value, scope.context.dialect)
    if clause.entity == ATTRIBUTE:
        return run_attributes.condition(clause, scope.context)
    return search.condition([clause], scope.context)


def _keys(orders: Sequence[Order], scope: _Scope) -> list[Any]:
    """Those that have no value come last, whichever the direction; then the newest, as in the list of runs."""
    keys, values = [], [_value(order, scope) for order in orders]
    for order, value in zip(orders, values, strict=True):
        key = value.asc() if order.is_ascending else value.desc()
        keys.append(key if _is_never_null(value) else key.nulls_last())
    if not any(value is runs.c.created_ns for value in values):
        keys.append(runs.c.created_ns.desc())
    return [*keys, runs.c.run_id.desc()]


def _is_never_null(value: Any) -> bool:
    """Said of what may be null only: with NULLS LAST, and with a column twice, the index of the newest runs is not used."""
    return isinstance(value, sa.Column) and not value.nullable


def _value(order: Order, scope: _Scope) -> Any:
    if order.entity == METRIC:
        return _metric(order.key, scope)
    if order.entity == ATTRIBUTE:
        return run_attributes.order(order.key, scope.context)
    table = params if order.entity == PARAM else tags
    return sa.select(table.c.value).where((table.c.run_id == runs.c.run_id) & (table.c.key == order.key)).scalar_subquery()


def _metric(name: str, scope: _Scope) -> Any:
    column = _COLUMNS[scope.values.get(name, "last")]
    return sa.select(column).where((series.c.run_id == runs.c.run_id) & (series.c.name == name)).scalar_subquery()


def _answers(connection: Connection, ids: Sequence[str], query: QueryRuns, status_of: StatusOf) -> list[QueriedRun]:
    kept = (*_SHOWN, "command") if query.with_command else _SHOWN
    columns = [runs.c[name] for name in (*kept, "experiment")]
    rows = {row.run_id: row for row in connection.execute(sa.select(*columns).where(_is_among(connection, runs.c.run_id, ids)))}
    names = dict(connection.execute(sa.select(experiments.c.folder, experiments.c.name)).tuples().all())
    made: dict[str, dict[str, Any]] = {}
    for *shown, folder in (rows[run_id] for run_id in ids):
        values = dict(zip(kept, shown, strict=True))
        values |= {"experiment": names[folder], "metrics": [None] * len(query.metrics), "params": {}, "tags": {}}
        values |= {"cluster": "", "child_count": 0}
        if query.with_command:
            values["command"] = msgspec.json.decode(values["command"])
        made[values["run_id"]] = values
    for some in _batches([run_id for run_id, values in made.items() if values["status"] not in state.FINAL]):
        found = connection.execute(sa.select(runs).where(runs.c.run_id.in_(some))).all()
        for run in catalog.with_details(connection, list(found)):
            made[run.row.run_id]["status"] = status_of(run)
    for some in _batches(list(made)):
        _add_metrics(connection, some, query.metrics, made)
        _add_labels(connection, some, (params, "params", query.params), made)
        _add_labels(connection, some, (tags, "tags", query.tags), made)
        _add_relations(connection, some, made)
    return [QueriedRun(**values) for values in made.values()]


def _batches(run_ids: list[str]) -> Iterator[list[str]]:
    return (run_ids[start : start + _BATCH] for start in range(0, len(run_ids), _BATCH))


# Ten thousand rows and more are read by these: all at once, and without a call for each text.


def _is_among(connection: Connection, column: Any, ids: Sequence[str]) -> Any:
    return search.among(column, ids, connection.dialect.name)


def _add_metrics(connection: Connection, ids: list[str], columns: Sequence[MetricColumn], made: dict[str, Any]) -> None:
    if not columns:
        return
    kinds = list(dict.fromkeys(one.value for one in columns))
    places: dict[str, list[tuple[int, int]]] = {}
    for place, one in enumerate(columns):
        kept = FreeText().process_bind_param(one.name, connection.dialect)
        places.setdefault(kept or "", []).append((place, kinds.index(one.value)))
    asked = _is_among(connection, series.c.run_id, ids) & series.c.name.in_(list({one.name for one in columns}))
    texts = (sa.type_coerce(column, sa.Text) for column in (series.c.name, series.c.exact))
    query = sa.select(series.c.run_id, *texts, *(_COLUMNS[kind].label(f"of_{kind}") for kind in kinds)).where(asked)
    for run_id, name, exact, *values in connection.execute(query).all():
        if exact:  # what the doubles do not say
            known = msgspec.json.decode(exact)
            values = [known[kind][1] if kind in known else value for kind, value in zip(kinds, values, strict=True)]
        metrics = made[run_id]["metrics"]
        for place, number in places[name]:
            metrics[place] = values[number]


def _add_labels(
    connection: Connection, ids: list[str], labels: tuple[Any, str, Sequence[str] | None], made: dict[str, Any]
) -> None:
    table, what, keys = labels
    texts = [sa.type_coerce(column, sa.Text) for column in (table.c.key, table.c.value)]
    asked = _is_among(connection, table.c.run_id, ids)
    if keys is not None:
        asked &= table.c.key.in_(keys)
    query = sa.select(table.c.run_id, *texts).where(asked).order_by(table.c.run_id, table.c.key)
    for run_id, key, value in connection.execute(query).all():
        made[run_id][what][_text(key)] = _text(value)


def _add_relations(connection: Connection, ids: list[str], made: dict[str, Any]) -> None:
    in_queue = sa.select(queue.c.run_id, queue.c.cluster).where(_is_among(connection, queue.c.run_id, ids))
    for run_id, cluster in connection.execute(in_queue):
        made[run_id]["cluster"] = cluster
    of_these = _is_among(connection, runs.c.parent_run_id, ids) & runs.c.deleted_ms.is_(None)
    counted = sa.select(runs.c.parent_run_id, sa.func.count()).where(of_these).group_by(runs.c.parent_run_id)
    for run_id, count in connection.execute(counted):
        made[run_id]["child_count"] = count


def _text(kept: str) -> str:
    return kept if kept.isascii() else FreeText().process_result_value(kept, None) or ""
