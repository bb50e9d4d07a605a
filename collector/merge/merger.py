"""Merging one run: its streams become its run-level files, in the order of time.

Reads the streams' files and writes the run-level files, both through the store, and its journal. A line is written once every
other node has told of a time beyond it, or when it has waited for `wait_ns`; a line that comes later still is marked late.
Memory: a bounded window of each stream, and what waits for its turn.
"""

from __future__ import annotations

from runyard import labels
from runyard.collector.store import Store

from .journal import Journal, State
from .lane import Lane
from .roles import ERR, EXECUTION, INFO, OUT, STATUS, Role, role_of
from .source import Clock, DriverSource, Source, TextSource, written
from .stamps import is_of_node, of_arrival, of_log, of_status
from .talk import NodeNews, RunNews, StreamNews

# What a node has written it sends well within this time, unless it lags behind.
SETTLE_NS = 10**9
# What is read of all streams at a time, and at least and most of one.
WINDOW_BYTES = 16 << 20
LEAST_BYTES, MOST_BYTES = 8 << 10, 1 << 20
# A line's own stamp in a numbered log has seconds only.
STAMP_ERROR_NS = 10**9
FOREVER_NS = 2**63 - 1

_TIMINGS = {EXECUTION: of_log, INFO: of_arrival, STATUS: of_status}


