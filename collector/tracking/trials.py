"""The children of a run as a table: what each was given, how it is, and how it compares; the best one so far beside each.

Reads from the tables `runs`, `series` and `params`. Every function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import catalog
from runyard.collector.catalog import RunRow
from runyard.collector.schema import params, runs, series
from runyard.tracking.records import SCALAR, Goal

from .best import LARGEST

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True, slots=True)
class Trial:
    """A child. `value`: the last one of the metric, where that is a finite number; `best`: the best of the children so far."""

    run: RunRow
    iteration: int
    params: dict[str, str]
    value: float | None
    best: float | None


@dataclass(frozen=True, slots=True)
class Table:
    """A run with some of its children in the order of their numbers; `next`: the iteration after them, where there is one."""

    run: RunRow
    goal: Goal | None
    best_run_id: str | None
    best_value: float | None
    trials: list[Trial]
    next: int | None


def table(
    connection: Connection, run_id: str, metric: str | None, direction: Direction | None, first: int, limit: int
) -> Table:
    """The children from the iteration `first` on, compared by the run's goal, or by another metric, or in another direction
    (where nothing says which, the least is best). Raises a 404."""
    run = catalog.run(connection, run_id)
    goal = _goal(run.row.goal, metric, direction)
    compared = _compared(connection, run_id, goal)
    page = compared[first : first + limit]
    ids = [row.run_id for row in page]
    found = connection.execute(sa.select(runs).where(runs.c.run_id.in_(ids))).all()
    known = {row.row.run_id: row for row in catalog.with_details(connection, list(found))}
    given: dict[str, dict[str, str]] = {child: {} for child in ids}
    for param in connection.execute(sa.select(params).where(params.c.run_id.in_(ids)).order_by(params.c.key)):
        given[param.run_id][param.key] = param.value
    trials = [Trial(known[row.run_id], first + place, given[row.run_id], row.value, row.best) for place, row in enumerate(page)]
    best = _first_with(compared, compared[-1].best if compared else None)
    more = first + len(page)
    return Table(
        run, goal, best.run_id if best else None, best.value if best else None, trials, more if more < len(compared) else None
    )


def _goal(known: Goal | None, metric: str | None, direction: Direction | None) -> Goal | None:
    name = metric or (known.metric if known else None)
    return None if name is None else Goal(name, direction or (known.goal if known else "minimize"))


def _compared(connection: Connection, run_id: str, goal: Goal | None) -> list[Any]:
    """(run_id, value, best so far) of each child that is shown."""
    shown = (runs.c.parent_run_id == run_id) & runs.c.deleted_ms.is_(None)
    if goal is None:
        none: sa.ColumnElement[Any] = sa.null()
        query = sa.select(runs.c.run_id, none.label("value"), none.label("best")).where(shown)
        return list(connection.execute(query.order_by(runs.c.number)))
    value = sa.case((series.c.last.between(-LARGEST, LARGEST), series.c.last), else_=None)
    least = sa.func.min(value) if goal.goal == "minimize" else sa.func.max(value)
    so_far = least.over(order_by=runs.c.number, rows=(None, 0))
    mine = (series.c.run_id == runs.c.run_id) & (series.c.name == goal.metric) & (series.c.kind == SCALAR)
    query = sa.select(runs.c.run_id, value.label("value"), so_far.label("best")).outerjoin(series, mine).where(shown)
    return list(connection.execute(query.order_by(runs.c.number)))


def _first_with(compared: list[Any], best: float | None) -> Any:
    return next((row for row in compared if row.value == best), None) if best is not None else None
