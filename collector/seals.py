"""Sealing: the collector reads a stream from its own disk and compares it with what the node says it sent.

Reads from the store; writes to the table `seals`. The digests are computed in threads of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .commit import Committer
from .database import Database
from .hub import Hub
from .messages import Seal, SealResult
from .schema import seals
from .store import Store
from .streams import Stream

# Hashing is pure CPU: more threads would take it from ingest.
THREADS = 2
READ_BYTES = 1 << 20

Outcome = Literal["sealed", "mismatch", "short", "long"]


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 of the whole stream, and of each range that was asked for."""

    whole: str
    ranges: tuple[str, ...]


class Sealer:
    """Seals streams and digests files."""

    def __init__(self, store: Store, database: Database, committer: Committer, hub: Hub) -> None:
        self._store = store
        self._database = database
        self._committer = committer
        self._hub = hub
        self._threads = ThreadPoolExecutor(THREADS, "digest")

    async def seal(self, stream: Stream, wanted: Seal) -> SealResult:
        """Seals `stream` if it holds exactly what `wanted` says. A seal that holds is never changed."""
        # Whoever lost patience and asks again waits here for the first answer instead of reading the disk twice.
        async with stream.seal_lock:
            outcome = await self._compare(stream, wanted)
            return SealResult(stream=stream.id, result=outcome, offset=stream.offset)

    async def _compare(self, stream: Stream, wanted: Seal) -> Outcome:
        if stream.offset != wanted.length:
            return "short" if stream.offset < wanted.length else "long"
        if stream.is_sealed and await self._database.read(_is_same, stream.id, wanted):
            return "sealed"
        await self._committer.wait([stream])
        ranges = [(segment.start, segment.end) for segment in wanted.segments]
        digests = await self.digest(stream.key, ranges)
        if stream.offset != wanted.length:  # bytes came, or were lost by the disk, while it was read
            return "short" if stream.offset < wanted.length else "long"
        if digests is None or digests.ranges != tuple(segment.sha256 for segment in wanted.segments):
            return "mismatch"
        if not stream.is_sealed:
            await self._keep(stream, wanted, digests.whole)
        return "sealed"

    async def _keep(self, stream: Stream, wanted: Seal, sha256: str) -> None:
        was = stream.closed
        # Closed before the row is written: a byte that came in between would not be covered by the seal.
        stream.closed = was or "sealed"
        try:
            await self._database.write(_insert, stream.id, wanted, sha256)
        except BaseException:  # whatever it is, the stream is as open as before
            stream.closed = was
            raise
        stream.row = replace(stream.row, sealed_length=wanted.length, sha256=sha256)
        self._hub.grown({stream})

    async def digest(self, key: str, ranges: Sequence[tuple[int, int]]) -> Digests | None:
        """The digests of what lies under `key`: ranges side by side, from 0 on. None where there are fewer bytes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _digest, self._store, key, ranges)

    def close(self) -> None:
        """Let the threads go; what is under way is finished first."""
        self._threads.shutdown()


def _digest(store: Store, key: str, ranges: Sequence[tuple[int, int]]) -> Digests | None:
    """In a thread. The ranges lie side by side, from 0 on."""
    whole = hashlib.sha256()
    found = []
    for start, end in ranges:
        # With a single range its digest is the whole one's; the bytes are hashed once.
        part = whole if len(ranges) == 1 else hashlib.sha256()
        while start < end:
            data = store.read(key, start, min(READ_BYTES, end - start))
            if not data:
                return None
            part.update(data)
            if part is not whole:
                whole.update(data)
            start += len(data)
        found.append(part.hexdigest())
    return Digests(whole.hexdigest(), tuple(found))


def _segments(wanted: Seal) -> list[list[int | str]]:
    return [[segment.start, segment.end, segment.sha256] for segment in wanted.segments]


def _is_same(connection: Connection, stream_id: int, wanted: Seal) -> bool:
    row = connection.execute(sa.select(seals).where(seals.c.stream_id == stream_id)).first()
    return row is not None and row.length == wanted.length and msgspec.json.decode(row.segments) == _segments(wanted)


def _insert(connection: Connection, stream_id: int, wanted: Seal, sha256: str) -> None:
    values = {"stream_id": stream_id, "length": wanted.length, "sha256": sha256, "sealed_ns": time.time_ns()}
    connection.execute(sa.insert(seals).values(values | {"segments": msgspec.json.encode(_segments(wanted)).decode()}))
