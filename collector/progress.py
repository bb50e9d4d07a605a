"""How far the processes of a run have come, who of them has stalled, and whether their stacks are wanted.

Reads from and writes to the tables `progress` and `stack_requests`. Of runs that nobody watches there is nothing in them. Every
function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .report import NodeState, Process, Progress
from .schema import progress, stack_requests


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
    before: dict[int, Progress] = known.ranks if known is not None and known.attempt == told.attempt else {}
    if any(one.stalls > (before[rank].stalls if rank in before else 0) for rank, one in ranks.items()):
        want_stacks(connection, run_id)


def of_run(connection: Connection, run_id: str) -> Mapping[tuple[str, int], Progress]:
    """What is known, by node and rank."""
    rows = connection.execute(sa.select(progress).where(progress.c.run_id == run_id))
    return {(row.node_id, rank): one for row in rows for rank, one in row.ranks.items()}


def want_stacks(connection: Connection, run_id: str) -> int:
    """Ask every node of the run for the stacks of its processes; the number of this request."""
    this_run = stack_requests.c.run_id == run_id
    number = wanted(connection, run_id) + 1
    if number == 1:
        connection.execute(sa.insert(stack_requests).values(run_id=run_id, number=number))
    else:
        connection.execute(sa.update(stack_requests).where(this_run).values(number=number))
    return number


def wanted(connection: Connection, run_id: str) -> int:
    """The number of the newest request; 0 where there was none."""
    return connection.execute(sa.select(stack_requests.c.number).where(stack_requests.c.run_id == run_id)).scalar() or 0
