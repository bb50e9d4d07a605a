"""Streams as the merge reads them: how far they have come, which lanes their lines go to, and when those were written.

Reads streams' files from the store. `DriverSource` has a time index beside it; `TextSource` finds times in the lines.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Protocol

from runyard.collector.query import first_record_behind
from runyard.collector.store import NotStored, Store
from runyard.timeindex import RECORD_BYTES, STDERR, STDOUT, TOGETHER

from .lane import LINE_BYTES, Lane
from .talk import StreamNews


class Clock:
    """A node's clocks against the collector's. Until it is measured, the node's wall clock is taken for right."""

    def __init__(self) -> None:
        self.offset_ns: int | None = None  # collector = monotonic + offset
        self.error_ns = 0
        self.ahead_ns: int | None = None  # collector = wall + this, as an index record has told

    @property
    def skew_ns(self) -> int:
        """What has to be added to the node's wall clock."""
        return self.ahead_ns or 0


class Source(Protocol):
    """One stream. `newest_ns` is the youngest time that was read in, `is_waiting` that there is nothing more to read now."""

    news: StreamNews
    position: int
    newest_ns: int
    is_waiting: bool

    @property
    def lanes(self) -> tuple[Lane, ...]: ...

    def load(self, most: int, now_ns: int) -> None: ...


def written(source: Source) -> list[int]:
    """What the journal keeps of a source."""
    return [lane.position(source.position) for lane in source.lanes]


def _gap_at(source: Source) -> tuple[int, int] | None:
    return next(((start, min(end, source.news.offset)) for start, end in source.news.gaps if end > source.position), None)


def _read(store: Store, key: str, offset: int, size: int) -> bytes:
    try:
        return store.read(key, offset, size) if size > 0 else b""
    except NotStored:  # an administrator took the file away; the others are merged
        return b""


