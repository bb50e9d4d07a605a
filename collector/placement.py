"""Opening streams: their rows in the catalog, and the steps that put their files where generations.py wants them.

Reads from and writes to the tables `streams`, `gaps`, `seals`, and moves and creates files in the store. All of it blocks.
Three steps, and what a crash behind each leaves:
 1. `plan` commits the rows as they will be, the new one with is_placed = false: the earlier generation's file may still lie
    under the new one's path;
 2. `Store.place` gives it its own path and creates the new file, both safe from a power cut; again, it changes nothing;
 3. `confirm` commits is_placed = true. A stream's id is told to nobody before this.
`recover` takes steps 2 and 3 at the start for whatever a crash left between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .generations import Chains, Generation, generations_of
from .messages import StreamToOpen
from .problems import Problem, removed
from .schema import gaps, nodes, runs, seals, streams
from .store import Store

# Stands for the node of the run-level files, which are the collector's own: they lie in the run's folder itself.
RUN_LEVEL = ""

_BATCH = 500  # ids in one query: SQLite and PostgreSQL both limit the parameters


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream as the catalog knows it."""

    id: int
    run_id: str
    node_id: str
    attempt: int
    name: str
    generation: int
    source_id: str
    path: str
    folder: str
    key: str
    is_superseded: bool
    sealed_length: int | None
    sha256: str | None
    gaps: tuple[tuple[int, int], ...]
    removed_ns: int | None = None  # since when its bytes are gone

    @property
    def full_path(self) -> str:
        """Below the run's folder."""
        return f"{self.folder}/{self.path}" if self.folder else self.path


