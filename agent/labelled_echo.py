"""The echo of several drivers: the whole lines of all their logs, each behind its rank, to this process's stdout and stderr.

Reads the logs and their time indices in the spool; writes to two descriptors. A line is shown once it is whole, so that no two
processes share one; how they were mixed within a moment is not kept. A reader that leaves (EPIPE) ends that side's echo.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from runyard.names import index_of
from runyard.timeindex import RECORD_BYTES, STDERR, unpack

from .echo import PIECE_BYTES, RECORDS_PER_STEP, wait_writable

# A line that is longer is shown in pieces; what draws with \r alone may have lines without an end.
MOST_LINE_BYTES = 64 << 10


class LabelledEcho:
    """Follows the logs of several ranks. `step` shows what is new and blocks as long as the reader of our output does."""

    def __init__(self, run_dir: Path, logs: Iterable[tuple[int, str]], *, stdout: int = 1, stderr: int = 2) -> None:
        targets = {True: Side(stderr), False: Side(stdout)}
        self._logs = [_Log(run_dir, name, b"[rank %d] " % rank, targets) for rank, name in logs]

    def step(self) -> bool:
        """Show what is new; whether there was anything."""
        are_new = [log.step() for log in self._logs]
        return any(are_new)

    def close(self) -> None:
        """Show what no line's end will follow; close the files."""
        for log in self._logs:
            log.close()


class Side:
    """Our stdout or stderr, until its reader leaves."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_closed = False

    def write(self, data: bytes) -> None:
        """Write all of it, or nothing any more."""
        view = memoryview(data)
        while view and not self._is_closed:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:  # somebody made the descriptor non-blocking for all who share it
                wait_writable(self._descriptor)
            except OSError:  # EPIPE mostly: that side's echo ends, nothing else
                self._is_closed = True


class _Log:
    """One rank's log, told apart by its index."""

    def __init__(self, run_dir: Path, name: str, label: bytes, targets: dict[bool, Side]) -> None:
        self._paths = (run_dir / name, run_dir / index_of(name))
        self._label = label
        self._targets = targets
        self._log = self._index = -1
        self._position = self._index_position = 0
        self._partial = {True: b"", False: b""}  # of each side, the line that has no end yet

    def step(self) -> bool:
        if self._index < 0 and not self._open():
            return False
        if os.fstat(self._index).st_size < self._index_position:  # the driver truncated its own log
            self._position = self._index_position = 0
        records = unpack(os.pread(self._index, RECORDS_PER_STEP * RECORD_BYTES, self._index_position))
        self._index_position += len(records) * RECORD_BYTES
        for record in records:
            self._show(record.end, is_stderr=record.source == STDERR)
        return bool(records)

    def close(self) -> None:
        for is_stderr, partial in self._partial.items():
            if partial:
                self._targets[is_stderr].write(self._label + partial + b"\n")
        for descriptor in (self._log, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._log = self._index = -1

    def _open(self) -> bool:
        try:
            self._log = os.open(self._paths[0], os.O_RDONLY | os.O_CLOEXEC)
            self._index = os.open(self._paths[1], os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            if self._log >= 0:
                os.close(self._log)
            self._log = -1
            return False
        return True

    def _show(self, end: int, *, is_stderr: bool) -> None:
        while self._position < end:
            piece = os.pread(self._log, min(PIECE_BYTES, end - self._position), self._position)
            if not piece:  # truncated since
                self._position = end
                return
            self._position += len(piece)
            *lines, rest = (self._partial[is_stderr] + piece).split(b"\n")
            while len(rest) > MOST_LINE_BYTES:
                lines.append(rest[:MOST_LINE_BYTES])
                rest = rest[MOST_LINE_BYTES:]
            self._partial[is_stderr] = rest
            if lines:
                self._targets[is_stderr].write(b"".join(b"%s%s\n" % (self._label, line) for line in lines))
