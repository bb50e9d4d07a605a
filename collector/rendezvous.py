"""How the nodes of a run come together: joining the run that the first of them created, and meeting before they start.

Reads from and writes to the tables `runs`, `members` and `tokens`; all that is known lies there, so a collector that was killed
goes on where it was. A row of `members` is a node rank that a node has taken; its port is 0 until that node is ready to meet.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import auth, failures, state
from .answers import Member
from .auth import Principal
from .messages import CreateRun, Rendezvous
from .problems import Problem, invalid, no_such_run, not_allowed
from .schema import cluster_nodes, members, runs, tokens

# What all nodes of a run have to say alike.
_SAME = ("experiment", "command", "node_count", "world_size", "on_failure", "failure_grace_s")


class Meetings:
    """Wakes the nodes that wait for the others of their run. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._events: dict[str, asyncio.Event] = {}
        self.is_closing = False

    def event(self, run_id: str) -> asyncio.Event:
        """Set at the run's next change; asked for before one looks, so that no change is missed."""
        return self._events.setdefault(run_id, asyncio.Event())

    def changed(self, run_id: str) -> None:
        """The nodes of the run are together, or cannot come together any more."""
        event = self._events.pop(run_id, None)
        if event is not None:
            event.set()

    def close(self) -> None:
        """The collector stops: nobody is kept waiting."""
        self.is_closing = True
        for run_id in list(self._events):
            self.changed(run_id)


@dataclass(frozen=True, slots=True)
class Meeting:
    """Who has come, by node rank; `trouble` says why the nodes will not come together any more."""

    members: list[Member]
    is_whole: bool
    secret: str
    trouble: str = ""


def join_run(connection: Connection, known: Any, wanted: CreateRun, who: Principal) -> None:
    """A further node of the run `known`: its token is added. Raises a 409 where it is another run, a 403 where another's."""
    run_id = wanted.run_id
    if known.node_count == 1 or known.status in state.FINAL:
        over = " that is over" if known.node_count > 1 else ""
        raise Problem(409, "run-id-taken", f"there is another run {run_id!r}{over}; choose another run id")
    for name in _SAME:
        mine, theirs = getattr(wanted, name), getattr(known, name)
        theirs = json.loads(theirs) if name == "command" else theirs
        if mine != theirs:
            words = f"{name} is {_short(mine)} here and {_short(theirs)} there"
            raise Problem(409, "run-differs", f"the nodes of run {run_id!r} have to be told the same: {words}")
    if who.kind != auth.ADMIN and name_of(who) != known.creator and not _is_beside(connection, who, known.creator):
        raise not_allowed(f"run {run_id!r} is somebody else's; a further node needs a token of whoever created it", "not-yours")
    auth.require_new(connection, wanted.run_token_sha256)
    take_seat(connection, wanted)
    auth.insert(connection, secrets.token_hex(8), wanted.run_token_sha256, auth.RUN, run_id)


def _is_beside(connection: Connection, who: Principal, creator: str) -> bool:
    """Whether both are nodes of one cluster: their queue's run, which a restored collector has forgotten, is made anew by
    whichever comes first."""
    kind, _, node_id = creator.partition(" ")
    if not who.kind == kind == auth.NODE:
        return False
    both = cluster_nodes.c.node_id.in_((who.subject, node_id))
    found = connection.execute(sa.select(cluster_nodes.c.cluster).where(both)).scalars().all()
    return len(found) == 2 and len({*found}) == 1


def name_of(who: Principal) -> str:
    """Who has created a run, as the catalog keeps it; empty: the administrator."""
    return "" if who.kind == auth.ADMIN else f"{who.kind} {who.subject}"


def is_of_run(connection: Connection, digest: str, run_id: str) -> bool:
    """Whether the token with this SHA-256 is one of the run's own."""
    query = sa.select(tokens.c.token_id).where((tokens.c.sha256 == digest) & (tokens.c.kind == auth.RUN))
    return connection.execute(query.where(tokens.c.subject == run_id)).first() is not None


