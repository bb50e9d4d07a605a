"""The children of a run beside each other: the goal that they are compared by, the best of them, and all as a table.

Writes records; reads from GET /runs/{run_id}/trials. How the best child is found is told in collector/tracking/best.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runyard.client import path_segment
from runyard.errors import InputError

from . import values

if TYPE_CHECKING:
    from .run import Run

GOALS = ("minimize", "maximize")
_PAGE = 1000


def set_goal(run: Run, metric: str, goal: str) -> None:
    """Set what the children of the run are compared by. Raises InputError."""
    check(metric, goal)
    run._recorder.write(["w", run._record_key, metric, goal])


def get_best_child(run: Run, metric: str | None = None, goal: str | None = None) -> Run | None:
    """The best child so far, None where none has a value: by the run's goal, or by another metric or direction. Blocks.

    Raises InputError where the run has no goal and none is given.
    """
    found = _page(run, metric, goal, 0, 1)
    if found["goal"] is None:
        raise InputError(f"run {run.id} has no goal; say what its children are compared by: get_best_child('loss', 'minimize')")
    return None if found["best_run_id"] is None else of(run, found["best_run_id"])


def get_children_table(run: Run, metric: str | None = None, goal: str | None = None) -> list[dict[str, Any]]:
    """The children in the order in which they were made, a dict each: run_id, iteration (from 0), name, kind, status, cause,
    is_complete, created_ns, started_ns, ended_ns (Unix time), duration_s, tags, params, value, best. Blocks.

    `value` is the last finite value of the goal's metric, `best` the best of this and the children before; None without.
    """
    return read_table(run, metric, goal).trials


@dataclass(frozen=True, slots=True)
class Table:
    """How a run is, what its children are compared by, the best of them, and all as get_children_table has them."""

    status: str
    goal: dict[str, str] | None
    best_run_id: str | None
    best_value: float | None
    trials: list[dict[str, Any]]


def read_table(run: Run, metric: str | None = None, goal: str | None = None) -> Table:
    """All children of the run, page by page. Blocks; raises CollectorError."""
    trials: list[dict[str, Any]] = []
    first: int | None = 0
    while first is not None:
        found = _page(run, metric, goal, first, _PAGE)
        trials += found["trials"]
        first = found["next"]
    return Table(found["status"], found["goal"], found["best_run_id"], found["best_value"], trials)


def of(parent: Run, run_id: str) -> Run:
    """A child that the collector knows."""
    from .run import Run

    return Run(parent.experiment, run_id)


def check(metric: str, goal: str) -> None:
    """Raises InputError for what is no metric's name or no goal."""
    values.check_name(metric, "a metric")
    _check_goal(goal)


def _check_goal(goal: str) -> None:
    if goal not in GOALS:
        raise InputError(f"a goal is 'minimize' or 'maximize', not {goal!r}")


def _page(run: Run, metric: str | None, goal: str | None, first: int, limit: int) -> dict[str, Any]:
    if metric is not None:
        values.check_name(metric, "a metric")
    if goal is not None:
        _check_goal(goal)
    query = {"metric": metric, "goal": goal, "first": first, "limit": limit}
    answer: dict[str, Any] = run._client.json("GET", f"/runs/{path_segment(run.id)}/trials", params=query)
    return answer
