"""A turn of the queue: parts that were lost are given to others or end their run, and those that wait get nodes.

Reads from and writes to the tables of queue.py. Level-triggered: a turn looks at what is there, whatever has led to it, and
does nothing where there is nothing to do; so one that was cut off by a crash is made up for by the next one.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import standing, state
from runyard.collector.schema import cluster_nodes, nodes, placements, queue, runs
from runyard.collector.standing import GOING_ON, OVER, PLACED, QUEUED
from runyard.settings import Collector as Settings

from .changes import NOTHING, Changes
from .messages import Request
from .placing import Machine, Wanted, plan
from .queue import LIGHT, bump, end, free, is_begun, told

# An agent says what it has within seconds of having it.
NEVER_TOLD_S = 300
ACTIVE = ("Idle", "Preparing", "Running")
# What a run is taken to want that a node has and that no queue knows of, since the collector was restored: all of the node.
_UNKNOWN = Request()


def turn(
    connection: Connection,
    now_ns: int,
    silent: Collection[str],
    given_up: Collection[str],
    settings: Settings,
    untold: Collection[str] = (),
) -> Changes:
    """`silent`: nodes that were not heard from for so long that they get nothing, and keep nothing that has not begun;
    `given_up`: and that whatever they have is taken from them; `untold`: that have not said yet, since the collector was
    started, what they have: until then they get nothing."""
    gone = [row for row in _held(connection, {*silent, *given_up}) if row.node_id in given_up or row.is_unbegun]
    gone += [row for row in _never_told(connection, now_ns) if row.node_id not in silent and row.node_id not in untold]
    changed = free(connection, gone, now_ns) if gone else NOTHING
    for run_id, lost in _lost_parts(connection).items():
        changed |= _lose(connection, run_id, lost, given_up, now_ns)
    changed |= _expire(connection, now_ns)
    _close(connection)
    return changed | _place(connection, now_ns, {*silent, *untold}, given_up, settings.reserve_after_s)


def _held(connection: Connection, silent: Collection[str]) -> list[Any]:
    """What silent nodes have. `is_unbegun`: no node of the attempt has begun it, and none is to begin it any more."""
    other = placements.alias()
    same = (other.c.run_id == placements.c.run_id) & (other.c.attempt == placements.c.attempt)
    begun = sa.exists().where(same & (other.c.is_taken | other.c.admitted_ns.is_not(None)))
    held = placements.c.freed_ns.is_(None) & placements.c.node_id.in_(sorted(silent))
    query = sa.select(placements, (~begun).label("is_unbegun")).where(held)
    return list(connection.execute(query)) if silent else []


def _never_told(connection: Connection, now_ns: int) -> list[Any]:
    """What nodes had begun long ago and never have told that they have it: they died in between, and came back without it."""
    begun = placements.c.admitted_ns.is_not(None) & (placements.c.admitted_ns < now_ns - NEVER_TOLD_S * 10**9)
    held = placements.c.freed_ns.is_(None) & ~placements.c.is_taken & begun
    query = sa.select(placements, cluster_nodes.c.runs).join(cluster_nodes, cluster_nodes.c.node_id == placements.c.node_id)
    rows = connection.execute(query.where(held)).all()
    return [row for row in rows if not any(one.run_id == row.run_id for one in row.runs)]


def _lost_parts(connection: Connection) -> dict[str, list[Any]]:
    """By run: parts of it that no node has any more, and of which none has told the end."""
    newest = (queue.c.run_id == placements.c.run_id) & (queue.c.attempt == placements.c.attempt) & (queue.c.stage == PLACED)
    said = (nodes.c.run_id == placements.c.run_id) & (nodes.c.node_id == placements.c.node_id)
    said &= nodes.c.attempt == placements.c.attempt
    query = sa.select(placements, cluster_nodes.c.hostname, nodes.c.status).join(queue, newest).outerjoin(nodes, said)
    query = query.join(cluster_nodes, cluster_nodes.c.node_id == placements.c.node_id).join(
        runs, runs.c.run_id == placements.c.run_id
    )
    is_lost = placements.c.freed_ns.is_not(None) & runs.c.status.not_in(state.FINAL)
    lost: dict[str, list[Any]] = {}
    for row in connection.execute(query.where(is_lost).order_by(placements.c.node_rank)):
        if row.status not in state.FINAL:
            lost.setdefault(row.run_id, []).append(row)
    return lost


def _lose(connection: Connection, run_id: str, lost: list[Any], given_up: Collection[str], now_ns: int) -> Changes:
    row = connection.execute(sa.select(*LIGHT).where(queue.c.run_id == run_id)).one()
    run = connection.execute(sa.select(runs.c.cancel_ns, runs.c.cancel_reason).where(runs.c.run_id == run_id)).one()
    why = _why(lost, given_up)
    if run.cancel_ns is not None:
        return end(connection, run_id, "Canceled", f"{run.cancel_reason}; {why}", now_ns)
    ours = (placements.c.run_id == run_id) & (placements.c.attempt == row.attempt)
    parts = connection.execute(sa.select(placements).where(ours)).all()
    if not any(is_begun(part) for part in parts):  # nothing of it has started: nothing is lost but the time
        return _again(connection, row, row.retries, now_ns)
    if row.retries:
        return _again(connection, row, row.retries - 1, now_ns)
    return end(connection, run_id, "Failed", why, now_ns)


def _why(lost: list[Any], given_up: Collection[str]) -> str:
    silent = [part.hostname for part in lost if part.node_id in given_up]
    if silent:
        return f"lost contact with node {', '.join(silent[:20])}"
    names = ", ".join(part.hostname for part in lost[:20])
    return f"node {names} has nothing of the run any more and has not told how it ended"


def _again(connection: Connection, row: Any, retries: int, now_ns: int) -> Changes:
    """The run waits for nodes again, as its next attempt. What is left of this one is to end: nobody is to have it any more."""
    this_run = runs.c.run_id == row.run_id
    attempt = 1 + max(row.attempt, connection.execute(sa.select(runs.c.attempt).where(this_run)).scalar_one())
    ours = (placements.c.run_id == row.run_id) & placements.c.freed_ns.is_(None)
    unbegun = [part for part in connection.execute(sa.select(placements).where(ours)).all() if not is_begun(part)]
    values = {"attempt": attempt, "stage": QUEUED, "retries": retries, "queued_ns": now_ns, "placed_ns": None, "waits_for": ""}
    connection.execute(sa.update(queue).where(queue.c.run_id == row.run_id).values(values))
    connection.execute(sa.update(runs).where(this_run).values(attempt=attempt, failed_ns=None))
    changed = free(connection, unbegun, now_ns) | Changes(told(connection, row.run_id), frozenset({row.run_id}))
    standing.refresh(connection, row.run_id)
    return changed


def _expire(connection: Connection, now_ns: int) -> Changes:
    """Runs that have waited longer than they may have failed."""
    limited = (queue.c.stage == QUEUED) & (queue.c.max_queue_s > 0)
    changed = NOTHING
    for row in connection.execute(sa.select(*LIGHT).where(limited)).all():
        if now_ns - row.queued_ns > row.max_queue_s * 1e9:
            waited = f"it waited for {row.max_queue_s:g} s, which was its limit, for {row.waits_for or 'nodes'}"
            changed |= end(connection, row.run_id, "Failed", waited, now_ns)
    return changed


def _close(connection: Connection) -> None:
    """Runs that have ended, and of which no node has anything any more, leave the queue."""
    is_held = sa.exists().where((placements.c.run_id == queue.c.run_id) & placements.c.freed_ns.is_(None))
    is_ended = sa.exists().where((runs.c.run_id == queue.c.run_id) & runs.c.status.in_(state.FINAL))
    is_over = queue.c.stage.in_(GOING_ON) & is_ended & ~is_held
    connection.execute(sa.update(queue).where(is_over).values(stage=OVER, waits_for=""))


def _place(
    connection: Connection, now_ns: int, closed: Collection[str], given_up: Collection[str], reserve_after_s: float
) -> Changes:
    """Those that wait get nodes, but none of `closed`."""
    wanted: dict[str, list[Any]] = {}
    for row in connection.execute(sa.select(*LIGHT).where(queue.c.stage == QUEUED)):
        wanted.setdefault(row.cluster, []).append(row)
    if not wanted:
        return NOTHING
    has = _on_nodes(connection)
    changed = NOTHING
    for cluster, rows in wanted.items():
        found = list(connection.execute(sa.select(cluster_nodes).where(cluster_nodes.c.cluster == cluster)))
        requests = _requests(connection, found, has)
        machines = [_machine(node, has.get(node.node_id, ()), requests, closed) for node in found]
        keep_off = _keep_off(found, has, given_up)
        waiting = [_wanted(row, keep_off.get(row.run_id, ())) for row in rows]
        chosen = plan(waiting, machines, now_ns, reserve_after_s)
        for row in rows:
            if row.run_id in chosen.placed:
                changed |= _give(connection, row, chosen.placed[row.run_id], now_ns)
            elif row.waits_for != chosen.waits_for[row.run_id]:
                why = {"waits_for": chosen.waits_for[row.run_id]}
                connection.execute(sa.update(queue).where(queue.c.run_id == row.run_id).values(why))
    return changed


def _on_nodes(connection: Connection) -> dict[str, set[tuple[str, int]]]:
    """By node: the attempts of which it has, or is to have, something; by its placements."""
    has: dict[str, set[tuple[str, int]]] = {}
    for row in connection.execute(sa.select(placements).where(placements.c.freed_ns.is_(None))):
        has.setdefault(row.node_id, set()).add((row.run_id, row.attempt))
    return has


def _requests(connection: Connection, found: list[Any], has: dict[str, set[tuple[str, int]]]) -> dict[str, Request]:
    """What the runs that are on these nodes want of each; of those that are of a queue."""
    run_ids = {one.run_id for node in found for one in node.runs if not one.is_over}
    run_ids |= {run_id for node in found for run_id, _ in has.get(node.node_id, ())}
    query = sa.select(queue.c.run_id, queue.c.request).where(queue.c.run_id.in_(sorted(run_ids)))
    return {row.run_id: row.request for row in connection.execute(query)}


def _machine(node: Any, has: Collection[tuple[str, int]], requests: dict[str, Request], closed: Collection[str]) -> Machine:
    """The node, with what is taken of it: also by an attempt that was taken from it, while it says that it has that, and by
    what it has of runs that no queue knows of."""
    there = {*has, *((one.run_id, one.attempt) for one in node.runs if not one.is_over)}
    taken = tuple(requests.get(run_id, _UNKNOWN) for run_id, _ in sorted(there))
    is_usable = node.status in ACTIVE and bool(node.token_id) and not node.is_drained and node.node_id not in closed
    return Machine(node.node_id, node.capacity, taken, is_usable)


def _keep_off(found: list[Any], has: dict[str, set[tuple[str, int]]], given_up: Collection[str]) -> dict[str, tuple[str, ...]]:
    """By run: nodes that still have something of it."""
    off: dict[str, list[str]] = {}
    for node in found:
        if node.node_id not in given_up:
            listed = {one.run_id for one in node.runs if not one.is_over}
            for run_id in listed | {run_id for run_id, _ in has.get(node.node_id, ())}:
                off.setdefault(run_id, []).append(node.hostname)
    return {run_id: tuple(hostnames) for run_id, hostnames in off.items()}


def _wanted(row: Any, keep_off: tuple[str, ...]) -> Wanted:
    fields = ("run_id", "node_count", "request", "priority", "submitted_ns", "queued_ns")
    return Wanted(**{name: getattr(row, name) for name in fields}, keep_off=keep_off)


def _give(connection: Connection, row: Any, node_ids: tuple[str, ...], now_ns: int) -> Changes:
    parts = [
        {
            "run_id": row.run_id,
            "attempt": row.attempt,
            "node_rank": rank,
            "node_id": node_id,
            "placed_ns": now_ns,
            "is_taken": False,
        }
        for rank, node_id in enumerate(node_ids)
    ]
    connection.execute(sa.insert(placements), parts)
    placed = {"stage": PLACED, "placed_ns": now_ns, "waits_for": ""}
    connection.execute(sa.update(queue).where(queue.c.run_id == row.run_id).values(placed))
    bump(connection, node_ids)
    standing.refresh(connection, row.run_id)
    return Changes(frozenset(node_ids), frozenset({row.run_id}))
