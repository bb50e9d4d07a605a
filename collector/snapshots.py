"""Code snapshots, each kept once under the SHA-256 of its bytes, however many nodes ask for it.

Reads from an upload's body and the table `snapshots`; writes to a store of its own and to that table. An upload lands under a
key of its own; only when its bytes are durable and their digest is right do they move to the snapshot's key, and only then
comes the row, without which nothing is known. What a crash leaves behind counts for nothing and is removed, or replaced by
the next upload of the same bytes.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from .answers import Snapshot
from .body import Body, next_piece
from .database import Database
from .digests import Digester
from .metrics import Metrics
from .problems import Problem, unavailable
from .schema import snapshots
from .store import Store

# Each upload under way may hold two read buffers, and a whole snapshot on the disk; more of them are told to come back.
MOST_AT_ONCE = 64
# So much is made durable at a time: all at the end would hold up the commits of everyone, and the answer.
SYNC_BYTES = 32 << 20
_INCOMING = "incoming"


class Snapshots:
    """Takes and finds snapshots. Belongs to the event loop's thread."""

    def __init__(self, store: Store, database: Database, digester: Digester, metrics: Metrics, max_bytes: int) -> None:
        self.store = store
        self._database = database
        self._digester = digester
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._under_way = 0
        self._keeping: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def recover(self) -> None:
        """Removes what uploads have left that a crash cut off. No upload may be under way."""
        await asyncio.to_thread(self.store.remove, _INCOMING)

    async def find(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot, if all its bytes are there: an administrator may have taken them away."""
        known = await self._database.read(_find, snapshot_id)
        return known if known is not None and self.store.size(snapshot_id) == known.size_bytes else None

    async def take(self, snapshot_id: str, body: Body, length: int | None) -> tuple[Snapshot, bool]:
        """The snapshot, and whether it is new; the body of one that is known is not read. Of two uploads at once each brings
        its bytes, and the first that is whole is kept. Raises a 400 `mismatch`, 413, 503 or 507, and then keeps nothing."""
        known = await self.find(snapshot_id)
        if known is not None:
            return known, False
        if length is not None and length > self._max_bytes:
            raise self._too_large()
        async with self._incoming() as key:
            size = await self._receive(key, body)
            digests = await self._digester.digest(self.store, key, [(0, size)])
            if digests is None or digests.whole != snapshot_id:
                found = digests.whole if digests else "unknown"
                raise Problem(400, "mismatch", f"the SHA-256 of the {size} bytes that came is {found}, not {snapshot_id}")
            return await self._keep(key, snapshot_id, size)

    @asynccontextmanager
    async def _incoming(self) -> AsyncIterator[str]:
        """A key for one upload; what still lies there at the end is removed."""
        if self._under_way >= MOST_AT_ONCE:
            raise unavailable("busy", f"{MOST_AT_ONCE} uploads of snapshots are under way")
        key = f"{_INCOMING}/{secrets.token_hex(16)}"
        self._under_way += 1
        try:
            await asyncio.to_thread(self.store.place, [(key, None)])
            yield key
        finally:
            self._under_way -= 1
            self.store.forget(key)
            await asyncio.to_thread(self.store.remove, key)

    async def _receive(self, key: str, body: Body) -> int:
        """Writes the body as it comes and makes it durable; its length."""
        self._metrics.snapshot_uploads.inc()
        size = synced = 0
        while piece := memoryview(await next_piece(body)):
            self._metrics.snapshot_bytes.inc(len(piece))
            if size + len(piece) > self._max_bytes:
                raise self._too_large()
            while piece:
                count = self.store.write(key, size, piece)
                piece, size = piece[count:], size + count
            if size - synced >= SYNC_BYTES:
                synced = await asyncio.to_thread(self.store.sync, key)
        await asyncio.to_thread(self.store.sync, key)
        return size

    async def _keep(self, key: str, snapshot_id: str, size: int) -> tuple[Snapshot, bool]:
        async with self._keeping.setdefault(snapshot_id, asyncio.Lock()):
            known = await self.find(snapshot_id)
            if known is not None:
                return known, False
            await asyncio.to_thread(self.store.move, key, snapshot_id)
            made = Snapshot(id=snapshot_id, size_bytes=size, created_ns=time.time_ns())
            try:
                await self._database.write(_insert, made)
            except BaseException:  # whatever it is: bytes that nobody knows must not fill the disk
                await asyncio.to_thread(self.store.remove, snapshot_id)
                raise
            return made, True

    def _too_large(self) -> Problem:
        return Problem(413, "too-large", f"a snapshot holds at most {self._max_bytes} bytes")


def _find(connection: Connection, snapshot_id: str) -> Snapshot | None:
    row = connection.execute(sa.select(snapshots).where(snapshots.c.id == snapshot_id)).first()
    return Snapshot(**row._mapping) if row else None


def _insert(connection: Connection, made: Snapshot) -> None:
    # A row whose bytes were taken away by hand may be there still.
    connection.execute(sa.delete(snapshots).where(snapshots.c.id == made.id))
    values = {"id": made.id, "size_bytes": made.size_bytes, "created_ns": made.created_ns}
    connection.execute(sa.insert(snapshots).values(values))