def take_seat(connection: Connection, wanted: CreateRun) -> None:
    """The node takes its rank, where it tells one: another one with the same rank is refused before it does any harm."""
    if wanted.node_rank is None or wanted.node_id is None or wanted.node_count == 1:
        return
    _require_seat(connection, wanted.run_id, wanted.node_count, wanted.node_id, wanted.node_rank, wanted.attempt)
    seat = {"node_id": wanted.node_id, "ip": "", "hostname": wanted.hostname, "port": 0, "processes": 0, "ranks": []}
    _sit(connection, wanted.run_id, wanted.node_rank, wanted.attempt, seat)


def _require_seat(connection: Connection, run_id: str, node_count: int, node_id: str, rank: int, attempt: int) -> None:
    """Raises a 400 or a 409 where this node cannot have this rank."""
    if rank >= node_count:
        raise invalid(f"node_rank {rank} is not below {node_count}, the node_count of run {run_id!r}")
    mine = (members.c.run_id == run_id) & (members.c.attempt == attempt)
    query = sa.select(members).where(mine & ((members.c.node_rank == rank) | (members.c.node_id == node_id)))
    for other in connection.execute(query):
        place = f"{other.hostname}{f' ({other.ip})' if other.ip else ''}"
        if other.node_id != node_id:
            detail = f"node rank {rank} of run {run_id!r} is taken by {place}; give this node another --node-rank"
            raise Problem(409, "rank-taken", detail)
        if other.node_rank != rank:
            detail = (
                f"node ranks {other.node_rank} and {rank} of run {run_id!r} have the same spool (node id {node_id}, {place})"
            )
            raise Problem(409, "spool-shared", f"{detail}; spool.dir has to be a folder of its own on each node")


def _sit(connection: Connection, run_id: str, rank: int, attempt: int, seat: dict[str, Any]) -> None:
    key = (members.c.run_id == run_id) & (members.c.attempt == attempt) & (members.c.node_rank == rank)
    known = connection.execute(sa.select(members.c.port).where(key)).first()
    if known is None:
        place = {"run_id": run_id, "attempt": attempt, "node_rank": rank, "joined_ns": time.time_ns()}
        connection.execute(sa.insert(members).values(place | seat))
    elif seat["port"]:  # who has only taken its seat takes nothing back
        connection.execute(sa.update(members).where(key).values(seat))


def meet(connection: Connection, run_id: str, mine: Rendezvous) -> Meeting:
    """The node is ready to meet the others: who else is. A node that comes again is heard as long as not all have come."""
    run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
    if run is None:
        raise no_such_run(run_id)
    _require_seat(connection, run_id, run.node_count, mine.node_id, mine.node_rank, mine.attempt)
    before = look(connection, run_id, mine.attempt)
    if before.is_whole or before.trouble:
        return before
    seat = {name: getattr(mine, name) for name in ("node_id", "ip", "hostname", "port", "processes", "ranks")}
    _sit(connection, run_id, mine.node_rank, mine.attempt, seat)
    after = look(connection, run_id, mine.attempt)
    if after.is_whole and not run.secret:
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(secret=secrets.token_hex(32)))
        return look(connection, run_id, mine.attempt)
    return after


def look(connection: Connection, run_id: str, attempt: int) -> Meeting:
    """Who has come so far."""
    run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
    if run is None:
        raise no_such_run(run_id)
    come = (members.c.run_id == run_id) & (members.c.attempt == attempt) & (members.c.port != 0)
    fields = Member.__struct_fields__
    query = sa.select(*(members.c[field] for field in fields)).where(come).order_by(members.c.node_rank)
    found = [Member(**row._mapping) for row in connection.execute(query)]
    is_whole = len(found) == run.node_count
    return Meeting(found, is_whole, run.secret if is_whole else "", "" if is_whole else _trouble(connection, run, attempt))


def _trouble(connection: Connection, run: Any, attempt: int) -> str:
    if attempt < run.attempt:
        return f"attempt {run.attempt} of the run has begun on another node"
    failure = None
    if run.failed_ns is not None and attempt == run.attempt:  # what ended an earlier attempt does not keep this one back
        failure = failures.first(connection, run.run_id, attempt)
    if failure is not None:
        return f"the run has failed on another node: {failure.sentence}"
    if run.cancel_ns is not None:
        return f"the run was canceled: {run.cancel_reason}"
    over = f"the run is over ({run.status})" if run.status in state.FINAL else ""
    return failures.canceled(connection, run.run_id) or over


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "…"
