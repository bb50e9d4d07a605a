"""The catalog of runs: creating them, what their nodes say, and the answers about one run.

Reads from and writes to the tables `runs`, `tags`, `nodes`, `processes`. Every function blocks and gets the connection of its
transaction; collector/database.py runs it in a thread. Lists are in listing.py, streams in placement.py.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import auth, failures, progress, rendezvous, standing, state
from .answers import Node, ProcessOfRun
from .auth import Principal
from .cluster import admission
from .cluster.changes import NOTHING, Changes
from .merge.runs import merged
from .messages import CreateRun, RegisterNode
from .problems import Problem, no_such_run, removed
from .report import NodeState, Process
from .schema import nodes, processes, queue, runs, tags
from .state import State
from .tracking import experiments, journals

# Stands for the node of a run before one has registered: its creation was the last sign of life.
NO_NODE = ""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the catalog knows it. `silent_if` are the nodes that have not ended: one of them silent, and the run does not
    respond. `heard` is when each node was heard from, as far as it was written down."""

    row: Any
    tags: dict[str, str]
    heard: dict[str, int | None]
    silent_if: tuple[str, ...]
    folders: dict[str, str]
    experiment: str  # its name; the row has its folder
    is_merged: bool
    is_applied: bool  # the records that its nodes have sealed
    in_queue: Any = None  # its row of `queue`, without what it asks for; None where it is of none

    @property
    def is_complete(self) -> bool:
        """Whether nothing more comes: its nodes have said so, their records are applied, and where there are several its
        run-level files are sealed."""
        return bool(self.row.is_complete) and self.is_merged and self.is_applied

    @property
    def state(self) -> State:
        """What the nodes said."""
        return State(**{field: getattr(self.row, field) for field in State.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Heard:
    """What a node's word has led to: the run as it is then, None where nothing changed; and what the node is asked to do.
    `is_calm`: the same word again would be answered the same, until something else is told of the run."""

    row: RunRow | None
    stop: dict[str, Any] | None
    watched: progress.Watched
    is_calm: bool = False


@dataclass(frozen=True, slots=True)
class Created:
    """What the creation of a run has led to. `lost`: its node has executed this attempt before, and is not to do it again."""

    is_new: bool = False
    lost: Changes = NOTHING


# What is shown of a queue's row.
_OF_QUEUE = [queue.c[name] for name in ("run_id", "cluster", "stage", "submitted_ns", "placed_ns", "waits_for", "attempt")]
NOTHING_NEW = Heard(None, None, progress.UNWATCHED, is_calm=True)


def create_run(connection: Connection, wanted: CreateRun, who: Principal) -> Created:
    """Adds the run and its token; it is not new where it is there with the same key, or where a further node has joined it.
    Raises a 409 where the id is taken, or where the node cannot be one of this run; a 403 where a run may not make this one."""
    auth.require_parent(connection, who, wanted.parent_run_id)
    key_sha256 = hashlib.sha256(wanted.key.encode()).hexdigest()
    known = connection.execute(sa.select(runs).where(runs.c.run_id == wanted.run_id)).first()
    if known is not None:
        place = standing.of(connection, wanted.run_id)
        has_token_of = known.node_count > 1 or place is not None
        is_ours = has_token_of and rendezvous.is_of_run(connection, wanted.run_token_sha256, wanted.run_id)
        if known.key_sha256 == key_sha256 or is_ours:
            return Created()
        if place is not None:
            return Created(lost=admission.admit(connection, place, wanted, who))
        rendezvous.join_run(connection, known, wanted, who)
        return Created()
    auth.require_new(connection, wanted.run_token_sha256)
    add_run(connection, wanted, rendezvous.name_of(who), key_sha256)
    rendezvous.take_seat(connection, wanted)
    auth.insert(connection, secrets.token_hex(8), wanted.run_token_sha256, auth.RUN, wanted.run_id)
    return Created(is_new=True)


def add_run(connection: Connection, wanted: CreateRun, creator: str, key_sha256: str) -> None:
    """A new run with its tags, and nobody who has a token of it yet."""
    fields = (
        *("run_id", "name", "cwd", "user", "hostname", "timeout_s", "created_ns"),
        *("node_count", "world_size", "on_failure", "failure_grace_s"),
    )
    values = {field: getattr(wanted, field) for field in fields}
    values |= {"key_sha256": key_sha256, "command": json.dumps(wanted.command)} | asdict(State())
    values |= {"attempt": 0, "creator": creator, "secret": ""}
    values |= {"cancel_reason": "", "is_pinned": False, "removed_why": ""}
    values |= {"kind": wanted.kind, "parent_run_id": wanted.parent_run_id, "is_client_run": False, "hint": ""}
    values |= experiments.enter(connection, wanted.experiment)
    connection.execute(sa.insert(runs).values(values))
    rows = [{"run_id": wanted.run_id, "key": key, "value": value} for key, value in wanted.tags.items()]
    if rows:
        connection.execute(sa.insert(tags), rows)


def require_run(connection: Connection, run_id: str) -> None:
    """Raises a 404 where there is no such run."""
    if connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == run_id)).first() is None:
        raise no_such_run(run_id)


