"""How far the processes of a run have come, who of them has stalled, and whether their stacks are wanted.

Reads from and writes to the tables `progress` and `watched_runs`. Of runs that nobody watches there is nothing in them. Every
function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .answers import Front
from .report import NodeState, Process, Progress
from .schema import progress, watched_runs


@dataclass(frozen=True, slots=True)
class Watched:
    """What a node of a watched run is told: the number of the newest request for stacks, and how far others have come."""

    want_stacks: int
    front: Front | None


UNWATCHED = Watched(0, None)


def without(processes: Sequence[Process]) -> list[Process]:
    """The processes without their progress, which changes so often that it is kept apart."""
    return [msgspec.structs.replace(process, progress=None) if process.progress else process for process in processes]


def note(connection: Connection, run_id: str, node_id: str, told: NodeState) -> None:
    """Write down what a node tells; a stall that is new makes the stacks of all nodes wanted."""
    ranks = {process.rank: process.progress for process in told.processes if process.progress is not None}
    if not ranks:
        return
    this_node = (progress.c.run_id == run_id) & (progress.c.node_id == node_id)
    known = connection.execute(sa.select(progress).where(this_node)).first()
    values: dict[str, Any] = {"attempt": told.attempt, "ranks": ranks}
    if known is None:
        connection.execute(sa.insert(progress).values(run_id=run_id, node_id=node_id, **values))
    elif known.ranks != ranks or known.attempt != told.attempt:
        connection.execute(sa.update(progress).where(this_node).values(values))
    _note_front(connection, run_id, told.attempt, ranks)
    before: dict[int, Progress] = known.ranks if known is not None and known.attempt == told.attempt else {}
    if any(one.stalls > (before[rank].stalls if rank in before else 0) for rank, one in ranks.items()):
        want_stacks(connection, run_id)


def of_run(connection: Connection, run_id: str) -> Mapping[tuple[str, int], Progress]:
    """What is known, by node and rank."""
    rows = connection.execute(sa.select(progress).where(progress.c.run_id == run_id))
    return {(row.node_id, rank): one for row in rows for rank, one in row.ranks.items()}


def want_stacks(connection: Connection, run_id: str) -> int:
    """Ask every node of the run for the stacks of its processes; the number of this request."""
    known = _row(connection, run_id)
    number = 1 if known is None else int(known.wanted) + 1
    _put(connection, run_id, known, {"wanted": number})
    return number


def watched(connection: Connection, run_id: str, told: NodeState) -> Watched:
    """What a node that tells progress is told in turn."""
    if not any(process.progress for process in told.processes):
        return UNWATCHED
    row = _row(connection, run_id)
    if row is None:
        return UNWATCHED
    front = Front(done=row.done, total=row.total) if row.done and row.attempt == told.attempt else None
    return Watched(int(row.wanted), front)


def _note_front(connection: Connection, run_id: str, attempt: int, ranks: Mapping[int, Progress]) -> None:
    """Keep how far the foremost rank has come. Where ranks count different things, these take turns here."""
    told = max(((one.done, one.total) for one in ranks.values() if one.done), key=lambda pair: pair[0], default=None)
    known = _row(connection, run_id)
    if told is None or (known is not None and attempt < known.attempt):
        return
    done, total = told
    if known is None or (known.attempt, known.total) != (attempt, total) or known.done < done:
        _put(connection, run_id, known, {"attempt": attempt, "done": done, "total": total})


def _row(connection: Connection, run_id: str) -> Any:
    return connection.execute(sa.select(watched_runs).where(watched_runs.c.run_id == run_id)).first()


def _put(connection: Connection, run_id: str, known: Any, values: dict[str, Any]) -> None:
    if known is None:
        whole = {"run_id": run_id, "wanted": 0, "attempt": 0, "done": 0, "total": None} | values
        connection.execute(sa.insert(watched_runs).values(whole))
    else:
        connection.execute(sa.update(watched_runs).where(watched_runs.c.run_id == run_id).values(values))
