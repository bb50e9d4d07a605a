"""MLflow's routes of runs: created, shown, searched, ended, hidden.

Reads from and writes to the table `runs` and what belongs to it; what is written goes through tracking/apply.py as records.
Every function blocks, gets the connection of its transaction, and raises MlflowError.
"""

from __future__ import annotations

import secrets
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import experiments, runs
from runyard.collector.tracking import client_runs, search
from runyard.collector.tracking.apply import apply
from runyard.collector.tracking.client_runs import NewClientRun
from runyard.collector.tracking.search import PARENT_TAG, RUN_NAME_TAG, Context
from runyard.mlflow import answers, limits, messages
from runyard.mlflow.errors import denied, invalid
from runyard.mlflow.filters import parse_filter, parse_orders
from runyard.mlflow.names import made_up_name
from runyard.mlflow.paging import offset_of, token_at
from runyard.mlflow.statuses import from_mlflow
from runyard.names import why_bad_run_id
from runyard.tracking.records import MLFLOW, Lifecycle, Name, Record, Status, Tag

from .access import Ask, experiment_of, require_run, run_of
from .rows import infos_of, open_runs, runs_of, statuses_of

MOST_MS = 2**63 // 10**6  # nanoseconds of it are kept
_DONE = answers.Answer()


def write(connection: Connection, ask: Ask, run_id: str, records: list[Record]) -> None:
    """Applies records of the run; raises with the first sentence that one is refused with."""
    refusals = apply(connection, run_id, records, now_ms=ask.now_ms, is_any_model=True)
    if refusals:
        raise invalid(refusals[0].sentence)


def create(connection: Connection, ask: Ask, request: messages.CreateRun) -> answers.Answer:
    """POST runs/create"""
    experiment = experiment_of(connection, ask, request.experiment_id, is_active=True)
    limits.check_count("tags", request.tags)
    tags = {tag.key: tag.value for tag in request.tags}
    name, tagged = request.run_name, tags.pop(RUN_NAME_TAG, "")
    if name and tagged and name != tagged:
        raise invalid(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values"
            f" (run_name={name!r}, mlflow.runName={tagged!r})."
        )
    start_ms = ask.now_ms if request.start_time is None else _time("start_time", request.start_time)
    parent_id = _parent(connection, ask, tags.get(PARENT_TAG, ""))
    run_id = _new_id(parent_id)
    name = name or tagged or made_up_name()
    new = NewClientRun(run_id, experiment.folder, name, request.user_id, MLFLOW, start_ms, parent_id, "Running")
    client_runs.add(connection, new)
    write(connection, ask, run_id, [Name("", name), *(Tag("", key, value) for key, value in tags.items())])
    return get(connection, ask, messages.RunRequest(run_id=run_id))


def _parent(connection: Connection, ask: Ask, wanted: str) -> str | None:
    """The run whose child a new run is. What a run's token makes is below that run."""
    if wanted:
        known = connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == wanted)).first()
        if known is not None:
            require_run(connection, ask, wanted)
            return wanted
        if ask.own_run is not None:
            raise denied(f"this token belongs to run {ask.own_run}, and the parent {wanted[:128]} is no descendant of it")
    return ask.own_run


def _new_id(parent_id: str | None) -> str:
    child = f"{parent_id}_{secrets.token_hex(4)}"
    return secrets.token_hex(16) if parent_id is None or why_bad_run_id(child) else child


def _time(what: str, given: int) -> int:
    if not 0 <= given < MOST_MS:
        raise invalid(f"Invalid value {given} for parameter '{what}' supplied: it has to be Unix milliseconds, 0 or more")
    return given


def get(connection: Connection, ask: Ask, request: messages.RunRequest) -> answers.Answer:
    """GET runs/get"""
    return answers.OneRun(runs_of(connection, ask, [run_of(connection, ask, request.run)])[0])