def require_kept(connection: Connection, run_id: str) -> None:
    """Raises a 404 where there is no such run, and a 410 where its files were removed."""
    query = sa.select(runs.c.removed_ns, runs.c.removed_why).where(runs.c.run_id == run_id)
    known = connection.execute(query).first()
    if known is None:
        raise no_such_run(run_id)
    if known.removed_ns is not None:
        raise removed(run_id, known.removed_ns, known.removed_why)


def run(connection: Connection, run_id: str) -> RunRow:
    """One run; raises a 404."""
    row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
    if row is None:
        raise no_such_run(run_id)
    return with_details(connection, [row])[0]


def with_details(connection: Connection, rows: list[Any]) -> list[RunRow]:
    """The rows of `runs` with what the other tables hold of them."""
    ids = [row.run_id for row in rows]
    tags_of: dict[str, dict[str, str]] = {run_id: {} for run_id in ids}
    for tag in connection.execute(sa.select(tags).where(tags.c.run_id.in_(ids)).order_by(tags.c.key)):
        tags_of[tag.run_id][tag.key] = tag.value
    heard: dict[str, dict[str, int | None]] = {run_id: {} for run_id in ids}
    silent_if: dict[str, list[str]] = {run_id: [] for run_id in ids}
    folders: dict[str, dict[str, str]] = {run_id: {} for run_id in ids}
    queued = {row.run_id: row for row in connection.execute(sa.select(*_OF_QUEUE).where(queue.c.run_id.in_(ids)))}
    attempts = {row.run_id: row.attempt for row in rows}
    columns = (nodes.c.run_id, nodes.c.node_id, nodes.c.heard_ns, nodes.c.status, nodes.c.folder, nodes.c.attempt)
    for node in connection.execute(sa.select(*columns).where(nodes.c.run_id.in_(ids))):
        folders[node.run_id][node.node_id] = node.folder
        heard[node.run_id][node.node_id] = node.heard_ns
        is_given_up = node.run_id in queued and node.attempt < attempts[node.run_id]
        if node.status not in state.FINAL and not is_given_up:
            silent_if[node.run_id].append(node.node_id)
    for row in rows:  # no node has come, or all that have come have ended; a queue knows itself whom it has given a run to
        is_of_nodes = row.run_id not in queued and not row.is_client_run
        if not silent_if[row.run_id] and row.status not in state.FINAL and is_of_nodes:
            silent_if[row.run_id].append(NO_NODE)
    ended = [row.run_id for row in rows if row.is_complete and folders[row.run_id]]
    several = [row.run_id for row in rows if max(row.node_count, len(folders[row.run_id])) > 1]
    unmerged = {*ended}.intersection(several) - merged(connection, ended)
    unapplied = journals.unapplied_of(connection, ended)
    names = experiments.names(connection, {row.experiment for row in rows})
    return [
        RunRow(row, tags_of[row.run_id], heard[row.run_id], tuple(silent_if[row.run_id]), folders[row.run_id],
               experiment=names.get(row.experiment, row.experiment), is_merged=row.run_id not in unmerged,
               is_applied=row.run_id not in unapplied, in_queue=queued.get(row.run_id))
        for row in rows
    ]  # fmt: skip


def nodes_of(connection: Connection, run_id: str) -> list[Node]:
    """The nodes of a run, by folder."""
    fields = Node.__struct_fields__
    query = sa.select(*(nodes.c[field] for field in fields)).where(nodes.c.run_id == run_id).order_by(nodes.c.folder)
    return [Node(**row._mapping) for row in connection.execute(query)]


def processes_of(connection: Connection, run_id: str) -> list[ProcessOfRun]:
    """The processes of a run's newest attempt, by rank."""
    fields = (field for field in ProcessOfRun.__struct_fields__ if field != "progress")
    newest = sa.select(runs.c.attempt).where(runs.c.run_id == run_id).scalar_subquery()
    current = sa.select(nodes.c.node_id).where((nodes.c.run_id == run_id) & (nodes.c.attempt == newest))
    ours = (processes.c.run_id == run_id) & processes.c.node_id.in_(current)
    query = sa.select(*(processes.c[field] for field in fields)).where(ours)
    rows = connection.execute(query.order_by(processes.c.rank, processes.c.node_id))
    known = progress.of_run(connection, run_id)
    return [ProcessOfRun(**row._mapping, progress=known.get((row.node_id, row.rank))) for row in rows]


