"""From the clauses and orders of a filter (runyard/mlflow/filters.py) to conditions and keys of SQL on the table `runs`.

Pure: it makes expressions; what runs them does so itself. For SQLite and PostgreSQL alike: text is compared character by
character in both, LIKE tells capitals apart in both, and an infinite metric is larger than any other number.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from runyard.collector import state
from runyard.collector.schema import experiments, links, params, runs, series, tags
from runyard.mlflow.filters import ATTRIBUTE, DATASET, METRIC, PARAM, TAG, Clause, Order
from runyard.mlflow.statuses import ours_of, to_mlflow

from .client_runs import SILENT_S

RUN_NAME_TAG, PARENT_TAG = "mlflow.runName", "mlflow.parentRunId"
_POSTGRESQL = "postgresql"
_LARGEST = sys.float_info.max

Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Context:
    """What the expressions depend on beside the clauses. `silent` are the runs whose nodes do not respond."""

    dialect: str
    now_ms: int
    silent: Collection[str] = ()


def condition(clauses: Iterable[Clause], context: Context) -> Condition:
    """Whether all clauses hold for a row of `runs`."""
    return sa.and_(sa.true(), *(_clause(clause, context) for clause in clauses))


def ordering(orders: Sequence[Order], context: Context) -> list[Any]:
    """What rows of `runs` are ordered by: `orders`, then the newest start, then the id. Those that have no value come last,
    those whose metric is NaN before them, whichever the direction."""
    keys: list[Any] = []
    for order in orders:
        value = _value(order.entity, order.key, context)
        if order.entity != METRIC and order.key not in ("start_time", "end_time"):
            value = _plain(value, context)
        keys.append((value.asc() if order.is_ascending else value.desc()).nulls_last())
        if order.entity == METRIC:
            keys.append(_exists(series, order.key, series.c.latest_ms.is_not(None)).desc())
    if (ATTRIBUTE, "start_time") not in {(order.entity, order.key) for order in orders}:
        keys.append(started_ms().desc())
    return [*keys, _plain(runs.c.run_id, context)]


def started_ms() -> Any:
    """When a run started, in milliseconds; when it was created, where it has not."""
    return sa.func.coalesce(runs.c.started_ns, runs.c.created_ns) // 1_000_000


def needs_statuses(clauses: Iterable[Clause], orders: Iterable[Order]) -> bool:
    """Whether it has to be known which runs do not respond."""
    named = [(clause.entity, clause.key) for clause in clauses] + [(order.entity, order.key) for order in orders]
    return (ATTRIBUTE, "status") in named


def compare(column: Any, comparator: str, value: Any, dialect: str) -> Condition:
    """A comparison of a column of text or numbers. Not true where the column is null."""
    if comparator in ("LIKE", "ILIKE"):
        return _like(column, str(value), dialect, is_any_case=comparator == "ILIKE")
    if isinstance(value, float):  # or else it would be taken for the column's type
        value = sa.literal(value, sa.Double)
    if comparator in ("IN", "NOT IN"):
        found: Condition = column.in_(value) if comparator == "IN" else column.not_in(value)
        return found
    return _OPERATORS[comparator](column, value)


def among(column: Any, texts: Collection[str], dialect: str) -> Condition:
    """Whether a column is one of so many texts as there may be: databases limit the parameters of a statement, so this is one.
    For SQLite that is faster, too, than to write out a thousand."""
    if dialect == _POSTGRESQL:
        each = sa.select(sa.func.json_array_elements_text(sa.literal(list(texts), sa.JSON)).column_valued("each"))
    else:
        listed = sa.func.json_each(msgspec.json.encode(list(texts)).decode()).table_valued("value")
        each = sa.select(listed.c.value)
    found: Condition = column.in_(each)
    return found


_OPERATORS: dict[str, Callable[[Any, Any], Condition]] = {
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}


def _like(column: Any, pattern: str, dialect: str, *, is_any_case: bool) -> Condition:
    """LIKE with no escapes. SQLite's own takes capitals and small letters for the same; its GLOB does not. In any case: as far
    as the database's lower() knows capitals, as for MLflow's own store; SQLite's knows those of ASCII, Python's knows more."""
    text, made = sa.type_coerce(column, sa.Text), sa.literal(_pattern(pattern, dialect))
    sides: tuple[Any, Any] = (sa.func.lower(text), sa.func.lower(made)) if is_any_case else (text, made)
    if dialect == _POSTGRESQL:
        found: Condition = sides[0].like(sides[1], escape="\\")
    else:
        found = sides[0].op("GLOB", is_comparison=True)(sides[1])
    return found


def _pattern(pattern: str, dialect: str) -> str:
    """LIKE's pattern with no escapes, for PostgreSQL's LIKE or SQLite's GLOB."""
    if dialect == _POSTGRESQL:
        return pattern.replace("\\", "\\\\")
    return "".join({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}.get(one, one) for one in pattern)


