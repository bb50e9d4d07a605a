"""The files of a run or of an MLflow model: written from a request's body, found, listed, taken away.

Reads from the table `artifacts`, the store of blobs and the streams that nodes have shipped; writes to the first two. A file
that was uploaded hides one of that path that a node has shipped. An owner is a run's id, or rows.owner_of_model of a model.
A run's token makes files of what it has sent itself: of others' blobs it is not even told that they are there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy.engine import Connection

from runyard import names
from runyard.collector import catalog, placement
from runyard.collector.auth import RUN, Principal
from runyard.collector.body import Body
from runyard.collector.content_store import PARTIAL_S, ContentStore, Piece
from runyard.collector.content_table import Kept
from runyard.collector.database import Database
from runyard.collector.problems import Problem, invalid, unavailable
from runyard.collector.store import Store
from runyard.collector.streams import Stream, Streams
from runyard.collector.tracking.apply import apply
from runyard.collector.wish import public_path
from runyard.tracking.records import Artifact

from . import rows
from .rows import Row

# How long whoever asks for what its node has not shipped yet waits before the next try.
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where bytes lie."""

    store: Store
    key: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A file. `come_bytes` of its `size_bytes` are here; it has a place where all are. `modified_ms` 0: the place's own time.
    `sha256` is None of what its node is still writing, and `version` says then which bytes these are. `node_id` is empty where
    it was uploaded."""

    path: str
    size_bytes: int
    come_bytes: int
    sha256: str | None
    modified_ms: int
    node_id: str
    place: Place | None
    version: str = ""

    @property
    def etag(self) -> str:
        """Changes whenever the bytes do."""
        return f'"{self.sha256 or self.version}"'


class Artifacts:
    """Belongs to the event loop's thread."""

    def __init__(self, database: Database, streams: Streams, store: Store, blobs: ContentStore) -> None:
        self.blobs = blobs
        self._database = database
        self._streams = streams
        self._store = store

    async def take_blob(self, who: Principal, sha256: str, piece: Piece) -> tuple[Kept | None, int, bool]:
        """As ContentStore.resume, but who may not read all runs sends every byte, once for each run, whoever has sent them
        before, and they are new to the run then. What is kept is kept once all the same."""
        is_told = await self._is_told(who, sha256)
        kept, come_bytes, is_new = await self.blobs.resume(sha256, replace(piece, must_come=not is_told))
        if kept is not None and who.kind == RUN:
            is_new = await self._database.write(rows.note_sent, who.subject, sha256)
        return kept, come_bytes, is_new

    async def come(self, who: Principal, sha256: str) -> tuple[int, bool]:
        """How many bytes of a blob `who` need not send, and whether those are all."""
        kept = await self.blobs.find(sha256) if await self._is_told(who, sha256) else None
        return (self.blobs.partial_bytes(sha256, who.token_sha256), False) if kept is None else (kept.size_bytes, True)

    async def _is_told(self, who: Principal, sha256: str) -> bool:
        """Whether `who` may know that this blob is here."""
        if who.kind != RUN:
            return who.reads_all_runs
        return await self._database.read(rows.has_sent, [who.subject], sha256)

    async def write(self, who: Principal, owner: str, path: str, body: Body, length: int | None) -> Row:
        """Keeps the body as the file at `path`, in place of one that is there. Raises a 400, 404, 409, 410, 413, 503 or 507."""
        await self._database.read(_require, owner)
        _check_path(path)
        kept = await self.blobs.take_any(body, length)
        if who.kind == RUN:
            await self._database.write(rows.note_sent, who.subject, kept.sha256)
        return await self.enter(who, owner, path, kept.sha256, kept.size_bytes)

    async def enter(self, who: Principal, owner: str, path: str, sha256: str, size_bytes: int) -> Row:
        """The blob is the file at `path` from now on. Raises a 404 or 410 for the run, a 409 `no-such-blob` where its bytes
        have not come, or not from the run whose token this is, and a 409 `refused` where the path cannot be had."""
        _check_path(path)
        row = Row(owner, path, sha256, size_bytes, time.time_ns() // 10**6, None)
        await self._database.write(_put, row, who.sender_for(owner))
        return row

    async def remove(self, owner: str, path: str) -> None:
        """Takes away what was uploaded to `path`, and what lies below it; raises a 404 where nothing was, or a 410."""
        if not await self._database.write(_remove, owner, path):
            raise no_such_file(owner, path)

    async def find(self, owner: str, path: str) -> Entry:
        """The file at `path`, which is here whole. Raises a 404, a 410 where it was removed or will never come, and a 503 where
        its node has not sent it yet."""
        row, is_complete = await self._database.read(_find, owner, path)
        if row is None:
            entry = await self._shipped(owner, path)
            if entry is None:
                raise no_such_file(owner, path)
            return entry
        entry = await self._uploaded(row)
        if entry.place is None:
            raise _not_here(entry, is_complete=is_complete)
        return entry

    async def list(self, owner: str, folder: str = "", *, is_shipped: bool = True) -> list[Entry]:
        """All files below `folder` (empty: all), by path; with `is_shipped` those that nodes have shipped, too. Raises a 404 or
        a 410 for the run; a folder that is not there is empty."""
        await self._database.read(_require, owner)
        found = await self._database.read(rows.of_owner, owner, folder)
        entries = {} if rows.model_of(owner) or not is_shipped else await self._all_shipped(owner)
        below = f"{folder}/" if folder else ""
        entries = {path: entry for path, entry in entries.items() if path.startswith(below)}
        blobs = await self._blobs_of({row.origin for row in found if row.origin is not None})
        for row in found:
            entries[row.path] = self._entry(row, blobs.get((row.origin or "", row.sha256)))
        return [entries[path] for path in sorted(entries)]

    async def drop_unused(self, candidates: Iterable[str] | None = None) -> None:
        """Removes those of `candidates` that no file has; without any, all such blobs that nobody can be about to use."""
        now_ns = time.time_ns()
        before_ns = now_ns
        if candidates is None:
            before_ns = now_ns - int(PARTIAL_S * 1e9)
            await self.blobs.remove_stale()
            candidates = await self._database.read(rows.unused_blobs, before_ns)
        for sha256 in candidates:
            await self.blobs.drop(sha256, lambda connection, one: rows.forget_unused(connection, one, before_ns))

    async def _uploaded(self, row: Row) -> Entry:
        stream = None
        if row.origin is not None:
            found = await self._database.read(placement.rows_of_name, row.origin, f"{names.BLOBS_DIR}/{row.sha256}")
            stream = _best([one for one in [await self._streams.find(known.id) for known in found] if one is not None])
        entry = self._entry(row, stream)
        if entry.place is not None or row.origin is None:
            return entry
        # The node has not shipped them, but the run may have sent the same bytes itself.
        is_sent = await self._database.read(rows.is_kept, row, row.origin)
        return self._entry(replace(row, origin=None), None) if is_sent else entry

    def _entry(self, row: Row, stream: Stream | None) -> Entry:
        place: Place | None = None
        come_bytes = 0
        if row.origin is None:
            come_bytes, place = self.blobs.store.size(row.sha256), Place(self.blobs.store, row.sha256)
        elif stream is not None:
            come_bytes, place = min(stream.offset, row.size_bytes), Place(self._store, stream.key)
        if come_bytes != row.size_bytes:
            place = None
        return Entry(row.path, row.size_bytes, come_bytes, row.sha256, row.created_ms, "", place)

    async def _blobs_of(self, run_ids: Iterable[str]) -> dict[tuple[str, str], Stream]:
        found: dict[tuple[str, str], list[Stream]] = {}
        for run_id in run_ids:
            for stream in await self._streams.of_run(run_id):
                if stream.row.name.startswith(names.BLOBS_DIR + "/"):
                    found.setdefault((run_id, stream.row.name.rpartition("/")[2]), []).append(stream)
        return {key: best for key, streams in found.items() if (best := _best(streams)) is not None}

    async def _all_shipped(self, run_id: str) -> dict[str, Entry]:
        run = await self._database.read(catalog.run, run_id)
        is_single = len(run.heard) <= 1 and run.row.node_count <= 1
        streams = [one for one in await self._streams.of_run(run_id) if not names.is_private(one.row.name)]
        return {path: self._of_stream(path, one) for one in streams for path in (public_path(one.row, is_single=is_single),)}

    async def _shipped(self, owner: str, path: str) -> Entry | None:
        return None if rows.model_of(owner) else (await self._all_shipped(owner)).get(path)

    def _of_stream(self, path: str, stream: Stream) -> Entry:
        size = stream.offset
        version = f"{stream.id:x}-{size:x}-{len(stream.gaps):x}"
        return Entry(path, size, size, stream.row.sha256, 0, stream.node_id, Place(self._store, stream.key), version)


def _check_path(path: str) -> None:
    bad = names.why_bad_stream_name(path)
    if bad:
        raise invalid(f"the path {path[:200]!r} of a file {bad}")


def no_such_file(owner: str, path: str) -> Problem:
    """404: no file lies there."""
    what = f"model {rows.model_of(owner)}" if rows.model_of(owner) else f"run {owner}"
    return Problem(404, "no-such-file", f"{what} has no file {path[:200]!r}")


def _not_here(entry: Entry, *, is_complete: bool) -> Problem:
    there = f"{entry.come_bytes} of the {entry.size_bytes} bytes of {entry.path[:200]!r} have come from its node"
    if is_complete:
        return Problem(410, "lost", f"{there}, and no more will: the run is over there")
    problem = unavailable("not-here-yet", f"{there}; ask again")
    problem.headers["Retry-After"] = str(RETRY_AFTER_S)
    return problem


def _best(streams: Iterable[Stream]) -> Stream | None:
    """The stream that has most of a blob. One that was sealed with another digest than its name, or that has gaps, has none of
    it: somebody has put another file there."""
    good = [
        stream
        for stream in streams
        if not stream.is_removed and not stream.gaps and stream.row.sha256 in (None, stream.row.name.rpartition("/")[2])
    ]
    return max(good, key=lambda stream: stream.offset, default=None)


def _require(connection: Connection, owner: str) -> None:
    """Raises a 404 or 410 for the run that the files are of."""
    run_id = rows.run_of(connection, owner)
    if run_id is not None:
        catalog.require_kept(connection, run_id)


def _put(connection: Connection, row: Row, sender: str | None) -> None:
    """By a record, as everything that is told of a run; a model that belongs to no run is nobody's record."""
    _require(connection, row.owner)
    if not rows.is_kept(connection, row, sender):
        detail = f"the {row.size_bytes} bytes of {row.path[:200]!r} were not uploaded: there is no blob {row.sha256}"
        if sender is not None:
            detail += f" that run {sender} has sent"
        raise Problem(409, "no-such-blob", detail)
    run_id = rows.run_of(connection, row.owner)
    if run_id is None:
        refused = rows.put(connection, row, sender)
    else:
        record = Artifact(row.owner, row.path, row.sha256, row.size_bytes, row.created_ms)
        refusals = apply(connection, run_id, [record], now_ms=row.created_ms, sender=sender)
        refused = "; ".join(one.sentence for one in refusals)
    if refused:
        raise Problem(409, "refused", refused)


def _remove(connection: Connection, owner: str, path: str) -> int:
    _require(connection, owner)
    return rows.remove(connection, owner, path)


def _find(connection: Connection, owner: str, path: str) -> tuple[Row | None, bool]:
    """The file, and whether the run that its bytes are to come from is over."""
    _require(connection, owner)
    row = rows.find(connection, owner, path)
    if row is None or row.origin is None:
        return row, True
    return row, catalog.run(connection, row.origin).is_complete
