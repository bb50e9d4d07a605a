"""Taking the frames of one ingest request: each piece goes to the store as it arrives, and nothing is joined in memory.

Reads from the request's body; writes to the store, and tells the committer, the followers and the pulse. A piece's offset is
checked and its bytes are written without an await in between, so that two requests on one stream cannot mix their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard import wire
from runyard.errors import ProtocolError

from . import catalog, placement
from .answers import Ack, Acks
from .auth import Principal
from .body import Body, next_piece
from .commit import Committer
from .database import Database
from .hub import Hub
from .messages import encode
from .metrics import Metrics
from .pace import Pace
from .problems import Problem, not_allowed, problem_of, unavailable
from .pulse import Pulse
from .schema import gaps
from .store import Store, StoreError
from .streams import Stream, Streams

# A request under way may hold so much of its body in memory (twice a connection's read buffer); all together no more than
# MOST_HELD_BYTES: what comes then is told to come back. A thousand small requests at once wait their turn.
HELD_BYTES = 512 << 10
MOST_HELD_BYTES = 256 << 20


class Ingest:
    """Takes ingest requests."""

    def __init__(
        self,
        *,
        streams: Streams,
        store: Store,
        database: Database,
        committer: Committer,
        hub: Hub,
        pulse: Pulse,
        metrics: Metrics,
        max_batch_bytes: int,
    ) -> None:
        self.streams = streams
        self.store = store
        self.database = database
        self.committer = committer
        self.hub = hub
        self.pulse = pulse
        self.metrics = metrics
        self.max_batch_bytes = max_batch_bytes
        self._held_bytes = 0
        self._pace = Pace()

    async def take(self, body: Body, length: int | None, who: Principal, *, sync: bool, named: Iterable[int]) -> bytes:
        """The JSON of the acks. Raises a Problem that carries the acks of what was taken before the fault."""
        request = _Request(self, who)
        held_bytes = HELD_BYTES if length is None else min(length, HELD_BYTES)
        self._held_bytes += held_bytes
        try:
            if self._held_bytes > MOST_HELD_BYTES:
                raise unavailable("busy", f"ingest requests of more than {MOST_HELD_BYTES >> 20} MiB are under way")
            if length is not None and length > self.max_batch_bytes:
                raise self.too_large()
            for stream_id in named:
                await request.admit(stream_id)
            await request.read(body)
            if sync:
                await self.committer.wait(request.named.values())
            nodes = await self._sign_of_life(request, who)
        except (Problem, StoreError, ProtocolError) as error:
            problem = problem_of(error)
            assert problem is not None
            problem.members["acks"] = request.acks()
            self.metrics.ingest_requests.labels(problem.code).inc()
            raise problem from error
        finally:
            self._held_bytes -= held_bytes
        self.metrics.ingest_requests.labels("ok").inc()
        return encode(Acks(acks=request.acks(), pause_s=self._pace.pause_s(nodes if request.named else ())))

    async def _sign_of_life(self, request: _Request, who: Principal) -> set[tuple[str, str]]:
        nodes = {(stream.run_id, stream.node_id) for stream in request.named.values()}
        if not nodes:
            nodes = await self.database.read(catalog.nodes_of_token, who.kind, who.subject)
        for run_id, node_id in nodes:
            self.pulse.beat(run_id, node_id)
        return nodes

    def too_large(self) -> Problem:
        """The 413."""
        return Problem(413, "too-large", f"an ingest request holds at most {self.max_batch_bytes} bytes")


class _Request:
    """One body. `named` are the streams that have been named so far, `_written` those written since the last announcement."""

    def __init__(self, ingest: Ingest, who: Principal) -> None:
        self._ingest = ingest
        self._who = who
        self._store = ingest.store
        self.named: dict[int, Stream] = {}
        self._written: set[Stream] = set()
        self._written_bytes = 0
        self._frames = 0

    def acks(self) -> list[Ack]:
        """How far each named stream has come."""
        return [Ack(id=stream.id, offset=stream.offset, durable=stream.durable) for stream in self.named.values()]

    async def admit(self, stream_id: int) -> Stream:
        """The stream, if whoever asks may write it."""
        stream = await self._ingest.streams.find(stream_id)
        if stream is None:
            raise Problem(404, "no-such-stream", f"there is no stream {stream_id}", members={"stream": stream_id})
        return self._check(stream)

    def _check(self, stream: Stream) -> Stream:
        if stream.node_id == placement.RUN_LEVEL or not self._who.may_write(stream.run_id, stream.node_id):
            raise not_allowed(f"stream {stream.id} belongs to another run or node", "not-yours")
        self.named[stream.id] = stream
        return stream

    async def read(self, body: Body) -> None:
        """Takes the whole body."""
        decoder = wire.FrameDecoder()
        total = 0
        while piece := await next_piece(body):
            total += len(piece)
            if total > self._ingest.max_batch_bytes:
                raise self._ingest.too_large()
            try:
                await self._take(decoder, piece)
            finally:
                self._announce()
        try:
            decoder.close()
        except ProtocolError as error:
            raise Problem(400, "torn", str(error)) from error

    async def _take(self, decoder: wire.FrameDecoder, chunk: bytes) -> None:
        named, streams, written, write = self.named, self._ingest.streams, self._written, self._store.write
        for header, position, piece in decoder.feed(chunk):
            stream = named.get(header.stream_id)
            if stream is None:
                known = streams.known(header.stream_id)
                stream = self._check(known) if known else await self.admit(header.stream_id)
            if header.kind == wire.GAP:
                await self._take_gap(stream, header.offset, header.offset + header.length)
                continue
            if not position:
                self._frames += 1
            at = header.offset + position
            expected = stream.offset
            if at != expected or stream.closed:
                self._take_other(stream, at, expected, piece)
            else:
                count = write(stream.key, expected, piece)
                stream.offset = expected + count
                written.add(stream)
                self._written_bytes += count
                if count != len(piece):
                    self._append(stream, piece[count:])

    def _take_other(self, stream: Stream, at: int, expected: int, piece: memoryview) -> None:
        """A piece that is not simply the next one of an open stream."""
        if stream.closed == "superseded":
            raise _closed(stream)
        if at > expected:
            raise _gap(stream)
        fresh = piece[expected - at :]
        if not fresh:
            return  # sent before; that is harmless, for a sealed stream, too
        if stream.closed:
            raise _closed(stream)
        self._append(stream, fresh)

    def _append(self, stream: Stream, piece: memoryview) -> None:
        while piece:
            count = self._store.write(stream.key, stream.offset, piece)
            stream.offset += count
            self._written.add(stream)
            self._written_bytes += count
            if count == len(piece):
                return
            piece = piece[count:]  # room ran out in the middle of it; the next try says so

    async def _take_gap(self, stream: Stream, start: int, end: int) -> None:
        self._frames += 1
        self._check_gap(stream, start)
        if start == end:
            return
        # The mark comes first: were the bytes blanked first and the collector killed then, they would pass for the driver's.
        await self._ingest.database.write(_mark_gap, stream.id, start, end)
        self._check_gap(stream, start)
        try:
            if end > stream.offset:
                self._store.extend(stream.key, end)
            self._store.blank(stream.key, start, min(end, stream.offset))
        except StoreError:
            await self._ingest.database.write(_unmark_gap, stream.id, start, end)
            raise
        stream.offset = max(stream.offset, end)
        stream.gaps = list(placement.merged([*stream.gaps, (start, end)]))
        self._written.add(stream)

    def _check_gap(self, stream: Stream, start: int) -> None:
        if stream.closed:
            raise _closed(stream)
        if start > stream.offset:
            raise _gap(stream)

    def _announce(self) -> None:
        """Tells the others what was written."""
        metrics = self._ingest.metrics
        metrics.ingest_frames.inc(self._frames)
        self._frames = 0
        if self._written:
            metrics.ingest_bytes.inc(self._written_bytes)
            self._ingest.committer.wrote(self._written, self._written_bytes)
            self._ingest.hub.grown(self._written)
            self._written.clear()
            self._written_bytes = 0


def _closed(stream: Stream) -> Problem:
    detail = {
        "sealed": f"stream {stream.id} is sealed; open its next generation to send more",
        "superseded": f"stream {stream.id} was superseded by a later generation of its file",
        "removed": f"stream {stream.id} is of a run whose files were removed",
    }[stream.closed]
    return Problem(410 if stream.closed == "removed" else 409, stream.closed, detail, members={"stream": stream.id})


def _gap(stream: Stream) -> Problem:
    detail = f"stream {stream.id} goes on at byte {stream.offset}; send from there"
    return Problem(409, "gap", detail, members={"stream": stream.id, "expected": stream.offset})


def _mark_gap(connection: Connection, stream_id: int, start: int, end: int) -> None:
    same = (gaps.c.stream_id == stream_id) & (gaps.c.start == start) & (gaps.c.end == end)
    if connection.execute(sa.select(gaps.c.start).where(same)).first() is None:
        connection.execute(sa.insert(gaps).values(stream_id=stream_id, start=start, end=end))


def _unmark_gap(connection: Connection, stream_id: int, start: int, end: int) -> None:
    same = (gaps.c.stream_id == stream_id) & (gaps.c.start == start) & (gaps.c.end == end)
    connection.execute(sa.delete(gaps).where(same))