def _clause(clause: Clause, context: Context) -> Condition:
    if clause.entity == DATASET:
        return _dataset(clause, context)
    if clause.comparator in ("IS NULL", "IS NOT NULL"):
        is_there = _is_there(clause)
        return is_there if clause.comparator == "IS NOT NULL" else sa.not_(is_there)
    if clause.entity == METRIC:
        return _metric(clause)
    if clause.entity == ATTRIBUTE or clause.key in (RUN_NAME_TAG, PARENT_TAG):
        return compare(_value(clause.entity, clause.key, context), clause.comparator, clause.value, context.dialect)
    table = params if clause.entity == PARAM else tags
    return _exists(table, clause.key, compare(table.c.value, clause.comparator, clause.value, context.dialect))


def _is_there(clause: Clause) -> Condition:
    if clause.entity == TAG and clause.key == RUN_NAME_TAG:
        return sa.true()
    is_there = _exists(params if clause.entity == PARAM else tags, clause.key, sa.true())
    if clause.entity == TAG and clause.key == PARENT_TAG:
        return is_there | runs.c.parent_run_id.is_not(None)
    return is_there


def _metric(clause: Clause) -> Condition:
    """Of NaN nothing is true but that it is not equal."""
    latest = latest_number()
    holds = _OPERATORS[clause.comparator](latest, clause.value)
    if clause.comparator == "!=":
        holds = holds | latest.is_(None)
    return _exists(series, clause.key, series.c.latest_ms.is_not(None) & holds)


def latest_number() -> Any:
    """A series' latest value as SQL compares it: null where it is NaN."""
    exact = sa.type_coerce(series.c.exact, sa.Text)
    return sa.case(
        (series.c.latest.is_not(None), series.c.latest),
        (exact.contains('"latest":["number","Infinity"]', autoescape=True), _LARGEST),
        (exact.contains('"latest":["number","-Infinity"]', autoescape=True), -_LARGEST),
    )


def _exists(table: sa.Table, key: str, holds: Any) -> Condition:
    name = table.c.name if table is series else table.c.key
    return sa.exists().where((table.c.run_id == runs.c.run_id) & (name == key) & holds)


def _value(entity: str, key: str, context: Context) -> Any:
    """The value of a row of `runs`; null where it has none."""
    if entity == ATTRIBUTE:
        return _attribute(key, context)
    if entity == METRIC:
        mine = (series.c.run_id == runs.c.run_id) & (series.c.name == key)
        return sa.select(latest_number()).where(mine).scalar_subquery()
    if entity == TAG and key == RUN_NAME_TAG:
        return runs.c.name
    table = params if entity == PARAM else tags
    mine = (table.c.run_id == runs.c.run_id) & (table.c.key == key)
    found = sa.select(table.c.value).where(mine).scalar_subquery()
    if entity == TAG and key == PARENT_TAG:
        return sa.func.coalesce(found, runs.c.parent_run_id, type_=sa.Text)
    return found


def _attribute(key: str, context: Context) -> Any:
    if key == "status":
        return _status(context)
    if key == "artifact_uri":
        return _artifact_uri()
    if key == "start_time":
        return started_ms()
    if key == "end_time":
        return runs.c.ended_ns // 1_000_000
    return {"run_id": runs.c.run_id, "run_name": runs.c.name, "user_id": runs.c.user}[key]


def _status(context: Context) -> Any:
    """The status as MLflow calls it, and as it is shown: with those failed that do not respond."""
    is_over = runs.c.status.in_(sorted(state.FINAL))
    is_silent = runs.c.is_client_run & (sa.func.coalesce(runs.c.said_ms, 0) < context.now_ms - int(SILENT_S * 1000))
    if context.silent:
        is_silent = is_silent | among(runs.c.run_id, context.silent, context.dialect)
    words = ("SCHEDULED", "RUNNING", "FINISHED", "FAILED", "KILLED")
    return sa.case(
        (~is_over & is_silent, to_mlflow("NotResponding")),
        *((runs.c.status.in_(ours_of(word)), word) for word in words),
        else_="RUNNING",
    )


def _artifact_uri() -> Any:
    root = sa.case(
        (
            experiments.c.artifact_location == "",
            sa.literal("mlflow-artifacts:/").concat(sa.cast(experiments.c.experiment_id, sa.Text)),
        ),
        else_=sa.type_coerce(sa.func.rtrim(experiments.c.artifact_location, "/"), sa.Text),
    )
    whole = sa.type_coerce(root, sa.Text).concat("/").concat(runs.c.run_id).concat("/artifacts")
    return sa.select(whole).where(experiments.c.folder == runs.c.experiment).scalar_subquery()


def _dataset(clause: Clause, context: Context) -> Condition:
    text = sa.type_coerce(links.c.document, sa.Text)
    if context.dialect == _POSTGRESQL:
        value: Any = sa.cast(text, sa.JSON)[clause.key].as_string()
    else:
        value = sa.func.json_extract(text, f"$.{clause.key}", type_=sa.Text)
    holds = compare(value, clause.comparator, clause.value, context.dialect)
    return sa.exists().where((links.c.run_id == runs.c.run_id) & (links.c.kind == "dataset") & holds)


def _plain(text: Any, context: Context) -> Any:
    """Text in the order of its characters, whatever language the database is set to."""
    return sa.type_coerce(text, sa.Text).collate("C") if context.dialect == _POSTGRESQL else text
