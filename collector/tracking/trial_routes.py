"""The route of a run's children as a table; see trials.py."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from aiohttp import web
from msgspec import Meta

from runyard.collector.messages import Body, Count, RunStatus
from runyard.collector.route import Call, json_response
from runyard.collector.run_routes import shown_status
from runyard.tracking.records import MOST_NAME, Goal

from . import trials


class TrialsQuery(Body, frozen=True, kw_only=True):
    """Which children are shown, and what they are compared by where it is not the run's goal: another metric, or direction."""

    metric: Annotated[str, Meta(min_length=1, max_length=MOST_NAME, pattern=r"^[^\x00]*$")] | None = None
    goal: Literal["minimize", "maximize"] | None = None
    first: Count = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000


class TrialAnswer(Body, frozen=True, kw_only=True):
    """A child; `iteration` counts the children that are shown, from 0."""

    run_id: str
    iteration: int
    name: str
    kind: str
    status: RunStatus
    cause: str
    is_complete: bool
    created_ns: int
    started_ns: int | None
    ended_ns: int | None
    duration_s: float | None
    tags: dict[str, str]
    params: dict[str, str]
    value: float | None
    best: float | None


class TrialsAnswer(Body, frozen=True, kw_only=True):
    """A run's children, with the best of all of them."""

    status: RunStatus  # of the run itself
    goal: Goal | None
    best_run_id: str | None
    best_value: float | None
    trials: list[TrialAnswer]
    next: int | None


async def show_trials(call: Call) -> web.Response:
    """GET /runs/{run_id}/trials"""
    query: TrialsQuery = call.query
    found = await call.parts.database.read(trials.table, call.run_id, query.metric, query.goal, query.first, query.limit)
    answer = TrialsAnswer(
        status=shown_status(found.run, call.parts.pulse),  # type: ignore[arg-type]
        goal=found.goal,
        best_run_id=found.best_run_id,
        best_value=found.best_value,
        trials=[_answer(call, trial) for trial in found.trials],
        next=found.next,
    )
    return json_response(answer)


def _answer(call: Call, trial: trials.Trial) -> TrialAnswer:
    row: Any = trial.run.row
    same = {name: getattr(row, name) for name in ("run_id", "name", "kind", "cause", "created_ns", "started_ns", "ended_ns")}
    took_ns = None if row.started_ns is None else (row.ended_ns or time.time_ns()) - row.started_ns
    return TrialAnswer(
        **same,
        iteration=trial.iteration,
        status=shown_status(trial.run, call.parts.pulse),  # type: ignore[arg-type]
        is_complete=trial.run.is_complete,
        duration_s=None if took_ns is None else max(0, took_ns) / 1e9,
        tags=trial.run.tags,
        params=trial.params,
        value=trial.value,
        best=trial.best,
    )
