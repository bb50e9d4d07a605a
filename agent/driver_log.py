"""A driver's log and the time index beside it: merges raw stderr into the log and records its growth.

Reads from the driver's raw stderr file and from the sizes of its files; writes stderr bytes into the log and records into the
time index. stdout is not touched: it *is* the log, opened O_APPEND.

What survives a kill -9 here: every byte. The append of a stderr chunk is announced in `intent` before it is made, so that the
next capture can tell whether it happened. Standard library only, like all that the start of a run waits for.
"""

from __future__ import annotations

import errno
import os
import struct
import time

from runyard.names import FILE_MODE, GAPS_FILE, RECLAIMED_FILE, index_of, process_dir
from runyard.timeindex import RECORD_BYTES, STDERR, STDOUT, TOGETHER, pack, unpack

from .json_lines import append_line
from .reclaim import punch_hole

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# Largest piece of stderr that one append writes; what a death between append and index record makes us search for.
CHUNK_BYTES = 64 << 10
# Merged bytes of the raw stderr file are given back to the disk in steps of this size.
RAW_RECLAIM_BYTES = 4 << 20
# Read of the index at a restart.
_TAIL_BYTES = 1 << 20

# Bytes before a position that are compared to see whether what lies there is still what was read: `> /dev/stderr` in a
# shell script truncates the file that stderr is.
TAIL_BYTES = 32

_INTENT = struct.Struct("<QQQ")
PAGE_BYTES = 4096


