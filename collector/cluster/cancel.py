"""Cancelling a run, in whatever state it is, whoever has started it.

Reads from and writes to the tables `runs`, `queue` and `placements`. What no node has is over at once; what nodes have is over
when they say so: their agents are told with their work, and whoever ships the run with the answer to its state. Of nodes that
are silent for good nothing is waited for: those of a queue are given up in planning.py, the others here. A run's children are
cancelled with it.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import auth, catalog, standing, state
from runyard.collector.auth import Principal
from runyard.collector.catalog import RunRow
from runyard.collector.problems import Problem, no_such_run
from runyard.collector.schema import nodes, runs
from runyard.collector.tracking import client_runs

from .changes import NOTHING, Changes
from .queue import end, free, holdings, is_begun, told


def cancel(connection: Connection, run_id: str, reason: str, who: Principal, now_ns: int) -> Changes:
    """Somebody wants the run to end, and with it its children; the first reason stays. Raises a 404, and a 409 where it has
    ended otherwise."""
    run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
    if run is None:
        raise no_such_run(run_id)
    is_canceled = run.status == "Canceled" and run.cancel_ns is not None
    if run.status in state.FINAL and not is_canceled:
        raise Problem(409, "ended", f"run {run_id} has ended ({run.status}); there is nothing left to cancel")
    by = f"run {who.subject}" if who.kind == auth.RUN else who.subject or "the administrator"
    why = f"canceled by {by}{f': {reason}' if reason else ''}"
    changed = NOTHING if is_canceled else _cancel_one(connection, run, why, now_ns)
    for child in _live_below(connection, run):
        changed |= _cancel_one(connection, child, f"canceled with its parent run {child.parent_run_id}", now_ns)
    return changed


def _live_below(connection: Connection, run: Any) -> list[Any]:
    """The descendants that have not ended, parents first; but for client runs of a run that nodes have: that run's end is
    theirs, and until then they may say how they ended themselves."""
    found: list[Any] = []
    level, seen = [run], {run.run_id}
    while level:
        parents = {one.run_id: one for one in level}
        children = connection.execute(sa.select(runs).where(runs.c.parent_run_id.in_(parents))).all()
        level = [child for child in children if child.run_id not in seen]
        seen |= {child.run_id for child in level}
        open_ones = [child for child in level if child.status not in state.FINAL]
        found += [one for one in open_ones if not one.is_client_run or parents[one.parent_run_id].is_client_run]
    return found


def _cancel_one(connection: Connection, run: Any, why: str, now_ns: int) -> Changes:
    run_id, this_run = run.run_id, runs.c.run_id == run.run_id
    if run.cancel_ns is None:
        connection.execute(sa.update(runs).where(this_run).values(cancel_ns=now_ns, cancel_reason=why))
    if run.is_client_run:
        client_runs.say_status(connection, run_id, "Canceled", why, now_ns // 10**6)
        return Changes(runs=frozenset({run_id}))
    if run.cancel_ns is None:
        standing.refresh(connection, run_id)
    changed = Changes(told(connection, run_id), frozenset({run_id}))
    row = connection.execute(sa.select(runs.c.cancel_reason, runs.c.attempt).where(this_run)).one()
    changed |= free(connection, [part for part in holdings(connection, run_id, row.attempt) if not is_begun(part)], now_ns)
    if _is_nowhere(connection, run_id, row.attempt):
        changed |= end(connection, run_id, "Canceled", row.cancel_reason, now_ns)
    return changed


def _is_nowhere(connection: Connection, run_id: str, attempt: int) -> bool:
    """Whether no node has anything of the newest attempt, nor will say anything of it."""
    if standing.of(connection, run_id) is not None:
        return not holdings(connection, run_id, attempt)
    return connection.execute(sa.select(nodes.c.node_id).where(nodes.c.run_id == run_id)).first() is None


def not_ended(connection: Connection) -> list[RunRow]:
    """The runs of no queue that somebody has canceled and whose nodes have not told their end."""
    asked = (runs.c.status == "CancelRequested") & runs.c.cancel_ns.is_not(None)
    rows = catalog.with_details(connection, list(connection.execute(sa.select(runs).where(asked))))
    return [row for row in rows if row.in_queue is None]


def give_up(connection: Connection, row: RunRow, now_ns: int) -> Changes:
    """Nothing more is expected of the nodes that have not ended; one that comes back is told to end what it has."""
    gone = sorted(row.folders[node_id] for node_id in row.silent_if if node_id in row.folders)
    why = f"lost contact with node {', '.join(gone[:20])}" if gone else "not all of its nodes have come"
    return end(connection, row.row.run_id, "Canceled", f"{row.row.cancel_reason}; {why}", now_ns)
