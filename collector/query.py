"""Finding a place in a log: by time, by lines from the end, and the index records of a range of bytes.

Pure: everything is read through a function read(offset, size) of the caller, which may block.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from runyard.timeindex import RECORD_BYTES, TOGETHER, Record, unpack

Read = Callable[[int, int], bytes]

TAIL_BYTES = 64 << 10
RECORDS_AT_ONCE = 1024


def tail_start(read: Read, size: int, lines: int) -> int:
    """Where the last `lines` lines of the first `size` bytes start; a last line without its newline counts."""
    if not lines:
        return size
    position, wanted = size, lines
    if size and read(size - 1, 1) == b"\n":
        wanted += 1  # the newline at the very end starts no line
    while position > 0:
        start = max(0, position - TAIL_BYTES)
        block = read(start, position - start)
        at = len(block)
        while wanted:
            at = block.rfind(b"\n", 0, at)
            if at < 0:
                break
            wanted -= 1
        if not wanted:
            return start + at + 1
        position = start
    return 0


def _record_at(read: Read, number: int) -> Record | None:
    return next(iter(unpack(read(number * RECORD_BYTES, RECORD_BYTES))), None)


def start_since(read: Read, index_bytes: int, since_ns: int) -> int:
    """Offset of the first byte that was seen at or after `since_ns`; behind all that is indexed where none was."""
    low, high = 0, index_bytes // RECORD_BYTES
    while low < high:
        middle = (low + high) // 2
        record = _record_at(read, middle)
        if record is None or record.wall_ns >= since_ns:
            high = middle
        else:
            low = middle + 1
    before = _record_at(read, low - 1) if low else None
    return before.end if before else 0


def first_record_behind(read: Read, count: int, position: int) -> int:
    """Number of the first of `count` records that ends behind `position`; `count` where none does."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        record = _record_at(read, middle)
        if record is None or record.end > position:
            high = middle
        else:
            low = middle + 1
    return low


class IndexReader:
    """Gives the index records of a log from some position on, reading the index file forwards.

    `size` is asked for the bytes that the index has now. Holds at most RECORDS_AT_ONCE records.
    """

    def __init__(self, read: Read, size: Callable[[], int]) -> None:
        self._read = read
        self._size = size
        self._next = -1  # number of the first record that is not in _records
        self._records: list[Record] = []

    def covered(self, position: int) -> int:
        """Up to which offset records are at hand for bytes from `position` on; `position` where there are none."""
        self._fill(position)
        return max(position, self._records[-1].end) if self._records else position

    def records(self, position: int, end: int) -> list[tuple[int, int, int]]:
        """(end, wall_ns, source) of [position, end), the last one cut at `end`. Bytes without a record get the last known
        time and source 3; time 0 where none is known."""
        self._fill(position)
        found: list[tuple[int, int, int]] = []
        first = bisect_right(self._records, position, key=lambda record: record.end)
        wall_ns = self._records[first - 1].wall_ns if first else 0
        for record in self._records[first:]:
            found.append((min(record.end, end), record.wall_ns, record.source))
            wall_ns = record.wall_ns
            if record.end >= end:
                return found
        return [*found, (end, wall_ns, TOGETHER)]

    def _fill(self, position: int) -> None:
        """Has the record that covers `position` in memory where the index has it."""
        if self._records and self._records[-1].end > position:
            return
        count = self._size() // RECORD_BYTES
        if self._next < 0:
            self._next = first_record_behind(self._read, count, position)
        while self._next < count and not (self._records and self._records[-1].end > position):
            wanted = min(RECORDS_AT_ONCE, count - self._next)
            records = unpack(self._read(self._next * RECORD_BYTES, wanted * RECORD_BYTES))
            if not records:
                return
            self._records = records
            self._next += len(records)
