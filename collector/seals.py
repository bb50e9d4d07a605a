"""Sealing: the collector reads a stream from its own disk and compares it with what the node says it sent.

Reads from the store; writes to the table `seals`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .answers import SealResult
from .commit import Committer
from .database import Database
from .digests import Digester
from .hub import Hub
from .messages import Seal
from .schema import seals
from .store import Store
from .streams import Stream

Outcome = Literal["sealed", "mismatch", "short", "long"]


@dataclass(frozen=True, slots=True)
class _Compared:
    """What came of one comparison; `sha256` is set where a new seal is to be written down."""

    stream: Stream
    wanted: Seal
    outcome: Outcome
    sha256: str = ""


class Sealer:
    """Seals streams."""

    def __init__(self, store: Store, database: Database, committer: Committer, digester: Digester, hub: Hub) -> None:
        self._store = store
        self._database = database
        self._committer = committer
        self._digester = digester
        self._hub = hub

    async def seal(self, pairs: Sequence[tuple[Stream, Seal]]) -> list[SealResult]:
        """Seals each stream if it holds exactly what is said of it. No stream may be named twice. A seal never changes."""
        async with AsyncExitStack() as stack:
            # Whoever lost patience and asks again waits here for the first answer instead of reading the disk twice. Taken in
            # one order by all, so that two requests never wait for each other.
            for stream in sorted((stream for stream, _ in pairs), key=lambda stream: stream.id):
                await stack.enter_async_context(stream.seal_lock)
            await self._committer.wait([stream for stream, wanted in pairs if stream.offset == wanted.length])
            compared = await asyncio.gather(*(self._compare(stream, wanted) for stream, wanted in pairs))
            await self._keep([one for one in compared if one.sha256])
            return [SealResult(stream=one.stream.id, result=one.outcome, offset=one.stream.offset) for one in compared]

    async def _compare(self, stream: Stream, wanted: Seal) -> _Compared:
        if stream.offset == wanted.length:
            if stream.is_sealed and await self._database.read(_is_same, stream.id, wanted):
                return _Compared(stream, wanted, "sealed")
            ranges = [(segment.start, segment.end) for segment in wanted.segments]
            digests = await self._digester.digest(self._store, stream.key, ranges)
            # Looked at again below: bytes may have come, or been lost by the disk, while it was read.
            if stream.offset == wanted.length:
                if digests is None or digests.ranges != tuple(segment.sha256 for segment in wanted.segments):
                    return _Compared(stream, wanted, "mismatch")
                # Closed before the row is written: a byte that came in between would not be covered by the seal.
                is_first = not stream.is_sealed
                stream.closed = stream.closed or "sealed"
                return _Compared(stream, wanted, "sealed", digests.whole if is_first else "")
        return _Compared(stream, wanted, "short" if stream.offset < wanted.length else "long")

    async def _keep(self, sealed: list[_Compared]) -> None:
        """Writes the new seals down."""
        if not sealed:
            return
        try:
            await self._database.write(_insert, [(one.stream.id, one.wanted, one.sha256) for one in sealed])
        except BaseException:  # whatever it is, the streams are as open as before
            for one in sealed:
                one.stream.closed = "superseded" if one.stream.closed == "superseded" else ""
            raise
        for one in sealed:
            one.stream.row = replace(one.stream.row, sealed_length=one.wanted.length, sha256=one.sha256)
        self._hub.grown({one.stream for one in sealed})


def _segments(wanted: Seal) -> list[list[int | str]]:
    return [[segment.start, segment.end, segment.sha256] for segment in wanted.segments]


def _is_same(connection: Connection, stream_id: int, wanted: Seal) -> bool:
    row = connection.execute(sa.select(seals).where(seals.c.stream_id == stream_id)).first()
    return row is not None and row.length == wanted.length and msgspec.json.decode(row.segments) == _segments(wanted)


def _insert(connection: Connection, new: list[tuple[int, Seal, str]]) -> None:
    now_ns = time.time_ns()
    rows = [
        {
            "stream_id": stream_id,
            "length": wanted.length,
            "sha256": sha256,
            "segments": msgspec.json.encode(_segments(wanted)).decode(),
            "sealed_ns": now_ns,
        }
        for stream_id, wanted, sha256 in new
    ]
    connection.execute(sa.insert(seals), rows)
