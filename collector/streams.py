"""The streams that are in use, each as one object in memory: how far it has come, and whether it takes more.

Reads from the catalog (once for each stream) and from the store (its size); ingest, seals and follow share the objects.
All of it belongs to the event loop's thread; only what says so runs in others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from . import placement
from .database import Database
from .messages import StreamToOpen
from .placement import StreamRow
from .store import NotStored, Store, StoreError

# Streams that nobody uses are kept for so long that a writer which comes back finds them; beyond, they are read again.
KEPT = 20_000


class Stream:
    """One stream. `offset` is the next byte expected, `durable` what an fdatasync has covered."""

    __slots__ = ("__weakref__", "closed", "durable", "gaps", "id", "key", "node_id", "offset", "row", "run_id", "seal_lock")

    def __init__(self, row: StreamRow, offset: int, durable: int) -> None:
        self.row = row
        # Copies of what never changes, for the paths that are taken thousands of times a second.
        self.id = row.id
        self.run_id = row.run_id
        self.node_id = row.node_id
        self.key = row.key
        self.offset = offset
        self.durable = durable
        self.gaps: list[tuple[int, int]] = list(row.gaps)
        # Why it takes no more bytes: "superseded", "sealed", "removed", or "" while it does.
        self.closed = "superseded" if row.is_superseded else "sealed" if row.sealed_length is not None else ""
        if row.removed_ns is not None:
            self.remove(row.removed_ns)
        self.seal_lock = asyncio.Lock()

    @property
    def is_sealed(self) -> bool:
        """Whether it was sealed (it may have been superseded since)."""
        return self.row.sealed_length is not None

    @property
    def is_removed(self) -> bool:
        """Whether its bytes are gone: what is known of them stays."""
        return self.row.removed_ns is not None

    def remove(self, removed_ns: int) -> None:
        """Its bytes are gone, and no more may come."""
        self.row = replace(self.row, removed_ns=removed_ns)
        self.offset = self.durable = self.row.sealed_length or 0
        self.closed = self.closed or "removed"

    def gap_at(self, position: int) -> tuple[int, int] | None:
        """The gap that covers `position`, or the next one behind it."""
        return next(((start, end) for start, end in self.gaps if end > position), None)


@dataclass(frozen=True, slots=True)
class Opened:
    """The streams that were asked for, in that order, those of them that are new, and those that these supersede."""

    streams: list[Stream]
    new: list[Stream]
    superseded: set[Stream]


class Streams:
    """Hands out the one Stream object of each stream."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self._alive: WeakValueDictionary[int, Stream] = WeakValueDictionary()
        self._recent: OrderedDict[int, Stream] = OrderedDict()
        self._opening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._alive)

    def known(self, stream_id: int) -> Stream | None:
        """The stream if it is in memory."""
        return self._alive.get(stream_id)

    async def find(self, stream_id: int) -> Stream | None:
        """The stream, read from the catalog where it has to be; None where there is none."""
        found = self._alive.get(stream_id)
        if found is None:
            rows = await self._database.read(placement.rows_by_id, [stream_id])
            found = next(iter(await self._adopt(rows)), None)
        return found

    async def of_run(self, run_id: str, node_id: str | None = None) -> list[Stream]:
        """All streams of a run (or of one of its nodes), in the order in which they were opened."""
        rows = await self._database.read(placement.rows_of_run, run_id, node_id)
        return await self._adopt(rows)

    async def open(self, run_id: str, node_id: str, attempt: int, wanted: Sequence[StreamToOpen]) -> Opened:
        """Opens streams, and says which of them are new. See placement.py for what a crash leaves."""
        # One at a time for each node's folder, so that two requests never plan for the same path.
        lock = self._opening.setdefault(f"{run_id}/{node_id}", asyncio.Lock())
        async with lock:
            plan = await self._database.write(placement.plan, run_id, node_id, attempt, wanted)
            superseded = await self._place(plan.steps) if plan.steps else set()
            streams = await self._adopt(await self._database.read(placement.rows_by_id, plan.ids))
        by_id = {stream.id: stream for stream in streams}
        new = [by_id[step.id] for step in plan.steps if step.id in by_id]
        return Opened([by_id[stream_id] for stream_id in plan.ids], new, superseded)

    def removed(self, run_id: str, removed_ns: int) -> None:
        """The bytes of all of a run's streams are gone."""
        for stream in [stream for stream in self._alive.values() if stream.run_id == run_id]:
            stream.remove(removed_ns)
            self._store.forget(stream.key)

    async def _place(self, steps: Sequence[placement.Step]) -> set[Stream]:
        earlier = {step.earlier_id: self._alive.get(step.earlier_id) for step in steps if step.earlier_id is not None}
        for stream in earlier.values():
            if stream is not None:
                # From here on the earlier generation takes no byte, so that none can land in the new one's file.
                stream.closed = "superseded"
        try:
            await asyncio.to_thread(placement.place, self._store, steps)
        except StoreError:
            await self._database.write(placement.withdraw, steps)
            raise
        for step in steps:
            self._store.forget(step.key)
        await self._database.write(placement.confirm, steps)
        for row in await self._database.read(placement.rows_by_id, list(earlier)):
            stream = self._alive.get(row.id)
            if stream is not None:
                stream.row, stream.key = row, row.key
        return {stream for stream in earlier.values() if stream is not None}

    async def _adopt(self, rows: Iterable[StreamRow]) -> list[Stream]:
        """The objects of `rows`; what is not in memory is synced first, so that its size is durable for certain."""
        rows = list(rows)
        missing = [row for row in rows if row.id not in self._alive and row.removed_ns is None]
        durable = await asyncio.to_thread(self._sync_all, missing) if missing else {}
        streams = []
        for row in rows:
            stream = self._alive.get(row.id)
            if stream is None:
                # Sized here and not in the thread: nobody else can write between this line and the next one.
                size = self._store.size(row.key) if row.removed_ns is None else 0
                stream = Stream(row, size, durable.get(row.id, 0))
                self._alive[row.id] = stream
            elif row.removed_ns is not None and not stream.is_removed:
                stream.remove(row.removed_ns)
            self._keep(stream)
            streams.append(stream)
        return streams

    def _sync_all(self, rows: Iterable[StreamRow]) -> dict[int, int]:
        sizes = {}
        for row in rows:
            try:
                # Of an empty file, as all new ones are, there is nothing to be lost.
                sizes[row.id] = self._store.sync(row.key) if self._store.size(row.key) else 0
            except NotStored:  # an administrator removed the file; the stream starts again at 0
                sizes[row.id] = 0
        return sizes

    def _keep(self, stream: Stream) -> None:
        self._recent[stream.id] = stream
        self._recent.move_to_end(stream.id)
        while len(self._recent) > KEPT:
            self._recent.popitem(last=False)
