"""The queue: who has which nodes, what each node is to have, and what nodes say of it. Runs get their nodes in planning.py.

Reads from and writes to the tables `queue`, `placements`, `cluster_nodes` (work_version) and `runs`. All that is known lies
there, so a collector that was killed goes on where it was. Every function blocks, gets the connection of its transaction, and
may be called twice. A row of `placements` is a node's part in one attempt: until it is freed, the node has something of it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import standing, state
from runyard.collector.schema import cluster_nodes, placements, queue, runs
from runyard.collector.standing import GOING_ON, OVER, QUEUED

from .answers import Assignment
from .changes import NOTHING, Changes
from .messages import Refusal, RunOnNode

# Of `queue`, what is looked at each second; `order` can be large.
LIGHT = [column for column in queue.c if column.name != "order"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run of a cluster that is not over, and the nodes that it was given."""

    row: Any
    nodes: tuple[str, ...]


def assignments(connection: Connection, node_id: str) -> list[Assignment]:
    """All that the node is to have: what it may start or let go on, and what it is to end because of a cancel."""
    mine = (placements.c.node_id == node_id) & placements.c.freed_ns.is_(None)
    newest = (placements.c.attempt == queue.c.attempt) & (queue.c.stage != QUEUED)
    columns = (
        *(placements.c[name] for name in ("run_id", "attempt", "node_rank")),
        *(queue.c[name] for name in ("node_count", "order", "request")),
        *(runs.c[name] for name in ("cancel_ns", "cancel_reason", "settled", "status")),
    )
    found = sa.select(*columns).join(queue, queue.c.run_id == placements.c.run_id).join(runs, runs.c.run_id == queue.c.run_id)
    return [
        Assignment(
            run_id=row.run_id, attempt=row.attempt, node_rank=row.node_rank, node_count=row.node_count, order=row.order,
            request=row.request, stop=_stop(row),
        )
        for row in connection.execute(found.where(mine & newest).order_by(placements.c.placed_ns, placements.c.run_id))
    ]  # fmt: skip


def _stop(row: Any) -> str:
    if row.settled is not None and row.settled.attempt == row.attempt:
        return f"the run is over: {row.settled.cause}"
    return row.cancel_reason if row.cancel_ns is not None else ""


def waiting(connection: Connection, cluster: str) -> list[Waiting]:
    """The runs of a cluster that are not over, in the order in which they get nodes."""
    order = (queue.c.priority.desc(), queue.c.submitted_ns, queue.c.run_id)
    rows = connection.execute(
        sa.select(*LIGHT).where((queue.c.cluster == cluster) & queue.c.stage.in_(GOING_ON)).order_by(*order)
    )
    found = rows.all()
    held: dict[str, list[str]] = {}
    query = sa.select(placements).where(placements.c.freed_ns.is_(None)).order_by(placements.c.node_rank)
    for one in connection.execute(query):
        held.setdefault(one.run_id, []).append(one.node_id)
    return [Waiting(row, tuple(held.get(row.run_id, ()))) for row in found]


def heard(connection: Connection, node_id: str, on_node: Collection[RunOnNode], refused: Iterable[Refusal] = ()) -> Changes:
    """A node has said what it has in hand, and what it cannot start."""
    has = {(one.run_id, one.attempt): one for one in on_node}
    mine = (placements.c.node_id == node_id) & placements.c.freed_ns.is_(None)
    changed = NOTHING
    for row in connection.execute(sa.select(placements).where(mine)).all():
        one = has.get((row.run_id, row.attempt))
        if one is not None and not row.is_taken:
            connection.execute(sa.update(placements).where(_is(row)).values(is_taken=True))
        if one.is_over if one is not None else row.is_taken:
            changed |= free(connection, [row])
    for refusal in refused:
        changed |= _refuse(connection, node_id, refusal)
    return changed


def _refuse(connection: Connection, node_id: str, refusal: Refusal) -> Changes:
    """A node cannot start its part, whatever time passes: the run has failed."""
    held = holdings(connection, refusal.run_id, refusal.attempt)
    if not any(row.node_id == node_id for row in held):
        return NOTHING
    row = connection.execute(sa.select(cluster_nodes.c.hostname).where(cluster_nodes.c.node_id == node_id)).first()
    changed = free(connection, [one for one in held if one.node_id == node_id])
    why = f"node {row.hostname if row else node_id} cannot start it: {refusal.reason}"
    return changed | end(connection, refusal.run_id, "Failed", why)


def holdings(connection: Connection, run_id: str, attempt: int) -> list[Any]:
    """The placements of an attempt that are not freed."""
    ours = (placements.c.run_id == run_id) & (placements.c.attempt == attempt) & placements.c.freed_ns.is_(None)
    return list(connection.execute(sa.select(placements).where(ours).order_by(placements.c.node_rank)))


def is_begun(row: Any) -> bool:
    """Whether the node may have started its part."""
    return bool(row.is_taken) or row.admitted_ns is not None


def end(connection: Connection, run_id: str, status: Any, cause: str, now_ns: int | None = None) -> Changes:
    """The run is over by the collector's word, unless it is over already. Nodes that have something of it are to end it; those
    that have not begun it are not to begin it any more."""
    row = connection.execute(sa.select(runs.c.status, runs.c.attempt).where(runs.c.run_id == run_id)).one()
    if row.status in state.FINAL:
        return NOTHING
    standing.settle(connection, run_id, status, cause, now_ns)
    changed = free(connection, [one for one in holdings(connection, run_id, row.attempt) if not is_begun(one)], now_ns)
    if not holdings(connection, run_id, row.attempt):
        connection.execute(sa.update(queue).where(queue.c.run_id == run_id).values(stage=OVER, waits_for=""))
        standing.refresh(connection, run_id)
    return changed | Changes(told(connection, run_id), frozenset({run_id}))


def free(connection: Connection, rows: Collection[Any], now_ns: int | None = None) -> Changes:
    """The nodes have nothing of these placements any more, or are not trusted to."""
    for row in rows:
        connection.execute(sa.update(placements).where(_is(row)).values(freed_ns=now_ns or time.time_ns()))
    for run_id in {row.run_id for row in rows}:
        standing.refresh(connection, run_id)
    bump(connection, {row.node_id for row in rows})
    return Changes(frozenset(row.node_id for row in rows), frozenset(row.run_id for row in rows))


def told(connection: Connection, run_id: str) -> frozenset[str]:
    """The nodes that have something of the run; their work is another now."""
    held = (placements.c.run_id == run_id) & placements.c.freed_ns.is_(None)
    node_ids = {row.node_id for row in connection.execute(sa.select(placements.c.node_id).where(held))}
    bump(connection, node_ids)
    return frozenset(node_ids)


def bump(connection: Connection, node_ids: Collection[str]) -> None:
    """What these nodes are to have is another thing now."""
    version = {"work_version": cluster_nodes.c.work_version + 1}
    connection.execute(sa.update(cluster_nodes).where(cluster_nodes.c.node_id.in_(sorted(node_ids))).values(version))


def _is(row: Any) -> Any:
    key = (placements.c.run_id == row.run_id) & (placements.c.attempt == row.attempt)
    return key & (placements.c.node_rank == row.node_rank)