def register_node(connection: Connection, run_id: str, node: RegisterNode) -> str:
    """The folder of the node's files; the node is added where it is new."""
    require_run(connection, run_id)
    known: dict[str, str] = {row.node_id: row.folder for row in connection.execute(_folders(run_id))}
    if node.node_id in known:
        return known[node.node_id]
    folder = node.ip
    if folder in known.values():
        folder = f"{node.ip}_{node.node_id[:8]}"
    if folder in known.values():  # a third node with this address whose id starts as the second one's
        folder = f"{node.ip}_{node.node_id}"
    values: dict[str, Any] = {"run_id": run_id, "node_id": node.node_id, "ip": node.ip, "hostname": node.hostname}
    place = standing.of(connection, run_id)
    attempt = place.attempt if place is not None and node.node_id in place.holders else 0
    values |= {"folder": folder, "seq": -1, "heard_ns": time.time_ns(), "transitions": [], "attempt": attempt, "earlier": []}
    values |= asdict(State())
    connection.execute(sa.insert(nodes).values(values))
    standing.refresh(connection, run_id)
    return folder


def _folders(run_id: str) -> sa.Select[Any]:
    return sa.select(nodes.c.node_id, nodes.c.folder).where(nodes.c.run_id == run_id)


def put_state(connection: Connection, run_id: str, node_id: str, told: NodeState) -> Heard:
    """Writes down what a node says, unless it has said something newer before."""
    require_run(connection, run_id)
    this_node = (nodes.c.run_id == run_id) & (nodes.c.node_id == node_id)
    known = connection.execute(sa.select(nodes).where(this_node)).first()
    if known is None:
        raise Problem(404, "no-such-node", f"node {node_id[:64]!r} has not registered with run {run_id}")
    row = None
    if (told.attempt, told.seq) > (known.attempt, known.seq):
        values: dict[str, Any] = {field: getattr(told, field) for field in State.__dataclass_fields__}
        values["is_complete"] = told.is_complete and told.status in state.FINAL
        values |= {"transitions": told.transitions, "attempt": told.attempt, "earlier": told.earlier}
        is_news = any(getattr(known, field) != value for field, value in values.items())
        values |= {"seq": told.seq, "heard_ns": time.time_ns(), "clock": told.clock or known.clock}
        failed_ns = known.failed_ns if known.attempt == told.attempt else None
        values["failed_ns"] = failed_ns or (time.time_ns() if failures.is_one(told) else None)
        connection.execute(sa.update(nodes).where(this_node).values(values))
        is_news |= _replace_processes(connection, run_id, node_id, progress.without(told.processes))
        progress.note(connection, run_id, node_id, told)
        if is_news:  # a thousand nodes that say again what they have said must not cost a look at a thousand nodes each
            standing.refresh(connection, run_id)
            row = run(connection, run_id)
    this_run = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one()
    stop = _stop_for(connection, this_run, node_id, told)
    # A failure's grace runs out without anybody's word.
    return Heard(row, stop, progress.watched(connection, run_id, told), is_calm=stop is None and this_run.failed_ns is None)


def _stop_for(connection: Connection, this_run: Any, node_id: str, told: NodeState) -> dict[str, Any] | None:
    if told.status in state.FINAL or told.status == "Finalizing":
        return None
    reason = standing.why_fenced(connection, this_run, node_id, told.attempt)
    if reason:
        return failures.stop(reason, is_failure=this_run.cancel_ns is None)
    return failures.stop_for(connection, this_run, node_id)


def _replace_processes(connection: Connection, run_id: str, node_id: str, told: list[Process]) -> bool:
    """Whether they are others than were known."""
    mine = (processes.c.run_id == run_id) & (processes.c.node_id == node_id)
    fields = [field for field in Process.__struct_fields__ if field != "progress"]
    query = sa.select(*(processes.c[field] for field in fields)).where(mine).order_by(processes.c.rank)
    known = [Process(**row._mapping) for row in connection.execute(query)]
    if known == sorted(told, key=lambda process: process.rank):
        return False
    connection.execute(sa.delete(processes).where(mine))
    owner = {"run_id": run_id, "node_id": node_id}
    rows = [owner | {field: getattr(process, field) for field in fields} for process in told]
    if rows:
        connection.execute(sa.insert(processes), rows)
    return True


_THAT_NODE = (nodes.c.run_id == sa.bindparam("of_run")) & (nodes.c.node_id == sa.bindparam("of_node"))
_HEARD = sa.update(nodes).where(_THAT_NODE).values(heard_ns=sa.bindparam("at_ns"))


def flush_heard(connection: Connection, heard: Mapping[tuple[str, str], int]) -> None:
    """Writes down when nodes were heard from."""
    rows = [{"of_run": run_id, "of_node": node_id, "at_ns": heard_ns} for (run_id, node_id), heard_ns in heard.items()]
    if rows:
        connection.execute(_HEARD, rows)


def nodes_of_token(connection: Connection, kind: str, subject: str) -> set[tuple[str, str]]:
    """The (run, node) that a request naming no stream is a sign of life of: the token's node in every run that has not ended,
    or the only node of the token's run."""
    if kind == auth.RUN:
        found = [(subject, row.node_id) for row in connection.execute(_folders(subject))]
        return set(found) if len(found) == 1 else set()
    query = sa.select(nodes.c.run_id, nodes.c.node_id)
    mine = (nodes.c.node_id == subject) & nodes.c.status.not_in(state.FINAL)
    return {(row.run_id, row.node_id) for row in connection.execute(query.where(mine))} if kind == auth.NODE else set()