def update(connection: Connection, ask: Ask, request: messages.UpdateRun) -> answers.Answer:
    """POST runs/update: of a run that a node has, what is said of its status is a hint."""
    row = run_of(connection, ask, request.run, is_active=True)
    status = messages.status_of(request.status)
    end_ms = None if request.end_time is None else _time("end_time", request.end_time)
    said: list[Record] = [Name("", request.run_name)] if request.run_name else []
    if status is not None:
        said.append(Status("", from_mlflow(status), "", ask.now_ms if end_ms is None else end_ms))
    write(connection, ask, row.run_id, said)
    if end_ms is not None and row.is_client_run:
        connection.execute(sa.update(runs).where(runs.c.run_id == row.run_id).values(ended_ns=end_ms * 10**6))
    return answers.UpdatedRun(infos_of(connection, ask, [run_of(connection, ask, request.run)])[0])


def delete(connection: Connection, ask: Ask, request: messages.RunRequest) -> answers.Answer:
    """POST runs/delete: it is hidden."""
    row = run_of(connection, ask, request.run)
    write(connection, ask, row.run_id, [Lifecycle("", True, ask.now_ms)])
    return _DONE


def restore(connection: Connection, ask: Ask, request: messages.RunRequest) -> answers.Answer:
    """POST runs/restore"""
    row = run_of(connection, ask, request.run)
    write(connection, ask, row.run_id, [Lifecycle("", False, ask.now_ms)])
    return _DONE


def find(connection: Connection, ask: Ask, request: messages.SearchRuns) -> answers.Answer:
    """POST runs/search"""
    limit = limits.check_max_results(request.max_results)
    offset = offset_of(request.page_token)
    clauses, orders = parse_filter(request.filter), parse_orders(request.order_by)
    folders = _folders(connection, ask, request.experiment_ids)
    silent: list[str] = []
    if search.needs_statuses(clauses, orders):
        shown = statuses_of(connection, ask, open_runs(connection, folders))
        silent = [run_id for run_id, status in shown.items() if status == "NotResponding"]
    context = Context(connection.dialect.name, ask.now_ms, silent)
    wanted = [search.condition(clauses, context), runs.c.experiment.in_(folders), *_of_view(request), *_own(ask)]
    query = sa.select(runs).where(*wanted).order_by(*search.ordering(orders, context)).offset(offset).limit(limit + 1)
    rows = connection.execute(query).all()
    token = token_at(offset + limit) if len(rows) > limit else None
    return answers.Runs(runs_of(connection, ask, rows[:limit]), token)


def _folders(connection: Connection, ask: Ask, experiment_ids: list[str]) -> list[str]:
    """Of those that are there; one that a run's token may not see is refused."""
    limits.check_count("experiments", experiment_ids, limits.MOST_EXPERIMENTS)
    numbers = sorted({limits.parse_experiment_id(one) for one in experiment_ids})
    if ask.own_run is not None:
        return [experiment_of(connection, ask, str(number)).folder for number in numbers]
    found: list[str] = []
    for start in range(0, len(numbers), 500):
        ours = experiments.c.experiment_id.in_(numbers[start : start + 500])
        found += connection.execute(sa.select(experiments.c.folder).where(ours)).scalars()
    return found


def _of_view(request: messages.SearchRuns) -> list[Any]:
    view = messages.view_of(request.run_view_type)
    if view == messages.ALL:
        return []
    return [runs.c.deleted_ms.is_(None) if view == messages.ACTIVE_ONLY else runs.c.deleted_ms.is_not(None)]


def _own(ask: Ask) -> list[Any]:
    """A run's token sees that run and its descendants."""
    if ask.own_run is None:
        return []
    below = sa.select(runs.c.run_id).where(runs.c.run_id == ask.own_run).cte(recursive=True)
    child = runs.alias()
    below = below.union(sa.select(child.c.run_id).where(child.c.parent_run_id == below.c.run_id))
    return [runs.c.run_id.in_(sa.select(below.c.run_id))]
