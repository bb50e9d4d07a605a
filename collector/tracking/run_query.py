"""Runs as a table with columns of their metrics: filtered, ordered, a page at a time.

The filter's language is MLflow's, with our attributes and words for the status. `metrics.loss` is what the column of that
metric shows, or else its last value, in filters and orders alike. Reads from the tables `runs`, `experiments`, `series`,
`params` and `tags`. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import catalog, listing, state
from runyard.collector.catalog import RunRow
from runyard.collector.problems import invalid
from runyard.collector.schema import FreeText, experiments, params, runs, series, tags
from runyard.mlflow.errors import MlflowError
from runyard.mlflow.filters import ATTRIBUTE, DATASET, METRIC, PARAM, TAG, Clause, Language, Order, parse_filter, parse_orders

from . import search
from .answers import MetricColumn, QueriedRun, QueryRuns, RunTable

# `created`, `started` and `ended` are Unix milliseconds.
LANGUAGE: Final = Language(
    entities=frozenset({METRIC, PARAM, TAG, ATTRIBUTE, DATASET}),
    texts=frozenset({"run_id", "name", "status", "user", "kind", "parent", "experiment"}),
    numbers=frozenset({"created", "started", "ended", "number"}),
    lists=frozenset({"run_id", "name", "status", "user", "kind", "parent", "experiment"}),
    orders=frozenset(
        {"run_id", "name", "status", "user", "kind", "parent", "experiment", "created", "started", "ended", "number"}
    ),
    ordered=frozenset({METRIC, PARAM, TAG, ATTRIBUTE}),
    has_null_params=True,
    aliases=(
        *(("run_name", "name"), ("user_id", "user"), ("start_time", "started"), ("end_time", "ended")),
        ("parent_run_id", "parent"),
    ),
)
_BATCH = 1000  # ids in one query: SQLite and PostgreSQL both limit the parameters
_SHOWN = (
    *("run_id", "name", "status", "user", "kind", "number", "parent_run_id", "cause"),
    *("created_ns", "started_ns", "ended_ns", "best_run_id", "best_value"),
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
    offset = listing.position_of(query.page_token, tuple[int])[0] if query.page_token is not None else 0
    condition = _condition(query)
    silent: list[str] = []
    if {(ATTRIBUTE, "status")} & ({(one.entity, one.key) for one in clauses} | {(one.entity, one.key) for one in orders}):
        silent = _silent(connection, condition, status_of)
    context = search.Context(connection.dialect.name, time.time_ns() // 10**6, silent)
    scope = _Scope({one.name: one.value for one in reversed(query.metrics)}, context)
    wanted = sa.and_(condition, *(_clause(clause, scope) for clause in clauses))
    columns = [runs.c[name] for name in (*_SHOWN, "experiment")]
    page = sa.select(*columns).where(wanted).order_by(*_keys(orders, scope)).offset(offset).limit(query.page_size + 1)
    rows = connection.execute(page).all()
    token = listing.page_token([offset + query.page_size]) if len(rows) > query.page_size else None
    return RunTable(runs=_answers(connection, rows[: query.page_size], query.metrics, status_of), next_page_token=token)


def _parsed(query: QueryRuns) -> tuple[list[Clause], list[Order]]:
    try:
        return parse_filter(query.filter, LANGUAGE), parse_orders(query.order_by, LANGUAGE)
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
    found = catalog.with_details(connection, list(rows))
    return [row.row.run_id for row in found if status_of(row) == listing.NOT_RESPONDING]


def _clause(clause: Clause, scope: _Scope) -> Any:
    if clause.entity == METRIC:
        return search.compare(_metric(clause.key, scope), clause.comparator, clause.value, scope.context.dialect)
    if clause.entity == ATTRIBUTE:
        return search.compare(_attribute(clause.key, scope), clause.comparator, clause.value, scope.context.dialect)
    return search.condition([clause], scope.context)


def _keys(orders: Sequence[Order], scope: _Scope) -> list[Any]:
    """Those that have no value come last, whichever the direction; then the newest, as in the list of runs."""
    keys = []
    for order in orders:
        value = _value(order, scope)
        keys.append((value.asc() if order.is_ascending else value.desc()).nulls_last())
    return [*keys, runs.c.created_ns.desc(), runs.c.run_id.desc()]


def _value(order: Order, scope: _Scope) -> Any:
    if order.entity == METRIC:
        return _metric(order.key, scope)
    if order.entity == ATTRIBUTE:
        return _attribute(order.key, scope)
    table = params if order.entity == PARAM else tags
    return sa.select(table.c.value).where((table.c.run_id == runs.c.run_id) & (table.c.key == order.key)).scalar_subquery()


def _metric(name: str, scope: _Scope) -> Any:
    column = _COLUMNS[scope.values.get(name, "last")]
    return sa.select(column).where((series.c.run_id == runs.c.run_id) & (series.c.name == name)).scalar_subquery()


def _attribute(key: str, scope: _Scope) -> Any:
    if key in ("created", "started", "ended"):
        return runs.c[f"{key}_ns"] // 1_000_000
    if key == "status":
        return sa.case((runs.c.run_id.in_(scope.context.silent), listing.NOT_RESPONDING), else_=runs.c.status)
    if key == "experiment":
        return sa.select(experiments.c.name).where(experiments.c.folder == runs.c.experiment).scalar_subquery()
    return runs.c.parent_run_id if key == "parent" else runs.c[key]


def _answers(
    connection: Connection, rows: Sequence[Any], columns: Sequence[MetricColumn], status_of: StatusOf
) -> list[QueriedRun]:
    names = dict(connection.execute(sa.select(experiments.c.folder, experiments.c.name)).tuples().all())
    made: dict[str, dict[str, Any]] = {}
    for *shown, folder in rows:
        values = dict(zip(_SHOWN, shown, strict=True))
        values |= {"experiment": names[folder], "metrics": [None] * len(columns), "params": {}, "tags": {}}
        made[values["run_id"]] = values
    for some in _batches([run_id for run_id, values in made.items() if values["status"] not in state.FINAL]):
        found = connection.execute(sa.select(runs).where(runs.c.run_id.in_(some))).all()
        for run in catalog.with_details(connection, list(found)):
            made[run.row.run_id]["status"] = status_of(run)
    for some in _batches(list(made)):
        _add_metrics(connection, some, columns, made)
        _add_labels(connection, some, params, "params", made)
        _add_labels(connection, some, tags, "tags", made)
    return [QueriedRun(**values) for values in made.values()]


def _batches(run_ids: list[str]) -> Iterator[list[str]]:
    return (run_ids[start : start + _BATCH] for start in range(0, len(run_ids), _BATCH))


# Ten thousand rows and more are read by these: all at once, and without a call for each text.


def _is_among(connection: Connection, column: Any, ids: Sequence[str]) -> Any:
    """Whether the column is one of so many ids. SQLite gets them as one parameter: to write out a thousand takes longer than to
    look for them."""
    if connection.dialect.name != "sqlite":
        return column.in_(ids)
    each = sa.func.json_each(msgspec.json.encode(ids).decode()).table_valued("value")
    return column.in_(sa.select(each.c.value))


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


def _add_labels(connection: Connection, ids: list[str], table: Any, what: str, made: dict[str, Any]) -> None:
    texts = [sa.type_coerce(column, sa.Text) for column in (table.c.key, table.c.value)]
    query = (
        sa.select(table.c.run_id, *texts)
        .where(_is_among(connection, table.c.run_id, ids))
        .order_by(table.c.run_id, table.c.key)
    )
    for run_id, key, value in connection.execute(query).all():
        made[run_id][what][_text(key)] = _text(value)


def _text(kept: str) -> str:
    return kept if kept.isascii() else FreeText().process_result_value(kept, None) or ""
