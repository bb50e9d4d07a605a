"""Applies the journals of runs as they grow: whole lines, in order, each exactly once.

Listens to the hub; reads the journals from the store; writes by apply.py, and how far it has come (the table `applied_records`)
in the same transaction. So a crash at any moment leaves each line either applied or to be applied. A backlog is applied in
pieces that keep other writers waiting for a few hundredths of a second each. Belongs to the event loop's thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
import structlog
from sqlalchemy import exc
from sqlalchemy.engine import Connection

from runyard.collector.database import Database
from runyard.collector.hub import Hub
from runyard.collector.schema import applied_records
from runyard.collector.state import State
from runyard.collector.store import NotStored, Store, StoreError
from runyard.collector.streams import Stream, Streams
from runyard.errors import RunyardError
from runyard.tracking.records import Record

from . import batches, journals, lines, parents, telling
from .apply import apply
from .warn import warn

PIECE_BYTES = 256 << 10  # of a journal at a time
MOST_LINE_BYTES = 4 << 20
# What has come in this time is applied together.
GATHER_S = 0.02
# How often it is looked for children of runs that have ended.
SWEEP_S = 30.0
RETRY_S = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Part:
    """What has come of one journal and is not applied: its bytes [start, end)."""

    stream_id: int
    run_id: str
    key: str
    start: int
    end: int
    is_closed: bool


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is to be applied of one journal now: it is applied up to `start`, and will be up to `end`."""

    stream_id: int
    run_id: str
    start: int
    end: int
    records: Sequence[Record]
    faults: Sequence[str]


