"""Removes the files of runs that have ended: at an age, and the oldest ones of an experiment that has become too large.

Reads the catalog; writes to the table `runs` that and why the files are gone, forgets what was uploaded, and removes all from
the stores. What stays of a run is all else that the catalog knows: its state, its processes, the names, lengths and digests of
its files. The files of its children lie with its own, and go with them. A blob goes when no file has it any more.
What survives a crash: the mark, which is committed before the first file goes. From then on nobody is given a byte of the run,
and what is left of its files is removed by the next start. Pinned runs and runs that have not ended are never touched.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from runyard import sizes
from runyard.errors import RunyardError
from runyard.settings import Collector as Settings

from . import catalog, state
from .artifacts import rows as artifact_rows
from .route import Parts
from .schema import nodes, runs, seals, streams
from .store import Store, StoreError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Held:
    """A run whose files are there. `ended_ns`: when its last file was sealed, by the collector's clock, for a node's may be
    years off; of a run whose nodes were lost before they sealed one, when it was settled.
    `may_go`: it has ended, everything of it has come, and it is not pinned."""

    run_id: str
    experiment: str
    size_bytes: int
    ended_ns: int
    may_go: bool


@dataclass(frozen=True, slots=True)
class Marked:
    """What is to be removed: the run's folder and the blobs that no other run has. `run_ids`: the run and its children."""

    folder: str
    run_ids: list[str]
    removed_ns: int
    blobs: list[str]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A run whose files are to go, and why, as a sentence."""

    run_id: str
    why: str


class Retention:
    """Belongs to the event loop's thread; what blocks runs in others."""

    def __init__(self, parts: Parts, settings: Settings) -> None:
        self._parts = parts
        self._settings = settings
        self._left: set[str] = set()  # folders that could not be removed, or that an earlier process may have left

    async def run(self) -> None:
        """Removes what is to go, now and then, until it is cancelled."""
        is_first = True
        while True:
            try:
                if is_first:
                    self._left.update(await self._parts.database.read(removed_folders))
                    is_first = False
                await self._turn()
            except Exception as error:  # whatever it is, what comes in is not touched by it
                log.error("old runs wait to be removed", error=str(error), exc_info=not isinstance(error, RunyardError))
            await asyncio.sleep(self._settings.remove_interval_s)

    async def _turn(self) -> None:
        for folder in sorted(self._left):
            await self._remove(folder)
        await self._parts.artifacts.drop_unused()
        if not (self._settings.keep_runs_s or self._settings.keep_experiment_bytes):
            return
        parts = self._parts
        held, unsealed = await parts.database.read(lambda connection: (held_runs(connection), unsealed_keys(connection)))
        sizes = await asyncio.to_thread(_sizes, parts.store, unsealed)
        for one in choose(held, sizes, time.time_ns(), self._settings):
            await self._let_go(one)

    async def _let_go(self, one: Chosen) -> None:
        parts = self._parts
        row = await parts.database.read(catalog.run, one.run_id)
        heard = (parts.pulse.heard_ns(one.run_id, node_id) for node_id in row.heard)
        silent_ns = int(self._settings.lost_contact_s * 1e9)
        if any(heard_ns is not None and time.time_ns() - heard_ns < silent_ns for heard_ns in heard):
            return  # a node may still be writing
        marked = await parts.database.write(mark, one, time.time_ns())
        if marked is None:
            return
        for run_id in marked.run_ids:
            parts.streams.removed(run_id, marked.removed_ns)
            parts.hub.removed(run_id, marked.removed_ns, one.why)
        log.info("the files of a run are removed", run=one.run_id, why=one.why)
        self._left.add(marked.folder)
        await self._remove(marked.folder)
        await parts.artifacts.drop_unused(marked.blobs)

    async def _remove(self, folder: str) -> None:
        try:
            await asyncio.to_thread(self._parts.store.remove, folder)
        except StoreError as error:
            log.error("the files of a run cannot be removed, which is tried again", folder=folder, error=str(error))
        else:
            self._left.discard(folder)


def choose(held: Sequence[Held], unsealed: dict[str, int], now_ns: int, settings: Settings) -> list[Chosen]:
    """Which runs go. `unsealed`: for each experiment the bytes that are not sealed yet. Pure."""
    chosen: dict[str, Chosen] = {}
    oldest_first = sorted((one for one in held if one.may_go), key=lambda one: (one.ended_ns, one.run_id))
    keep_ns = int(settings.keep_runs_s * 1e9)
    for one in oldest_first:
        if keep_ns and now_ns - one.ended_ns > keep_ns:
            why = f"it had ended more than {_span(settings.keep_runs_s)} before (collector.keep_runs_s)"
            chosen[one.run_id] = Chosen(one.run_id, why)
    limit = settings.keep_experiment_bytes
    total: dict[str, int] = defaultdict(int, unsealed)
    for one in held:
        total[one.experiment] += 0 if one.run_id in chosen else one.size_bytes
    for one in oldest_first if limit else ():
        if total[one.experiment] > limit and one.run_id not in chosen and one.size_bytes:
            total[one.experiment] -= one.size_bytes
            why = f"its experiment {one.experiment} was larger than {sizes.text(limit)} (collector.keep_experiment_bytes)"
            chosen[one.run_id] = Chosen(one.run_id, f"{why}, and of its runs that could go it was the one that ended first")
    return list(chosen.values())


