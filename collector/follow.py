"""Following a run: its bytes as server-sent events, from the first one or from a cursor on, until the run is complete.

Woken by the hub; reads from the store at the pace of its client; writes events to the response. Memory is bounded by one batch
of events for each follower, however slow it is and however much comes.
"""

from __future__ import annotations

import asyncio
import json
import time
from binascii import b2a_base64
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from runyard import names

from . import cursor as cursors
from .hub import Subscription
from .placement import RUN_LEVEL
from .pulse import Pulse
from .state import State
from .store import Store, StoreError
from .streams import Stream
from .views import View
from .wish import Wish

# Bytes of streams in one event, and in one write. A slow client holds about the second of our memory.
EVENT_BYTES = 64 << 10
BATCH_BYTES = 256 << 10
# So near to its end a stream that is written lies in the page cache.
RECENT_BYTES = 256 << 10
# What comes so soon after a write is gathered into the next one.
PACE_S = 0.005
COMMENT_S = 15.0
# How often a run is looked at whose node may have fallen silent.
LOOK_S = 1.0
# Finished streams are folded into the first half of the cursor so many at a time: it is made anew each time.
FOLD = 64

Write = Callable[[bytes], Awaitable[None]]
_ChainKey = tuple[str, int, str, int]


class Follower:
    """One client's view of one run. `add` gives it streams, `run` sends until the end."""

    def __init__(self, wish: Wish, subscription: Subscription, store: Store, pulse: Pulse) -> None:
        self._wish = wish
        self._subscription = subscription
        self._store = store
        self._pulse = pulse
        self._state = State()
        self._status = ""
        # The generations of one file, earliest first: only the first of each chain is being sent.
        self._chains: dict[_ChainKey, deque[View]] = {}
        self._views: dict[int, View] = {}
        self._by_index: dict[int, View] = {}
        self._indexes: dict[tuple[str, int, str, int], Stream] = {}
        self._pending: dict[int, View] = {}
        self._done: set[int] = set(wish.done)
        self._finished: set[int] = set()
        self._has_run_level = False
        self._is_removed = False
        self._positions = cursors.Positions(wish.done_part)
        self._events: list[bytes] = []
        self._sent_s = time.monotonic()

    def add(self, stream: Stream, position: int, limit: int | None = None) -> None:
        """Follows `stream` from `position` on, up to `limit`. A stream that is not wanted may still be another one's index."""
        row = stream.row
        self._has_run_level |= row.node_id == RUN_LEVEL
        if stream.id in self._views or stream.id in self._done:
            return
        if self._wish.annotate and row.name.startswith(names.INDEX_DIR):
            self._add_index(stream)
        if not self._wish.wants(row):
            return
        view = View(stream, position, limit, annotate=self._wish.annotate)
        self._views[stream.id] = view
        index = self._indexes.get((row.node_id, row.attempt, names.index_of(row.name), row.generation))
        if index is not None:
            self._attach(view, index)
        self._positions.add(stream.id, position)
        alone = stream.id if self._wish.names_superseded(row) else 0
        chain = self._chains.setdefault((row.node_id, row.attempt, row.name, alone), deque())
        chain.append(view)
        if len(chain) == 1:
            self._activate(view)
        else:
            self._pending[chain[0].stream.id] = chain[0]

    def _add_index(self, index: Stream) -> None:
        row = index.row
        self._indexes[row.node_id, row.attempt, row.name, row.generation] = index
        for view in self._views.values():
            log = view.stream.row
            same = (log.node_id, log.attempt, log.generation) == (row.node_id, row.attempt, row.generation)
            if same and names.index_of(log.name) == row.name:
                self._attach(view, index)

    def _attach(self, view: View, index: Stream) -> None:
        view.attach(index, self._store)
        self._by_index[index.id] = view

    def _activate(self, view: View) -> None:
        view.is_open = True
        self._pending[view.stream.id] = view
        row = view.stream.row
        values = {"stream": row.id, "path": self._wish.path_of(row), "node_id": row.node_id, "offset": view.position}
        self._event("open", values | {"generation": row.generation}, with_id=False)

    async def run(self, state: State, silent_if: tuple[str, ...], write: Write, is_gone: Callable[[], bool]) -> None:
        """Sends until everything asked for was sent, the client has left, or the collector stops."""
        subscription = self._subscription
        self._state = state
        subscription.silent_if = subscription.silent_if or silent_if
        while not (subscription.is_closing or is_gone()):
            self._look()
            await self._gather()
            await self._flush(write)
            if self._pending:
                await asyncio.sleep(0)  # a client that takes everything at once must not keep the others waiting
            elif not subscription.wake.is_set():
                if self._is_over:
                    self._event("end", {"status": self._status, "exit_code": self._state.exit_code})
                    await self._flush(write)
                    return
                await self._wait(write)

    @property
    def _is_over(self) -> bool:
        is_short = self._is_removed or self._wish.until_now
        return is_short or (self._state.is_final and self._state.is_complete and not self._is_merging)

    @property
    def _is_merging(self) -> bool:
        """Whether the run-level files that are followed still grow, although the nodes have ended."""
        if not self._has_run_level and self._wish.expects_run_level:
            return True  # the run has ended before they were opened
        return any(not view.stream.closed for view in self._views.values() if view.stream.node_id == RUN_LEVEL)

    def _look(self) -> None:
        """Takes over what has happened since the last look."""
        subscription = self._subscription
        subscription.wake.clear()
        if subscription.removed is not None and not self._is_removed:
            self._is_removed = True
            removed_ns, why = subscription.removed
            self._event("removed", {"removed_ns": removed_ns, "why": why}, with_id=False)
        opened, subscription.opened = subscription.opened, []
        if not self._wish.until_now:
            for stream in opened:
                self.add(stream, 0)
        # In the order in which they were added, which keeps their cursors cheap.
        for stream_id in sorted(subscription.dirty):
            view = self._views.get(stream_id) or self._by_index.get(stream_id)
            if view is not None and view.is_open:
                self._pending[view.stream.id] = view
        subscription.dirty.clear()
        if subscription.state is not None:
            self._state, subscription.state = subscription.state, None
            if self._is_over:  # bytes that waited for an index record wait no longer
                self._pending.update((view.stream.id, view) for view in self._views.values() if view.is_open)
        if self._is_removed:
            self._pending.clear()  # there is nothing to be sent of them any more
        status = self._state.status
        if not self._state.is_final and self._pulse.is_lost(subscription.run_id, subscription.silent_if):
            status = "NotResponding"
        if status != self._status:
            self._status = status
            self._event("status", {"status": status})

    async def _gather(self) -> None:
        """Makes events of what is pending, each stream in its turn, until a batch is full."""
        room, is_over = BATCH_BYTES, self._is_over
        while self._pending and room > 0:
            stream_id, view = next(iter(self._pending.items()))
            del self._pending[stream_id]
            span = view.next(EVENT_BYTES, is_last=is_over)
            if span is None:
                self._settle(view)
                continue
            start, end, is_gap = span
            if is_gap:
                self._send_gap(view, start, end)
                room -= 1
            else:
                data = self._ready(view.stream, start, end - start)
                if data is None:  # it lies on the disk: let the others go on meanwhile
                    data = await self._from_disk(view.stream, start, end - start)
                if not data:
                    continue  # the disk lost it; the node sends it again
                self._send_data(view, start, data)
                room -= len(data)
            if not view.is_at_end:
                self._pending[stream_id] = view
            elif view.stream.closed:
                self._settle(view)

    def _ready(self, stream: Stream, start: int, size: int) -> bytes | None:
        try:
            if stream.offset - start <= RECENT_BYTES:
                return self._store.read_recent(stream.key, start, size)
            return self._store.read_ready(stream.key, start, size)
        except StoreError:  # an administrator took the file away; the client is told the rest of the run
            return b""

    async def _from_disk(self, stream: Stream, start: int, size: int) -> bytes:
        try:
            return await asyncio.to_thread(self._store.read, stream.key, start, size)
        except StoreError:  # as above
            return b""

    def _send_gap(self, view: View, start: int, end: int) -> None:
        stream_id = view.stream.id
        view.position = end
        self._positions.move(stream_id, end)
        self._event("gap", {"stream": stream_id, "offset": start, "length": end - start})

    def _send_data(self, view: View, start: int, data: bytes) -> None:
        stream_id = view.stream.id
        view.position = end = start + len(data)
        cursor = self._positions.move(stream_id, end)
        records = b""
        if self._wish.annotate:
            records = b',"records":' + json.dumps(view.records(start, end), separators=(",", ":")).encode()
        self._events.append(
            b'event: data\nid: %b\ndata: {"stream":%d,"offset":%d,"data":"%b"%b}\n\n'
            % (cursor, stream_id, start, b2a_base64(data, newline=False), records)
        )

    def _settle(self, view: View) -> None:
        """Nothing is to be sent from this stream now: is it for ever?"""
        if not view.is_at_end or not view.stream.closed:
            return
        row = view.stream.row
        chain = next((chain for chain in self._chains_of(row) if chain and chain[0] is view), None)
        if chain is not None and len(chain) > 1:
            chain.popleft()
            view.is_open = False
            self._finish(view, at_once=True)
            self._event("superseded", {"stream": row.id, "generation": chain[0].stream.row.generation})
            self._activate(chain[0])
        elif view.stream.closed == "sealed":
            self._finish(view)

    def _chains_of(self, row: Any) -> Iterable[deque[View]]:
        key = (row.node_id, row.attempt, row.name)
        return (self._chains[(*key, alone)] for alone in (0, row.id) if (*key, alone) in self._chains)

    def _finish(self, view: View, *, at_once: bool = False) -> None:
        self._finished.add(view.stream.id)
        if at_once or len(self._finished) >= FOLD:
            self._done |= self._finished
            for stream_id in self._finished:
                self._positions.drop(stream_id)
            self._finished.clear()
            self._positions.done = cursors.done_part(sorted(self._done | self._views.keys()), self._done)

    def _event(self, name: str, values: dict[str, Any], *, with_id: bool = True) -> None:
        head = f"event: {name}\n".encode() + (b"id: " + self._positions.now() + b"\n" if with_id else b"")
        self._events.append(head + b"data: " + json.dumps(values, separators=(",", ":")).encode() + b"\n\n")

    async def _flush(self, write: Write) -> None:
        if self._events:
            batch = b"".join(self._events)
            self._events.clear()
            await write(batch)
            self._sent_s = time.monotonic()

    async def _wait(self, write: Write) -> None:
        """Until something happens; a comment is sent where nothing does for long."""
        quiet_s = time.monotonic() - self._sent_s
        if quiet_s >= COMMENT_S:
            self._events.append(b": still here\n\n")
            await self._flush(write)
            quiet_s = 0.0
        try:
            async with asyncio.timeout(min(LOOK_S, COMMENT_S - quiet_s)):
                await self._subscription.wake.wait()
        except TimeoutError:
            return
        early_s = PACE_S - (time.monotonic() - self._sent_s)
        if early_s > 0:
            await asyncio.sleep(early_s)
