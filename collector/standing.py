"""What a run is at this moment, from what its nodes say, where it stands in a queue, and how it was settled.

Reads from the tables `runs`, `nodes`, `queue` and `placements`; writes to `runs`. Every function blocks and gets the connection
of its transaction. The queue itself is in cluster/queue.py.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import failures, state
from .report import Settled
from .schema import nodes, placements, queue, runs
from .state import State

MOST_OF_CAUSE = 4000
QUEUED, PLACED, OVER = "queued", "placed", "over"
GOING_ON = (QUEUED, PLACED)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a run stands in its queue. `holders`: the nodes that have, or are to have, something of the newest attempt."""

    attempt: int
    stage: str
    holders: frozenset[str]


def of(connection: Connection, run_id: str) -> Standing | None:
    """None: the run is of no queue."""
    held = (placements.c.run_id == queue.c.run_id) & (placements.c.attempt == queue.c.attempt) & placements.c.freed_ns.is_(None)
    query = sa.select(queue.c.attempt, queue.c.stage, placements.c.node_id).outerjoin(placements, held)
    rows = connection.execute(query.where(queue.c.run_id == run_id)).all()
    if not rows:
        return None
    return Standing(rows[0].attempt, rows[0].stage, frozenset(row.node_id for row in rows if row.node_id is not None))


def is_queued(run: Any) -> bool:
    """Whether a run (its row) is of a queue: then nobody has created it with a key. Costs no look at the queue."""
    return not run.key_sha256


def why_fenced(connection: Connection, run: Any, node_id: str, attempt: int) -> str:
    """Why a node has to let go of an attempt at this run (its row); empty where it may have it."""
    if run.settled is not None and run.settled.attempt == run.attempt:
        return f"the run is over: {run.settled.cause}"
    place = of(connection, run.run_id) if is_queued(run) else None
    if place is None:
        return ""
    if attempt < place.attempt:
        return f"attempt {place.attempt} of the run was given to other nodes"
    return "" if node_id in place.holders else "the run is not this node's any more"


def settle(
    connection: Connection, run_id: str, status: Literal["Failed", "Canceled"], cause: str, now_ns: int | None = None
) -> None:
    """The run's newest attempt has ended, whatever a node may yet say of it."""
    attempt = connection.execute(sa.select(runs.c.attempt).where(runs.c.run_id == run_id)).scalar_one()
    settled = Settled(attempt=attempt, status=status, cause=cause[:MOST_OF_CAUSE], ended_ns=now_ns or time.time_ns())
    connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(settled=settled))
    refresh(connection, run_id)


def refresh(connection: Connection, run_id: str) -> None:
    """Writes down what the run is now."""
    this_run = runs.c.run_id == run_id
    columns = [runs.c[name] for name in ("node_count", "failed_ns", "attempt", "cancel_ns", "settled", "key_sha256")]
    known = connection.execute(sa.select(*columns).where(this_run)).one()
    of_node = [nodes.c[field] for field in (*State.__dataclass_fields__, "node_id", "attempt")]
    rows = connection.execute(sa.select(*of_node).where(nodes.c.run_id == run_id)).all()
    attempt = max((row.attempt for row in rows), default=0)
    attempt = max(attempt, known.attempt)
    # The run is its newest attempt: a node that has not told of that one is still to come.
    parts = {
        row.node_id: State(**{field: getattr(row, field) for field in State.__dataclass_fields__})
        for row in rows
        if row.attempt == attempt
    }
    values: dict[str, Any] = {"attempt": attempt}
    if attempt > known.attempt:
        values["failed_ns"] = None
    failure = failures.first(connection, run_id, attempt) if known.node_count > 1 else None
    failed = None
    if failure is not None:
        values["failed_ns"] = (known.failed_ns if attempt == known.attempt else None) or time.time_ns()
        failed = replace(
            parts[failure.node_id], exit_code=failure.exit_code, signal=failure.signal, cause=failure.sentence[:MOST_OF_CAUSE]
        )
    whole = state.of_run(list(parts.values()), known.node_count, failed)
    whole = _as_asked(whole, known, of(connection, run_id) if is_queued(known) else None, parts, attempt)
    connection.execute(sa.update(runs).where(this_run).values(values | asdict(whole)))


def _as_asked(whole: State, known: Any, place: Standing | None, parts: dict[str, State], attempt: int) -> State:
    """What the nodes say, with what is known here alone: that the run waits or was given to nodes, how it was settled, and
    that somebody wants it to end."""
    # Of a node that was given up nothing more is waited for.
    waited = {node_id for node_id, part in parts.items() if part.is_final} if place is None else place.holders
    has_all = all(node_id in parts and parts[node_id].is_complete for node_id in waited)
    if known.settled is not None and known.settled.attempt == attempt:
        settled = known.settled
        return replace(
            whole, status=settled.status, cause=settled.cause, ended_ns=settled.ended_ns, is_complete=has_all,
            exit_code=None, signal=None,
        )  # fmt: skip
    if whole.is_final:
        return replace(whole, is_complete=whole.is_complete or (place is not None and has_all))
    if known.cancel_ns is not None:
        return replace(whole, status="CancelRequested")
    if place is not None:
        return replace(whole, status=state.at_least(whole.status, "Queued" if place.stage == QUEUED else "Starting"))
    return whole
