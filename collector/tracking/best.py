"""The best child of a run with a goal, kept up to date as metrics come.

What counts for a child is the last value of the goal's metric in recorded order: as a sweep compares where trainings have come
to, not what they passed through. A value that is no finite number never wins. Of equal values the earlier run's wins (the lower
number in its experiment). How a child ended plays no part: a failed child's value was measured, too. Only children themselves
count, not their children, and not those that are hidden.

Reads from and writes to the table `runs`; reads from `series`. Every function blocks and gets the connection of its
transaction.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import runs, series
from runyard.tracking.records import SCALAR, Goal

LARGEST = 1.7976931348623157e308  # of finite doubles: PostgreSQL sorts NaN above all of them

_parent = runs.alias("parent")
_GOAL_OF_PARENT = (
    sa.select(
        _parent.c.run_id,
        _parent.c.goal,
        _parent.c.best_run_id,
        _parent.c.best_value,
        runs.c.number,
        runs.c.deleted_ms,
    )
    .join(_parent, _parent.c.run_id == runs.c.parent_run_id)
    .where((runs.c.run_id == sa.bindparam("child")) & _parent.c.goal.is_not(None))
)
_LAST = sa.select(series.c.last).where(
    (series.c.run_id == sa.bindparam("child")) & (series.c.name == sa.bindparam("metric")) & (series.c.kind == SCALAR)
)
_NUMBER = sa.select(runs.c.number).where(runs.c.run_id == sa.bindparam("run"))


def set_goal(connection: Connection, run_id: str, goal: Goal) -> None:
    """From now on the children of the run are compared by this; those that have come already, too."""
    connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(goal=goal))
    _look_again(connection, run_id, goal)


def note(connection: Connection, run_id: str, names: Collection[str]) -> None:
    """The series `names` of a run have got values: its parent's best child may be another one now.

    Costs a look at the parent; at all of its children only where the best one of them has become worse.
    """
    found = connection.execute(_GOAL_OF_PARENT, {"child": run_id}).first()
    if found is None or found.goal.metric not in names or found.deleted_ms is not None:
        return
    last = connection.execute(_LAST, {"child": run_id, "metric": found.goal.metric}).scalar()
    value = last if last is not None and math.isfinite(last) else None
    if run_id == found.best_run_id:
        if value is None or _is_better(found.goal, found.best_value, value):
            _look_again(connection, found.run_id, found.goal)
        elif value != found.best_value:
            _write(connection, found.run_id, run_id, value)
    elif value is not None and _wins(connection, found, value):
        _write(connection, found.run_id, run_id, value)


def note_children(connection: Connection, run_id: str) -> None:
    """A child of the run was hidden or is shown again."""
    goal = connection.execute(sa.select(runs.c.goal).where(runs.c.run_id == run_id)).scalar()
    if goal is not None:
        _look_again(connection, run_id, goal)


def _is_better(goal: Goal, one: float, other: float) -> bool:
    return one < other if goal.goal == "minimize" else one > other


def _wins(connection: Connection, found: Any, value: float) -> bool:
    """Whether a child's value is better than the best one's, or as good and the child is the earlier one."""
    if found.best_value is None or _is_better(found.goal, value, found.best_value):
        return True
    if value != found.best_value:
        return False
    number: int = connection.execute(_NUMBER, {"run": found.best_run_id}).scalar_one()
    return bool(found.number < number)


def _look_again(connection: Connection, parent: str, goal: Goal) -> None:
    """Writes down the best of all children."""
    # An expression, and not the column: the index by it would go through the metrics of that name of all other runs, too.
    last = series.c.last + 0.0
    order = last.asc() if goal.goal == "minimize" else last.desc()
    query = (
        sa.select(runs.c.run_id, last.label("last"))
        .join(series, (series.c.run_id == runs.c.run_id) & (series.c.name == goal.metric) & (series.c.kind == SCALAR))
        .where((runs.c.parent_run_id == parent) & runs.c.deleted_ms.is_(None) & last.between(-LARGEST, LARGEST))
        .order_by(order, runs.c.number)
        .limit(1)
    )
    best = connection.execute(query).first()
    _write(connection, parent, best.run_id if best else None, best.last if best else None)


def _write(connection: Connection, parent: str, best: str | None, value: float | None) -> None:
    connection.execute(sa.update(runs).where(runs.c.run_id == parent).values(best_run_id=best, best_value=value))
