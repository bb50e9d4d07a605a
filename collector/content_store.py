"""Bytes that are kept once under their SHA-256, however many bring them: code snapshots, and the blobs of artifacts.

Reads from uploads' bodies and a table of (SHA-256, size_bytes, created_ns); writes to a store of its own and to that table. An
upload lands under a key of its own; only when its bytes are durable and their digest, read back from the disk, is right do they
move to the key that is their digest, and only then comes the row, without which nothing is known. What survives a crash: all
of that, and of an upload that may be resumed every byte that came. The rest counts for nothing and is removed.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

import sqlalchemy as sa
from prometheus_client import Counter
from sqlalchemy.engine import Connection

from .body import Body, next_piece
from .content_table import ContentTable, Kept
from .database import Database
from .digests import Digester
from .problems import Problem, unavailable
from .store import NotStored, Store

# Each upload under way may hold two read buffers; more of them are told to come back.
MOST_AT_ONCE = 64
# So much is made durable at a time: all at the end would hold up the commits of everyone, and the answer.
SYNC_BYTES = 32 << 20
# What nobody has gone on with for so long is removed.
PARTIAL_S = 86400.0
# Uploads that cannot be resumed, and those that can, each by its digest and whoever brings it.
INCOMING = "incoming"
PARTIAL = "partial"

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is told of uploads."""

    uploads_total: Counter
    bytes_total: Counter


@dataclass(frozen=True, slots=True)
class Piece:
    """What one request of an upload brings: the bytes from `offset` on, `length` of them where that is known, of `size_bytes`
    in all; None: the body's end is the end. `uploader` is whoever brings it: others cannot go on with it, nor spoil it. With
    `must_come` the bytes have to come although they are kept: whoever knows a digest alone does not pass for who has them."""

    body: Body
    offset: int
    length: int | None
    size_bytes: int | None
    uploader: str
    must_come: bool = False