class DriverSource:
    """A driver's log. Bytes wait for their index records unless none can come any more."""

    def __init__(self, store: Store, news: StreamNews, out: Lane, err: Lane, clock: Clock) -> None:
        self.news = news
        self.index: StreamNews | None = None
        self.lanes = (out, err)
        self.position = min(out.written, err.written)
        self.newest_ns = 0
        self.is_waiting = False
        self._store = store
        self._clock = clock
        self._passed = max(out.written, err.written)  # up to here one of the lanes is ahead
        self._record = -1  # number of the first index record that ends behind `position`; -1: it has to be searched for
        self._passed_records = 0  # so many index records, at least, end before `position`
        self._by_source = {STDOUT: out, STDERR: err, TOGETHER: out}

    def load(self, most: int, now_ns: int) -> None:
        """Reads in up to `most` bytes."""
        gap = _gap_at(self)
        if gap is not None and gap[0] <= self.position:
            self._take_gap(gap[1], now_ns)
            return
        end = min(self.news.offset, self.position + most, gap[0] if gap else self.news.offset)
        ends, times, sources = self._records(end, most, now_ns)
        if not ends and self.news.is_closed and self._is_index_read() and self.position < end:
            ends, times, sources = [end], [self.newest_ns or now_ns], [STDOUT]
        data = _read(self._store, self.news.key, self.position, ends[-1] - self.position) if ends else b""
        if not data:
            self._settle(now_ns)
            return
        if self.position + len(data) < ends[-1]:
            count = bisect_left(ends, self.position + len(data))
            ends = [*ends[:count], self.position + len(data)]
            self._record = -1
        self._take(data, ends, times, sources)
        self.newest_ns = max(self.newest_ns, times[len(ends) - 1])
        self.position += len(data)
        if gap is not None and self.position == gap[0]:
            self._end_lines(now_ns)

    def _settle(self, now_ns: int) -> None:
        self.is_waiting = True
        if self.news.is_closed and self.position >= self.news.offset:
            self._end_lines(now_ns)

    def _end_lines(self, now_ns: int) -> None:
        for lane in self.lanes:
            lane.end_line(self.newest_ns or now_ns, self.position)

    def _take_gap(self, end: int, now_ns: int) -> None:
        """Its time is that of the record in which it ends, as of other bytes: with a later one, what follows would be late."""
        number, count = self._first_behind(end - 1)
        if number < count:
            self.newest_ns = max(self.newest_ns, self._times(self._numbers(number, 1), now_ns)[-1])
        elif not self.news.is_closed:
            self.is_waiting = True
            return
        self._end_lines(now_ns)
        out = self.lanes[0]
        if out.written < end:
            out.add_gap(end - self.position, self.newest_ns or now_ns, end)
        self.position = end
        self._record = -1

    def _is_index_read(self) -> bool:
        return self.index is None or max(self._record, self._passed_records) >= self.index.offset // RECORD_BYTES

    def _first_behind(self, position: int) -> tuple[int, int]:
        """The number of the first index record that ends behind `position`, and how many records there are."""
        if self.index is None:
            return 0, 0
        key, count = self.index.key, self.index.offset // RECORD_BYTES
        return first_record_behind(lambda at, size: _read(self._store, key, at, size), count, position), count

    def _numbers(self, record: int, count: int) -> memoryview[int]:
        """Up to `count` index records from number `record` on, four numbers each."""
        assert self.index is not None
        data = _read(self._store, self.index.key, record * RECORD_BYTES, count * RECORD_BYTES)
        return memoryview(data[: len(data) - len(data) % RECORD_BYTES]).cast("Q")

    def _records(self, end: int, most: int, now_ns: int) -> tuple[list[int], list[int], list[int]]:
        """The index records of [position, end): their ends, the last one cut, their times, and sources."""
        if self.index is None:
            return [], [], []
        count = self.index.offset // RECORD_BYTES
        if self._record < 0:
            self._record, count = self._first_behind(self.position)
            if self._record == count:  # the next one may end before `position`, too: it is searched for again
                self._record, self._passed_records = -1, count
                return [], [], []
        numbers = self._numbers(self._record, min(count - self._record, max(256, most // 64)))
        ends = numbers[0::4].tolist()
        if not ends:
            return [], [], []
        used = min(bisect_left(ends, end) + 1, len(ends))
        last = ends[used - 1]
        del ends[used:]
        ends[-1] = min(end, last)
        self._record += used if last <= end else used - 1
        return ends, self._times(numbers[: 4 * used], now_ns), numbers[3 : 4 * used : 4].tolist()

    def _times(self, numbers: memoryview[int], now_ns: int) -> list[int]:
        wall_ns = numbers[1::4].tolist()
        offset_ns = self._clock.offset_ns
        if offset_ns is None:
            times = wall_ns
        else:
            times = [mono_ns + offset_ns for mono_ns in numbers[2::4].tolist()]
            self._clock.ahead_ns = times[-1] - wall_ns[-1]
        # Nothing was written after it had arrived: a clock that says so is ahead.
        return [min(time_ns, now_ns) for time_ns in times] if max(times) > now_ns else times

    def _take(self, data: bytes, ends: list[int], times: list[int], sources: list[int]) -> None:
        lane = self._by_source.get(sources[0], self.lanes[0])
        done, start = 0, self.position
        if start >= self._passed and sources.count(sources[0]) == len(sources):
            # The line that has begun is ended, and then nearly all can be taken at once.
            done = next((n for n, end in enumerate(ends, 1) if data[end - start - 1] == 10), 0) if lane.has_begun else 0
            self._take_slowly(data, start, ends[:done], times, sources)
            start = ends[done - 1] if done else start
            done += self._take_fast(lane, data, start, ends[done:], times[done:]) if not lane.has_begun else 0
            start = ends[done - 1] if done else start
        self._take_slowly(data, start, ends[done:], times[done:], sources[done:])

    def _take_slowly(self, data: bytes, start: int, ends: list[int], times: list[int], sources: list[int]) -> None:
        base = self.position
        for end, time_ns, source in zip(ends, times, sources, strict=False):
            lane = self._by_source.get(source, self.lanes[0])
            first = max(start, min(lane.written, end)) if start < self._passed else start
            if first < end:
                lane.add(data[first - base : end - base], time_ns, end)
            start = end

    def _take_fast(self, lane: Lane, data: bytes, start: int, ends: list[int], times: list[int]) -> int:
        """Takes the records up to the last one at which a line ends, if lines end at all of them; returns how many."""
        base = self.position
        lasts = [data[end - base - 1] for end in ends]
        count = len(ends) - (bool(ends) and lasts[-1] != 10)
        if not count or lasts.count(10) < count:
            return 0
        starts = [start - base, *(end - base for end in ends[: count - 1])]
        pieces = [data[start : end - base - 1] for start, end in zip(starts, ends, strict=False)]
        lane.add_units(pieces[:count], times[:count], ends[:count])
        return count


# Of the text of whole lines: the time of each unit (None: that of the one before), and the offset of its end.
Timing = Callable[[bytes, int], tuple[list[int | None], list[int]]]


class TextSource:
    """A file whose lines tell their times, or have none but their arrival."""

    def __init__(self, store: Store, news: StreamNews, lane: Lane, timing: Timing, clock: Clock) -> None:
        self.news = news
        self.lanes = (lane,)
        self.position = lane.written
        self.newest_ns = 0
        self.is_waiting = False
        self._store = store
        self._timing = timing
        self._clock = clock

    def load(self, most: int, now_ns: int) -> None:
        """Reads in up to `most` bytes, or a whole line."""
        lane, news = self.lanes[0], self.news
        gap = _gap_at(self)
        if gap is not None and gap[0] <= self.position:
            lane.add_gap(gap[1] - self.position, self.newest_ns or now_ns, gap[1])
            self.position = gap[1]
            return
        end = min(news.offset, self.position + max(most, LINE_BYTES), gap[0] if gap else news.offset)
        data = _read(self._store, news.key, self.position, end - self.position)
        whole = data.rfind(b"\n") + 1
        if whole:
            self._take(data[:whole], now_ns)
        elif data and (len(data) >= LINE_BYTES or news.is_closed or (gap and end == gap[0])):
            lane.add(data, self.newest_ns or now_ns, end)
            lane.end_line(self.newest_ns or now_ns, end)
            self.position = end
        else:
            self.is_waiting = True

    def _take(self, data: bytes, now_ns: int) -> None:
        told, ends = self._timing(data, self._clock.skew_ns)
        times, last = [], self.newest_ns
        for time_ns in told:
            # Times that go back are no times of these lines; nothing was written after it had arrived.
            last = min(max(last, time_ns), now_ns) if time_ns is not None else last or now_ns
            times.append(last)
        starts = [0, *ends[:-1]]
        pieces = [data[start : end - 1] for start, end in zip(starts, ends, strict=True)]
        self.lanes[0].add_units(pieces, times, [self.position + end for end in ends])
        self.position += len(data)
        self.newest_ns = last