class DriverLog:
    """A driver's log with its time index: merges raw stderr into it and records its growth. Owns its descriptors."""

    def __init__(self, run_dir: str, name: str, rank: int, *, is_split: bool) -> None:
        self._is_split = is_split
        self._run_dir, self._name = run_dir, name
        directory = os.path.join(run_dir, process_dir(rank))
        index_path = os.path.join(run_dir, index_of(name))
        for path in (directory, os.path.dirname(index_path), os.path.dirname(os.path.join(run_dir, name))):
            os.makedirs(path, mode=0o700, exist_ok=True)
        append = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.log = os.open(os.path.join(run_dir, name), os.O_RDWR | append, FILE_MODE)
        # The driver's descriptor is another open file: our position tells the end of *our* last append.
        self.driver_out = os.open(os.path.join(run_dir, name), os.O_WRONLY | append, FILE_MODE)
        self.raw = self.driver_err = self.intent = -1
        if is_split:
            raw = os.path.join(directory, "stderr.raw")
            self.raw = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            self.driver_err = os.open(raw, os.O_WRONLY | append, FILE_MODE)
            self.intent = os.open(os.path.join(directory, "intent"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._index = os.open(index_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._index_bytes = 0
        self._pending = b""  # records that a full disk did not take yet
        self.end = 0  # what the index covers, pending records included
        self._tail = b""  # the log's last bytes before `end`
        self._log_mtime_ns = 0
        self.raw_position = 0
        self._raw_tail = b""
        self._raw_mtime_ns = 0
        self._raw_reclaimed = 0
        self.truncated_total = 0
        self.trouble_errno = 0  # what the disk said at the last look
        self._recover()

    def close_driver_ends(self) -> None:
        """Close the descriptors that were meant for the driver, once it has them."""
        os.close(self.driver_out)
        if self._is_split:
            os.close(self.driver_err)

    def close(self) -> None:
        """Close our own descriptors."""
        for descriptor in (self.log, self.raw, self.intent, self._index):
            if descriptor >= 0:
                os.close(descriptor)

    def tick(self) -> bool:
        """Take in what is new; whether there was anything. A full disk only delays: nothing is passed over."""
        self.trouble_errno = 0
        try:
            if self._pending:
                self._write_records(b"")
            grew = self._merge_stderr() if self._is_split else False
            return self._record_growth() or grew
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG, errno.EROFS):
                raise
            self.trouble_errno = error.errno
            return False

    @property
    def is_settled(self) -> bool:
        """Whether log and index hold everything that is there now."""
        is_merged = not self._is_split or os.fstat(self.raw).st_size == self.raw_position
        return is_merged and not self._pending and os.fstat(self.log).st_size == self.end

    def _record_growth(self) -> bool:
        size = self._checked_log_size()
        if size <= self.end:
            return False
        self._write_records(self._record(size, STDOUT if self._is_split else TOGETHER))
        return True

    def _checked_log_size(self) -> int:
        """The log's size now; starts over where its driver has truncated it."""
        status = os.fstat(self.log)
        if status.st_mtime_ns != self._log_mtime_ns:
            self._log_mtime_ns = status.st_mtime_ns
            if status.st_size < self.end or _tail(self.log, self.end) != self._tail:
                self._start_over()
        return status.st_size

    def _merge_stderr(self) -> bool:
        status = os.fstat(self.raw)
        if status.st_mtime_ns != self._raw_mtime_ns:
            self._raw_mtime_ns = status.st_mtime_ns
            if status.st_size < self.raw_position or _tail(self.raw, self.raw_position) != self._raw_tail:
                self.raw_position = self._raw_reclaimed = 0  # the driver truncated it
                self._raw_tail = b""
        merged = False
        while self.raw_position < status.st_size and not self._pending:
            chunk = os.pread(self.raw, min(CHUNK_BYTES, status.st_size - self.raw_position), self.raw_position)
            if not chunk:
                break
            self._append(chunk)
            merged = True
        if self.raw_position - self._raw_reclaimed >= 2 * RAW_RECLAIM_BYTES:
            punch_hole(self.raw, self._raw_reclaimed, RAW_RECLAIM_BYTES)
            self._raw_reclaimed += RAW_RECLAIM_BYTES
        return merged

    def _append(self, chunk: bytes) -> None:
        log_size = self._checked_log_size()
        # From here to the index record a death leaves it open whether the chunk is in the log: see _settle_intent.
        os.pwrite(self.intent, _INTENT.pack(self.raw_position, len(chunk), log_size), 0)
        written = os.write(self.log, chunk)
        end = os.lseek(self.log, 0, os.SEEK_CUR)  # O_APPEND: the kernel left it behind the last byte that it wrote
        try:
            self._cover_stderr(end - written, end)
        finally:  # also where a full disk keeps the record back: the bytes are in the log, and must not come again
            self.raw_position += written
            self._raw_tail = (self._raw_tail + chunk[:written])[-TAIL_BYTES:]

    def _cover_stderr(self, start: int, end: int) -> None:
        if start < self.end:  # the driver truncated its log between our look at its size and our write
            self._start_over(end - start)
        before = self._record(start, STDOUT) if start > self.end else b""
        self._write_records(before + self._record(end, STDERR))

    def _record(self, end: int, source: int) -> bytes:
        self.end = end
        self._tail = _tail(self.log, end)
        return pack(end, time.time_ns(), time.monotonic_ns(), source)

    def _write_records(self, records: bytes) -> None:
        self._pending += records
        while self._pending:
            written = os.pwrite(self._index, self._pending, self._index_bytes)
            self._index_bytes += written
            self._pending = self._pending[written:]

    def _start_over(self, appended: int = 0) -> None:
        """A new index where the driver truncated its log; `appended` bytes at raw_position are in the new log already."""
        tail = _tail(self.log, self.end)
        if not appended and os.fstat(self.log).st_size >= self.end and self._tail.endswith(tail.lstrip(b"\0")):
            self._tail = tail  # not truncated: the blocks below a border were dropped or given back to the disk
            return
        seen_ns, self._log_mtime_ns = self._log_mtime_ns, 0  # where a full disk ends this, the next look tries again
        self._void_ledgers()
        # The shipper sees log and index shrink and starts the next generation of both.
        os.ftruncate(self._index, 0)
        self._index_bytes = self.end = 0
        self._pending = self._tail = b""
        if self._is_split:  # what `intent` says is about the old log; after the index, whose records it would be matched with
            os.pwrite(self.intent, _INTENT.pack(self.raw_position, appended, 0), 0)
        self._log_mtime_ns = seen_ns
        self.truncated_total += 1

    def _void_ledgers(self) -> None:
        """What was dropped or given back of this log before is no range of the new one."""
        for file in (GAPS_FILE, RECLAIMED_FILE):
            path = os.path.join(self._run_dir, file)
            if os.path.exists(path):
                append_line(path, {"name": self._name, "start": 0, "end": 0, "reset": True}, durable=True)

    def _recover(self) -> None:
        size = os.fstat(self._index).st_size
        self._index_bytes = size - size % RECORD_BYTES
        if self._index_bytes < size:
            os.ftruncate(self._index, self._index_bytes)
        start = max(0, self._index_bytes - _TAIL_BYTES)
        records = unpack(os.pread(self._index, self._index_bytes - start, start))
        self.end = records[-1].end if records else 0
        self._tail = _tail(self.log, self.end)
        if self._is_split:
            self._settle_intent(records)
            self._raw_tail = _tail(self.raw, self.raw_position)

    def _settle_intent(self, records: list[Any]) -> None:
        data = os.pread(self.intent, _INTENT.size, 0)
        if len(data) < _INTENT.size:
            return
        raw_position, length, log_size = _INTENT.unpack(data)
        self.raw_position = self._raw_reclaimed = raw_position
        # The record of the announced chunk, or of the part that was written, if it came that far.
        for position in range(len(records) - 1, -1, -1):
            if records[position].source == STDERR:
                covered_from = records[position - 1].end if position else 0
                if covered_from >= log_size:
                    self.raw_position += records[position].end - covered_from
                    return
                break
        region_start = max(log_size, self.end)
        size = os.fstat(self.log).st_size
        if size < region_start:
            # The driver truncated its log since: the chunk went with the rest, and the next look starts over.
            self.raw_position += length
            return
        chunk = os.pread(self.raw, length, raw_position)
        region = os.pread(self.log, size - region_start, region_start)
        found = find_append(region, chunk, region_start)
        if found:
            start, written = found
            self._cover_stderr(start, start + written)
            self.raw_position += written


def _tail(descriptor: int, end: int) -> bytes:
    return os.pread(descriptor, min(TAIL_BYTES, end), max(0, end - TAIL_BYTES))


def find_append(region: bytes, chunk: bytes, region_start: int) -> tuple[int, int] | None:
    """Where an interrupted append of `chunk` lies in the log's bytes `region`: (offset in the log, bytes of it), or None.

    The kernel writes a chunk whole, or, when the writer is killed in the middle, up to the border of a page.
    """
    if not chunk:
        return None
    position = region.find(chunk)
    if position >= 0:
        return region_start + position, len(chunk)
    first_border = -region_start % PAGE_BYTES
    for border in range(first_border, len(region) + 1, PAGE_BYTES):
        for written in range(min(border, len(chunk) - 1), 15, -1):
            if region[border - written : border] == chunk[:written]:
                return region_start + border - written, written
    return None