class ContentStore:
    """Takes and finds bytes by their digest. Belongs to the event loop's thread."""

    def __init__(
        self,
        store: Store,
        database: Database,
        digester: Digester,
        table: sa.Table,
        numbers: Numbers,
        *,
        what: str,
        max_bytes: int,
    ) -> None:
        self.store = store
        self._database = database
        self._digester = digester
        self._table = ContentTable(table)
        self._numbers = numbers
        self._what = what  # a word for people, as "snapshot"
        self._max_bytes = max_bytes
        self._under_way = 0
        self._keeping: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._latest: dict[str, object] = {}

    async def recover(self) -> None:
        """Removes what a crash has left: uploads that cannot be resumed, and bytes without a row. None may be under way."""
        await asyncio.to_thread(self.store.remove, INCOMING)
        there = await asyncio.to_thread(self.store.names, "")
        known = await self._database.read(self._table.all)
        for sha256 in filter(_DIGEST.fullmatch, set(there) - known):
            await asyncio.to_thread(self.store.remove, sha256)
        await self.remove_stale()

    async def remove_stale(self) -> None:
        """Removes uploads that nobody has gone on with for PARTIAL_S."""
        before_ns = time.time_ns() - int(PARTIAL_S * 1e9)
        for name in await asyncio.to_thread(self.store.names, PARTIAL):
            key = f"{PARTIAL}/{name}"
            if key not in self._latest and 0 < self.store.modified_ns(key) < before_ns:
                await asyncio.to_thread(self.store.remove, key)

    async def find(self, sha256: str) -> Kept | None:
        """What is kept under this digest, if all its bytes are there: an administrator may have taken them away."""
        known = await self._database.read(self._table.find, sha256)
        return known if known is not None and self.store.size(sha256) == known.size_bytes else None

    def partial_bytes(self, sha256: str, uploader: str) -> int:
        """How many bytes of an upload of this uploader's have come: where it goes on."""
        return self.store.size(_partial(sha256, uploader))

    async def take(self, sha256: str, body: Body, length: int | None) -> tuple[Kept, bool]:
        """The bytes, and whether they are new; the body of what is known is not read. Of two uploads at once each brings its
        bytes, and the first that is whole is kept. Raises a 400 `mismatch`, 413, 503 or 507, and then keeps nothing."""
        known = await self.find(sha256)
        if known is not None:
            return known, False
        async with self._incoming(length) as key:
            size = await self._receive(key, body)
            found = await self._digest(key, size)
            if found != sha256:
                raise _mismatch(size, found, sha256)
            async with self._lock(sha256):
                return await self._keep(key, sha256, size)

    async def take_any(self, body: Body, length: int | None) -> Kept:
        """What the body holds, whatever its digest is. Raises a 413, 503 or 507, and then keeps nothing."""
        async with self._incoming(length) as key:
            size = await self._receive(key, body)
            sha256 = await self._digest(key, size)
            async with self._lock(sha256):
                return (await self._keep(key, sha256, size))[0]

    async def resume(self, sha256: str, piece: Piece) -> tuple[Kept | None, int, bool]:
        """What is kept where all has come, how many bytes have come, and whether they are new. An upload that breaks off keeps
        what has come of it. Raises a 409 `offset` where the piece does not begin at what has come, a 409 `taken-over` where the
        same uploader has begun again elsewhere, a 400 `mismatch` (and then forgets what has come), 413, 503 or 507."""
        known = None if piece.must_come else await self.find(sha256)
        if known is not None:
            return await self._touched(known), known.size_bytes, False
        self._check_size(max(piece.size_bytes or 0, piece.offset + (piece.length or 0)))
        key, mine = _partial(sha256, piece.uploader), object()
        with self._counted():
            try:
                async with self._lock(sha256):
                    known = None if piece.must_come else await self.find(sha256)
                    if known is not None:
                        return known, known.size_bytes, False
                    self._latest[key] = mine
                    await asyncio.to_thread(self.store.place, [(key, None)])
                    self._check_offset(key, piece.offset)
                size = await self._receive(key, piece.body, piece.offset, lambda: self._check_turn(key, mine))
                if piece.size_bytes is not None and size < piece.size_bytes:
                    return None, size, False
                async with self._lock(sha256):
                    self._check_turn(key, mine)
                    return await self._finish(key, sha256, size)
            finally:
                if self._latest.get(key) is mine:
                    del self._latest[key]
                    self.store.forget(key)

    async def drop(self, sha256: str, may_go: Callable[[Connection, str], bool]) -> bool:
        """Forgets and removes the bytes, if `may_go` still says so in the transaction that forgets them."""
        async with self._lock(sha256):
            if not await self._database.write(self._table.delete_if, sha256, may_go):
                return False
            # A crash here leaves bytes that nothing knows; `recover` removes them.
            await asyncio.to_thread(self.store.remove, sha256)
            return True

    async def _finish(self, key: str, sha256: str, size: int) -> tuple[Kept, int, bool]:
        found = await self._digest(key, size)
        if found != sha256:
            self.store.forget(key)
            await asyncio.to_thread(self.store.remove, key)
            raise _mismatch(size, found, sha256)
        self.store.forget(key)
        kept, is_new = await self._keep(key, sha256, size)
        await asyncio.to_thread(self.store.remove, key)
        return kept, size, is_new

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._under_way >= MOST_AT_ONCE:
            raise unavailable("busy", f"{MOST_AT_ONCE} uploads of {self._what}s are under way")
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @asynccontextmanager
    async def _incoming(self, length: int | None) -> AsyncIterator[str]:
        """A key for one upload; what still lies there at the end is removed."""
        self._check_size(length or 0)
        key = f"{INCOMING}/{secrets.token_hex(16)}"
        with self._counted():
            try:
                await asyncio.to_thread(self.store.place, [(key, None)])
                yield key
            finally:
                self.store.forget(key)
                await asyncio.to_thread(self.store.remove, key)

    async def _receive(self, key: str, body: Body, offset: int = 0, check: Callable[[], None] = lambda: None) -> int:
        """Writes the body as it comes and makes it durable; how many bytes there are then. `check` is asked before each write,
        with no await in between."""
        if not offset:
            self._numbers.uploads_total.inc()
        size = synced = offset
        while piece := memoryview(await next_piece(body)):
            self._numbers.bytes_total.inc(len(piece))
            self._check_size(size + len(piece))
            check()
            while piece:
                count = self.store.write(key, size, piece)
                piece, size = piece[count:], size + count
            if size - synced >= SYNC_BYTES:
                synced = await asyncio.to_thread(self.store.sync, key)
        check()
        await asyncio.to_thread(self.store.sync, key)
        return size

    async def _digest(self, key: str, size: int) -> str:
        digests = await self._digester.digest(self.store, key, [(0, size)])
        if digests is None:
            raise NotStored(f"{key} became shorter while it was read")
        return digests.whole

    async def _keep(self, key: str, sha256: str, size: int) -> tuple[Kept, bool]:
        """With the digest's lock held."""
        known = await self.find(sha256)
        if known is not None:
            return await self._touched(known), False
        await asyncio.to_thread(self.store.move, key, sha256)
        made = Kept(sha256, size, time.time_ns())
        try:
            await self._database.write(self._table.insert, made)
        except BaseException:  # whatever it is: bytes that nobody knows must not fill the disk
            await asyncio.to_thread(self.store.remove, sha256)
            raise
        return made, True

    async def _touched(self, known: Kept) -> Kept:
        """What is brought again counts as new: nobody may take it for forgotten while it is about to be used."""
        now_ns = time.time_ns()
        if now_ns - known.created_ns > PARTIAL_S * 1e9 / 2:
            await self._database.write(self._table.touch, known.sha256, now_ns)
        return known

    def _lock(self, sha256: str) -> asyncio.Lock:
        return self._keeping.setdefault(sha256, asyncio.Lock())

    def _check_turn(self, key: str, mine: object) -> None:
        if self._latest.get(key) is not mine:
            raise Problem(409, "taken-over", "this upload goes on over another connection")

    def _check_offset(self, key: str, offset: int) -> None:
        there = self.store.size(key)
        if offset != there:
            detail = f"{there} bytes of it have come: the upload goes on at offset {there}, not {offset}"
            raise Problem(409, "offset", detail, members={"offset": there})

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise Problem(413, "too-large", f"a {self._what} holds at most {self._max_bytes} bytes")


def _partial(sha256: str, uploader: str) -> str:
    return f"{PARTIAL}/{sha256}-{uploader[:16]}"


def _mismatch(size: int, found: str, wanted: str) -> Problem:
    return Problem(400, "mismatch", f"the SHA-256 of the {size} bytes that came is {found}, not {wanted}")