@dataclass(frozen=True, slots=True)
class Step:
    """The file of stream `id` is created under `key`; what lies there is stream `earlier_id` and goes to `earlier_key`."""

    id: int
    key: str
    earlier_id: int | None = None
    earlier_key: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All streams asked for, in that order, and the steps that are still to be taken, in this order."""

    ids: tuple[int, ...]
    steps: tuple[Step, ...]


def rows_by_id(connection: Connection, ids: Sequence[int]) -> list[StreamRow]:
    """The placed streams among `ids`, in the order of the ids."""
    found: dict[int, StreamRow] = {}
    for start in range(0, len(ids), _BATCH):
        rows = _rows(connection, streams.c.id.in_(ids[start : start + _BATCH]))
        found.update((row.id, row) for row in rows)
    return [found[stream_id] for stream_id in dict.fromkeys(ids) if stream_id in found]


def rows_of_run(connection: Connection, run_id: str, node_id: str | None = None) -> list[StreamRow]:
    """All placed streams of a run (or of one of its nodes), in the order in which they were opened."""
    condition = streams.c.run_id == run_id
    return _rows(connection, condition if node_id is None else condition & (streams.c.node_id == node_id))


def rows_of_name(connection: Connection, run_id: str, name: str) -> list[StreamRow]:
    """All placed streams of a run whose own name is `name`."""
    return _rows(connection, (streams.c.run_id == run_id) & (streams.c.name == name))


def _rows(connection: Connection, condition: sa.ColumnElement[bool]) -> list[StreamRow]:
    chosen = condition & streams.c.is_placed
    gap_rows = connection.execute(
        sa.select(gaps.c.stream_id, gaps.c.start, gaps.c.end)
        .join(streams, streams.c.id == gaps.c.stream_id)
        .where(chosen)
        .order_by(gaps.c.stream_id, gaps.c.start)
    )
    gaps_of: dict[int, list[tuple[int, int]]] = {}
    for stream_id, start, end in gap_rows:
        gaps_of.setdefault(stream_id, []).append((start, end))
    query = (
        sa.select(streams, runs.c.experiment, runs.c.removed_ns, nodes.c.folder, seals.c.length, seals.c.sha256)
        .join(runs, runs.c.run_id == streams.c.run_id)
        .outerjoin(nodes, (nodes.c.run_id == streams.c.run_id) & (nodes.c.node_id == streams.c.node_id))
        .outerjoin(seals, seals.c.stream_id == streams.c.id)
        .where(chosen)
        .order_by(streams.c.id)
    )
    return [_row(row, merged(gaps_of.get(row.id, []))) for row in connection.execute(query)]


def _row(row: Any, gaps_of_row: tuple[tuple[int, int], ...]) -> StreamRow:
    return StreamRow(
        id=row.id,
        run_id=row.run_id,
        node_id=row.node_id,
        attempt=row.attempt,
        name=row.name,
        generation=row.generation,
        source_id=row.source_id,
        path=row.path,
        folder=row.folder or "",
        key=_key(row.experiment, row.run_id, row.folder or "", row.path),
        is_superseded=row.is_superseded,
        sealed_length=row.length,
        sha256=row.sha256,
        gaps=gaps_of_row,
        removed_ns=row.removed_ns,
    )


def _key(experiment: str, run_id: str, folder: str, path: str) -> str:
    return f"{experiment}/{run_id}/{folder}/{path}" if folder else f"{experiment}/{run_id}/{path}"


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges sorted, those that touch or overlap made one."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return tuple(result)


def plan(connection: Connection, run_id: str, node_id: str, attempt: int, wanted: Sequence[StreamToOpen]) -> Plan:
    """Step 1: finds or inserts the row of each wanted stream."""
    place = connection.execute(
        sa.select(runs.c.experiment, runs.c.removed_ns, runs.c.removed_why, nodes.c.folder)
        .outerjoin(nodes, (nodes.c.run_id == runs.c.run_id) & (nodes.c.node_id == node_id))
        .where(runs.c.run_id == run_id)
    ).first()
    if place is None or (place.folder is None and node_id != RUN_LEVEL):
        raise Problem(404, "no-such-node", f"node {node_id} has not registered with run {run_id}")
    if place.removed_ns is not None:
        raise removed(run_id, place.removed_ns, place.removed_why)
    chains = Chains(connection, run_id, node_id, attempt)
    chosen = [chains.find_or_add(one) for one in wanted]
    chains.insert_added()
    ids = [one.id for one in chosen]
    touched = [chains.by_name[name] for name in dict.fromkeys(one.name for one in wanted)]
    return Plan(tuple(ids), _steps(touched, place.experiment, run_id, place.folder or ""))


def _steps(chains: Iterable[list[Generation]], experiment: str, run_id: str, folder: str) -> tuple[Step, ...]:
    steps = []
    for chain in chains:
        for position, one in enumerate(chain):
            if one.is_placed:
                continue
            # All generations are created under the path of the last one: an earlier one has moved away by its successor's step.
            key = _key(experiment, run_id, folder, chain[-1].path)
            if position:
                earlier = chain[position - 1]
                steps.append(Step(one.id, key, earlier.id, _key(experiment, run_id, folder, earlier.path)))
            else:
                steps.append(Step(one.id, key))
    return tuple(steps)


def place(store: Store, steps: Iterable[Step]) -> None:
    """Step 2."""
    store.place((step.key, step.earlier_key) for step in steps)


def confirm(connection: Connection, steps: Iterable[Step]) -> None:
    """Step 3."""
    ids = [step.id for step in steps]
    for start in range(0, len(ids), _BATCH):
        chosen = streams.c.id.in_(ids[start : start + _BATCH])
        connection.execute(sa.update(streams).where(chosen).values(is_placed=True))


def withdraw(connection: Connection, steps: Iterable[Step]) -> None:
    """Takes back the rows of streams that cannot be placed and that nobody was told of. What superseded another one stays: the
    next request for it, or the next start, tries again."""
    for step in steps:
        if step.earlier_id is None:
            connection.execute(sa.delete(streams).where((streams.c.id == step.id) & ~streams.c.is_placed))


def unplaced(connection: Connection) -> list[Step]:
    """The steps that a crash has left to be taken."""
    query = (
        sa.select(streams.c.run_id, streams.c.node_id, streams.c.attempt, streams.c.name, runs.c.experiment, nodes.c.folder)
        .join(runs, runs.c.run_id == streams.c.run_id)
        .outerjoin(nodes, (nodes.c.run_id == streams.c.run_id) & (nodes.c.node_id == streams.c.node_id))
        .where(~streams.c.is_placed)
        .distinct()
    )
    steps: list[Step] = []
    for row in connection.execute(query).all():
        same = (streams.c.attempt == row.attempt) & (streams.c.name == row.name)
        found = connection.execute(generations_of(row.run_id, row.node_id).where(same))
        chain = [Generation(one.id, one.generation, one.path, one.is_placed) for one in found]
        steps += _steps([chain], row.experiment, row.run_id, row.folder or "")
    return steps
