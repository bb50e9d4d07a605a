"""Group commit: makes what was written durable, many streams at a time.

Fed by ingest; syncs the store in threads, and then raises each stream's `durable`. A commit starts when `limit_bytes` have
come, when `interval_s` has passed since the first write, or when somebody waits. Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog

from .metrics import Metrics
from .problems import unavailable
from .store import Store, StoreError
from .streams import Stream

# A few at once: their journal commits become one. More only queue at the disk.
THREADS = 4
# From so many streams on, one call for the whole file system costs less than a call for each (and a fraction of our CPU).
MANY = 256

log = structlog.get_logger()


class Committer:
    """Knows which streams have bytes that a power cut would take."""

    def __init__(self, store: Store, metrics: Metrics, *, interval_s: float, limit_bytes: int) -> None:
        self._store = store
        self._metrics = metrics
        self._interval_s = interval_s
        self._limit_bytes = limit_bytes
        # Held strongly: a stream that is forgotten in between would be read again with an older durable offset.
        self._dirty: set[Stream] = set()
        self._bytes = 0
        self._is_dirty = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._is_closing = False
        self._round_done: asyncio.Future[None] | None = None
        self._threads = ThreadPoolExecutor(THREADS, "commit")
        self._failures: dict[int, int] = {}

    def wrote(self, streams: Iterable[Stream], count: int) -> None:
        """`count` bytes were written to `streams`."""
        self._dirty.update(streams)
        if self._dirty:
            self._is_dirty.set()
        self._bytes += count
        if self._bytes >= self._limit_bytes:
            self._is_urgent.set()

    async def wait(self, streams: Iterable[Stream]) -> None:
        """Returns when everything that `streams` hold now is durable; raises a 503 where the disk refused."""
        targets = [(stream, stream.offset, self._failures.get(stream.id, 0)) for stream in streams]
        for stream, target, failures in targets:
            # A gap over bytes that were durable is dirty, too.
            is_dirty = stream in self._dirty
            while is_dirty or stream.durable < target:
                is_dirty = False
                if self._failures.get(stream.id, 0) > failures:
                    raise unavailable("store", "the disk could not make the bytes durable; send them again")
                self._dirty.add(stream)
                self._is_dirty.set()
                self._is_urgent.set()
                await asyncio.shield(self._next_round())

    async def run(self) -> None:
        """Commits until `close` is called and nothing is left."""
        while True:
            await self._is_dirty.wait()
            if not self._is_closing:
                await self._gather()
            if not self._dirty:
                if self._is_closing:
                    return
                self._is_dirty.clear()
                continue
            await self._commit()

    def close(self) -> None:
        """Commit what is left, and let `run` return."""
        self._is_closing = True
        self._is_dirty.set()
        self._is_urgent.set()

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(self._interval_s):
                await self._is_urgent.wait()
        except TimeoutError:
            pass

    async def _commit(self) -> None:
        batch, self._dirty = self._dirty, set()
        self._bytes = 0
        self._is_dirty.clear()
        self._is_urgent.clear()
        if self._is_closing:
            self.close()
        done, self._round_done = self._round_done, None
        started_s = time.perf_counter()
        loop = asyncio.get_running_loop()
        streams = list(batch)
        # Written by now, whatever comes meanwhile.
        sizes = [stream.offset for stream in streams]
        synced = "files"
        if len(streams) >= MANY and await loop.run_in_executor(self._threads, self._store.sync_all):
            synced = "file system"
            for stream, size in zip(streams, sizes, strict=True):
                self._settle(stream, size)
        else:
            shares = [streams[start::THREADS] for start in range(THREADS) if streams[start::THREADS]]
            outcomes = await asyncio.gather(*(loop.run_in_executor(self._threads, self._sync, share) for share in shares))
            for outcome in outcomes:
                for stream, size_or_error in outcome:
                    self._settle(stream, size_or_error)
        self._metrics.commit_seconds.labels(synced).observe(time.perf_counter() - started_s)
        if done is not None:
            done.set_result(None)

    def _sync(self, streams: list[Stream]) -> list[tuple[Stream, int | StoreError]]:
        """In a thread: each stream with the size that is durable now, or with what the disk said."""
        outcome: list[tuple[Stream, int | StoreError]] = []
        for stream in streams:
            try:
                outcome.append((stream, self._store.sync(stream.key)))
            except StoreError as error:
                outcome.append((stream, error))
        return outcome

    def _settle(self, stream: Stream, size: int | StoreError) -> None:
        if not isinstance(size, StoreError):
            stream.durable = max(stream.durable, size)
            return
        # After a failed fdatasync the kernel may have dropped the pages: what is not durable is forgotten, and the node, which
        # still has it, sends it again from the offset that it is told.
        log.error("commit failed", run=stream.run_id, stream=stream.id, error=str(size), durable=stream.durable)
        self._failures[stream.id] = self._failures.get(stream.id, 0) + 1
        try:
            self._store.cut(stream.key, stream.durable)
        except StoreError as error:
            log.error("a stream whose commit failed cannot be cut", run=stream.run_id, stream=stream.id, error=str(error))
        stream.offset = self._store.size(stream.key)

    def _next_round(self) -> asyncio.Future[None]:
        if self._round_done is None:
            self._round_done = asyncio.get_running_loop().create_future()
        return self._round_done