def _span(seconds: float) -> str:
    for size, word in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.4g} {word}"
    return f"{seconds:g} s"


def held_runs(connection: Connection) -> list[Held]:
    """All runs that have files, and have them still."""
    kept = (runs.c.run_id, runs.c.experiment, runs.c.status, runs.c.is_complete, runs.c.is_pinned)
    ended_ns = sa.func.coalesce(sa.func.max(seals.c.sealed_ns), runs.c.ended_ns, runs.c.created_ns)
    query = (
        sa.select(
            *kept, sa.func.coalesce(sa.func.sum(seals.c.length), 0).label("size_bytes"), ended_ns.label("ended_ns")
        )
        .join(streams, streams.c.run_id == runs.c.run_id)
        .outerjoin(seals, seals.c.stream_id == streams.c.id)
        .where(runs.c.removed_ns.is_(None))
        .group_by(*kept, runs.c.ended_ns, runs.c.created_ns)
    )  # fmt: skip
    held: list[Any] = list(connection.execute(query))
    uploaded = artifact_rows.uploaded_bytes(connection)
    shipped = {row.run_id for row in held}
    held += [row for row in _uploaded_only(connection, kept) if row.run_id not in shipped]
    with_pinned = _with_pinned_children(connection)
    return [
        Held(
            row.run_id,
            row.experiment,
            int(row.size_bytes) + uploaded.get(row.run_id, 0),
            int(row.ended_ns),
            may_go=row.status in state.FINAL and row.is_complete and not row.is_pinned and row.run_id not in with_pinned,
        )
        for row in held
    ]


def _uploaded_only(connection: Connection, columns: Iterable[sa.Column[Any]]) -> list[Any]:
    """Runs that no node has, and whose files came by themselves."""
    ended_ns = sa.func.coalesce(runs.c.ended_ns, runs.c.created_ns).label("ended_ns")
    query = sa.select(*columns, sa.literal(0).label("size_bytes"), ended_ns)
    has_files = runs.c.run_id.in_(artifact_rows.owners())
    return list(connection.execute(query.where(runs.c.is_client_run & runs.c.removed_ns.is_(None) & has_files)))


def _with_pinned_children(connection: Connection) -> set[str]:
    """The runs whose files a pinned descendant shares."""
    pinned = runs.c.is_pinned & runs.c.is_client_run & runs.c.parent_run_id.is_not(None)
    above = sa.select(runs.c.parent_run_id.label("run_id")).where(pinned).cte(recursive=True)
    step = sa.select(runs.c.parent_run_id).join(above, above.c.run_id == runs.c.run_id).where(runs.c.is_client_run)
    found = connection.execute(sa.select(above.union(step).c.run_id)).scalars()
    return {run_id for run_id in found if run_id is not None}


def unsealed_keys(connection: Connection) -> list[tuple[str, str]]:
    """(experiment, key) of each file that is not sealed: only the store knows how large it is."""
    query = (
        sa.select(runs.c.experiment, runs.c.run_id, nodes.c.folder, streams.c.path)
        .join(runs, runs.c.run_id == streams.c.run_id)
        .outerjoin(nodes, (nodes.c.run_id == streams.c.run_id) & (nodes.c.node_id == streams.c.node_id))
        .outerjoin(seals, seals.c.stream_id == streams.c.id)
        .where(seals.c.stream_id.is_(None) & runs.c.removed_ns.is_(None) & streams.c.is_placed)
    )
    return [
        (row.experiment, "/".join(filter(None, (row.experiment, row.run_id, row.folder, row.path))))
        for row in connection.execute(query)
    ]


def _sizes(store: Store, keys: Iterable[tuple[str, str]]) -> dict[str, int]:
    """In a thread: for each experiment the bytes under its keys."""
    found: dict[str, int] = defaultdict(int)
    for experiment, key in keys:
        found[experiment] += store.size(key)
    return found


def mark(connection: Connection, one: Chosen, now_ns: int) -> Marked | None:
    """Writes down that the files of the run and of its children are gone; None where they have to stay after all."""
    row = catalog.run(connection, one.run_id)
    unplaced = sa.select(streams.c.id).where((streams.c.run_id == one.run_id) & ~streams.c.is_placed)
    is_ended = row.row.status in state.FINAL and row.is_complete
    if not is_ended or row.row.is_pinned or row.row.removed_ns is not None or connection.execute(unplaced).first():
        return None
    if one.run_id in _with_pinned_children(connection):
        return None
    run_ids = [one.run_id, *artifact_rows.descendants(connection, one.run_id)]
    for run_id in run_ids:
        this_run = (runs.c.run_id == run_id) & runs.c.removed_ns.is_(None)
        connection.execute(sa.update(runs).where(this_run).values(removed_ns=now_ns, removed_why=one.why))
    blobs = artifact_rows.remove_of_runs(connection, run_ids)
    return Marked(f"{row.row.experiment}/{one.run_id}", run_ids, now_ns, blobs)


def removed_folders(connection: Connection) -> list[str]:
    """Where the files of removed runs were, which a crash may have left."""
    query = sa.select(runs.c.experiment, runs.c.run_id).where(runs.c.removed_ns.is_not(None))
    return [f"{row.experiment}/{row.run_id}" for row in connection.execute(query)]