class Merger:
    """One run. `step` merges a window of what there is."""

    def __init__(self, store: Store, journal: Journal, wait_ns: int, now_ns: int) -> None:
        self._store = store
        self._journal = journal
        self._wait_ns = wait_ns
        self._begun_ns = now_ns
        self._nodes: dict[str, NodeNews] = {}
        self._clocks: dict[str, Clock] = {}
        self._sources: dict[int, Source] = {}
        self._indexes: dict[tuple[str, int, str, int], StreamNews] = {}
        self._drivers: dict[tuple[str, int, str, int], DriverSource] = {}
        self._ready: dict[int, Source] = {}  # of which more can be read
        self._pending: dict[int, Source] = {}  # of which lines wait for their turn
        self._behind: dict[int, tuple[Source, int]] = {}  # which lag, and when that was seen
        self._met_ns: dict[str, int] = {}  # when nodes became known here
        self._window_bytes = MOST_BYTES
        self._held_ns: int | None = None  # since when somebody holds the others back
        self._last_line: str | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """How long the run-level files are."""
        return {kind: output.size for kind, output in self._journal.state.outputs.items()}

    @property
    def is_over(self) -> bool:
        """Whether all is merged, for ever."""
        return self._journal.state.is_over

    @property
    def is_waiting(self) -> bool:
        """Whether lines wait for other nodes, or a node for its clock."""
        return bool(self._pending or self._ready)

    def take(self, news: RunNews, now_ns: int) -> None:
        """Takes over what is new. A stream's node has to be known."""
        for node in news.nodes:
            self._nodes[node.node_id] = node
            self._met_ns.setdefault(node.node_id, now_ns)
            clock = self._clocks.setdefault(node.node_id, Clock())
            clock.offset_ns, clock.error_ns = node.offset_ns, node.error_ns
        for stream in news.streams:
            role = role_of(stream.name)
            if role is not None and role.kind == "index":
                self._take_index(stream, role)
            elif role is not None:
                self._take_stream(stream, role)
        if news.last_line is not None:
            self._last_line = news.last_line
            for source in self._sources.values():  # nothing more comes, sealed or not
                source.news.is_closed = True
                self._wake(source)

    def _take_index(self, news: StreamNews, role: Role) -> None:
        key = (news.node_id, news.attempt, role.what, news.generation)
        self._indexes[key] = news
        source = self._drivers.get(key)
        if source is not None:
            source.index = news
            self._wake(source)

    def _take_stream(self, news: StreamNews, role: Role) -> None:
        source = self._sources.get(news.id)
        if source is None:
            source = self._sources[news.id] = self._make(news, role)
        source.news = news
        self._wake(source)

    def _wake(self, source: Source) -> None:
        source.is_waiting = False
        self._ready[source.news.id] = source

    def _make(self, news: StreamNews, role: Role) -> Source:
        clock = self._clocks[news.node_id]
        done = self._journal.state.written.get(news.id, [0, 0])
        origin = labels.Origin(self._nodes[news.node_id].folder, role.what, news.attempt, news.generation)
        head = labels.head(origin) if role.what else b""
        if role.kind != "driver":
            return TextSource(self._store, news, Lane(role.kind, head, done[0]), _TIMINGS[role.kind], clock)
        source = DriverSource(self._store, news, Lane(OUT, head, done[0]), Lane(ERR, head, done[1]), clock)
        key = (news.node_id, news.attempt, news.name, news.generation)
        self._drivers[key] = source
        source.index = self._indexes.get(key)
        return source

    def step(self, now_ns: int) -> bool:
        """Reads in a window and writes what may be written; whether there is more to do at once. Raises StoreError, OSError."""
        self._read(now_ns)
        self._write(self._until(now_ns))
        if self._ready or self._last_line is None or self._pending or self.is_over:
            return any(self._may_read(source, now_ns) for source in self._ready.values())
        self._end(self._last_line)
        return False

    def _may_read(self, source: Source, now_ns: int) -> bool:
        """Whether most of what was read is written: all are read on together, not one at each step."""
        if self._last_line is None and self._is_new(source.news.node_id, now_ns):
            return False
        return source.position - min(lane.first_end(source.position) for lane in source.lanes) < self._window_bytes // 2

    def _read(self, now_ns: int) -> None:
        share = WINDOW_BYTES // max(1, len(self._ready), len(self._pending))
        self._window_bytes = min(MOST_BYTES, max(LEAST_BYTES, share))
        chosen = [source for source in self._ready.values() if self._may_read(source, now_ns)]
        for source in chosen:
            before = source.position
            source.load(self._window_bytes, now_ns)
            if source.is_waiting:
                del self._ready[source.news.id]
            lasts = [lane.times[-1] for lane in source.lanes if lane.times]
            if lasts:
                self._pending[source.news.id] = source
                source.newest_ns = max(source.newest_ns, *lasts)
            if source.position > before and now_ns - source.newest_ns > SETTLE_NS:
                self._behind[source.news.id] = source, now_ns

    def _is_new(self, node_id: str, now_ns: int) -> bool:
        """Whether a node's clock is not known yet, and worth waiting for: it may be far off."""
        return self._clocks[node_id].offset_ns is None and now_ns - self._met_ns[node_id] < self._wait_ns

    def _until(self, now_ns: int) -> int:
        """Up to which time lines may be written."""
        until = FOREVER_NS if self._last_line is not None else self._told(now_ns)
        # Of what is still to be read, something may be older than what other streams have at hand.
        return min([until, *(source.newest_ns for source in self._ready.values() if source.news.id in self._pending)])

    def _told(self, now_ns: int) -> int:
        """Up to which time everybody has told everything; whoever holds the others back too long is not waited for."""
        told = self._told_behind(now_ns)
        for node_id, node in self._nodes.items():
            heard_ns = max(node.heard_ns, self._begun_ns)
            if self._is_new(node_id, now_ns):
                told.append(self._met_ns[node_id] - SETTLE_NS)
            elif not node.is_over and now_ns - heard_ns < self._wait_ns:
                told.append(heard_ns - SETTLE_NS)
        until, oldest = min(told, default=now_ns), now_ns - self._wait_ns
        if until >= oldest:
            self._held_ns = None
            return until
        self._held_ns = self._held_ns or now_ns
        return until if now_ns - self._held_ns < self._wait_ns else oldest

    def _told_behind(self, now_ns: int) -> list[int]:
        told = []
        for number, (source, seen_ns) in list(self._behind.items()):
            if now_ns - seen_ns > SETTLE_NS or source.news.is_closed or now_ns - source.newest_ns < SETTLE_NS:
                del self._behind[number]
            else:
                told.append(source.newest_ns)
        return told

    def _write(self, until_ns: int) -> None:
        """Writes the lines up to `until_ns`, file by file, and then tells the journal."""
        lines: dict[str, tuple[list[int], list[bytes]]] = {}
        changed = State()
        for number, source in list(self._pending.items()):
            is_touched = False
            for lane in source.lanes:
                if lane.times and lane.times[0] <= until_ns:
                    lane.error_ns = self._error_of(source)
                    found = lane.take(until_ns, self._journal.state.outputs[lane.output].last_ns)
                    times, pieces = lines.setdefault(lane.output, ([], []))
                    times += found[0]
                    pieces += found[1]
                    is_touched = True
            if is_touched:
                changed.written[number] = written(source)
                if not any(lane.times for lane in source.lanes):
                    del self._pending[number]
        for kind, (times, pieces) in lines.items():
            self._append(kind, times, pieces, changed)
        if changed.written:
            self._journal.add(changed)

    def _error_of(self, source: Source) -> int:
        error_ns = self._clocks[source.news.node_id].error_ns
        return error_ns if isinstance(source, DriverSource) else max(error_ns, STAMP_ERROR_NS)

    def _append(self, kind: str, times: list[int], pieces: list[bytes], changed: State) -> None:
        order = sorted(range(len(times)), key=times.__getitem__)
        ordered = list(map(pieces.__getitem__, order))
        if kind == STATUS:
            ordered = [line for line in ordered if not is_of_node(line)]
        data = b"\n".join([*ordered, b""])
        self._put(kind, data, times[order[-1]], changed)

    def _put(self, kind: str, data: bytes, last_ns: int, changed: State) -> None:
        output = self._journal.state.outputs[kind]
        view = memoryview(data)
        size = output.size
        while view:
            count = self._store.write(output.key, size, view)
            size, view = size + count, view[count:]
        changed.outputs[kind] = type(output)(output.key, size, max(output.last_ns, last_ns))

    def _end(self, last_line: str) -> None:
        changed = State(is_over=True)
        if last_line:
            self._put(STATUS, last_line.encode() + b"\n", 0, changed)
        self._journal.add(changed)