class Applier:
    """Applies what comes in journals, from `run` until it is cancelled."""

    def __init__(self, database: Database, streams: Streams, store: Store, hub: Hub) -> None:
        self._database = database
        self._streams = streams
        self._store = store
        self._hub = hub
        self._waiting: dict[int, Stream] = {}  # the one that has waited longest first
        self._applied: dict[int, int] = {}  # how far each journal is
        self._ended: set[str] = set()  # runs that have ended, whose children are to be looked at
        self._wake = asyncio.Event()
        hub.watchers.append(self)

    def grown(self, streams: set[Stream]) -> None:
        """Streams have more bytes, or take no more."""
        for stream in streams:
            if journals.is_journal(stream.row.name):
                self._waiting.setdefault(stream.id, stream)
                self._wake.set()

    def opened(self, stream: Stream) -> None:
        """A stream is new: there is nothing in it."""

    def told(self, run_id: str, state: State, silent_if: tuple[str, ...]) -> None:
        """A run's state has changed."""
        if state.is_final and state.is_complete:
            self._ended.add(run_id)
            self._wake.set()

    async def run(self) -> None:
        """Applies until it is cancelled."""
        sweeping = asyncio.create_task(self._sweep())
        try:
            await self._again_and_again(self._catch_up)
            while True:
                await self._wake.wait()
                self._wake.clear()
                await asyncio.sleep(GATHER_S)
                await self._again_and_again(self._apply_all)
        finally:
            sweeping.cancel()

    async def _again_and_again(self, step: Callable[[], Awaitable[None]]) -> None:
        """Takes the step until it succeeds."""
        while True:
            try:
                await step()
            except Exception as error:  # whatever it is, the bytes are kept, and what they say can be applied later
                log.error("records wait", error=str(error), exc_info=not isinstance(error, RunyardError))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._end_children()
                await self._database.write(batches.forget_old, time.time_ns() // 10**6)
            except RunyardError as error:
                log.warning("the children of runs that have ended are not looked at", error=str(error))

    async def _end_children(self) -> None:
        ended = await self._database.write(parents.end_children, time.time_ns())
        await telling.tell(self._database, self._hub, ended)

    async def _catch_up(self) -> None:
        """What a crash has left between the arrival of records and their application."""
        for stream_id in await self._database.read(journals.unapplied):
            stream = await self._streams.find(stream_id)
            if stream is not None:
                self._waiting.setdefault(stream.id, stream)
        await self._apply_all()
        await self._end_children()

    async def _apply_all(self) -> None:
        while self._waiting:
            chosen = await self._choose()
            try:
                pieces = await self._read(chosen)
                if pieces:
                    await self._database.write(apply_pieces, list(pieces.values()), time.time_ns() // 10**6)
            except BaseException:  # whatever it is, also a cancel: what was taken out waits again
                self._waiting |= {stream.id: stream for stream in chosen}
                for stream in chosen:  # whether it was committed, the database knows
                    self._applied.pop(stream.id, None)
                raise
            self._put_back(chosen, pieces)
            for piece in pieces.values():
                await telling.tell(self._database, self._hub, telling.spoken_of(piece.run_id, piece.records))
        ended, self._ended = self._ended, set()
        if ended:
            await self._end_children()

    async def _choose(self) -> list[Stream]:
        """Journals of which about as much waits as is applied at once; they are taken out of those that wait."""
        chosen: list[Stream] = []
        size = 0
        unknown = [stream_id for stream_id in self._waiting if stream_id not in self._applied]
        if unknown:
            self._applied |= await self._database.read(journals.applied, unknown)
        for stream in list(self._waiting.values()):
            if size >= PIECE_BYTES or stream.id not in self._applied:  # it has come meanwhile
                break
            del self._waiting[stream.id]
            waiting_bytes = stream.offset - self._applied[stream.id]
            if stream.is_removed or waiting_bytes <= 0:
                self._forget(stream)
                continue
            chosen.append(stream)
            size += waiting_bytes
        return chosen

    def _forget(self, stream: Stream) -> None:
        if stream.closed:
            self._applied.pop(stream.id, None)

    async def _read(self, chosen: Sequence[Stream]) -> dict[int, _Piece]:
        """The next whole lines of the journals, of as many of them as are applied at once."""
        asked = [_Part(one.id, one.run_id, one.key, self._applied[one.id], one.offset, bool(one.closed)) for one in chosen]
        pieces = await asyncio.to_thread(_next_lines, self._store, asked)
        for part, stream in zip(asked, chosen, strict=True):
            if part.key != stream.key:  # it was moved meanwhile, and another generation's file lies there now
                pieces.pop(stream.id, None)
        return pieces

    def _put_back(self, chosen: Iterable[Stream], pieces: Mapping[int, _Piece]) -> None:
        """Those that were not looked at, and those of which there is more. One that has no whole line waits until it grows."""
        for stream in chosen:
            piece = pieces.get(stream.id)
            if piece is not None:
                self._applied[stream.id] = piece.end
            if piece is None or (piece.end > piece.start and stream.offset > piece.end):
                self._waiting.setdefault(stream.id, stream)


def _next_lines(store: Store, asked: Iterable[_Part]) -> dict[int, _Piece]:
    """In a thread: reads and decodes."""
    pieces: dict[int, _Piece] = {}
    work = 0
    for part in asked:
        try:
            taken = _lines_of(store, part)
        except NotStored:  # an administrator has removed the file
            taken = lines.Taken(part.end - part.start, (), (f"the journal is lost from byte {part.start} on",), 0)
        except Exception as error:  # whatever is wrong with one journal, the others go on
            is_known = isinstance(error, StoreError)
            log.error("a journal cannot be read", stream=part.stream_id, error=str(error), exc_info=not is_known)
            taken = lines.Taken(0, (), (), 0)
        work += taken.work + lines.OF_SERIES
        if work > lines.MOST_WORK and pieces:
            break
        end = part.start + taken.length
        pieces[part.stream_id] = _Piece(part.stream_id, part.run_id, part.start, end, taken.records, taken.faults)
    return pieces


def _lines_of(store: Store, part: _Part) -> lines.Taken:
    size = min(part.end - part.start, PIECE_BYTES)
    piece = store.read(part.key, part.start, size)
    if b"\n" not in piece and part.end - part.start > size:
        piece = store.read(part.key, part.start, min(part.end - part.start, MOST_LINE_BYTES))
    is_whole = part.is_closed and part.start + len(piece) == part.end
    is_too_long = len(piece) == MOST_LINE_BYTES and b"\n" not in piece
    return lines.take(piece, at=part.start, is_last=is_whole or is_too_long)


def apply_pieces(connection: Connection, pieces: Sequence[_Piece], now_ms: int) -> None:
    """Applies each piece and writes down how far its journal is."""
    for piece in pieces:
        refused = _apply_piece(connection, piece, now_ms)
        warn(connection, piece.run_id, [*piece.faults, *refused], now_ms)
        here = applied_records.c.stream_id == piece.stream_id
        if connection.execute(sa.update(applied_records).where(here).values(offset=piece.end)).rowcount == 0:
            connection.execute(sa.insert(applied_records).values(stream_id=piece.stream_id, offset=piece.end))


def _apply_piece(connection: Connection, piece: _Piece, now_ms: int) -> list[str]:
    def some(records: Sequence[Record]) -> list[str]:
        with connection.begin_nested():
            refused = apply(connection, piece.run_id, records, now_ms=now_ms, origin=piece.run_id)
        return [refusal.sentence for refusal in refused]

    try:
        return some(piece.records)
    except (exc.OperationalError, exc.InternalError):
        raise  # the database cannot do it now
    except Exception as error:  # a fault of ours in one record must not keep all that follow it from being applied
        log.error("records cannot be applied together", run=piece.run_id, exc_info=error)
    sentences = []
    for record in piece.records:
        try:
            sentences += some([record])
        except (exc.OperationalError, exc.InternalError):
            raise
        except Exception as error:  # noqa: BLE001 - see above
            sentences.append(f"a record could not be applied, which is the collector's fault: {record!r:.100} ({error!r:.200})")
    return sentences
