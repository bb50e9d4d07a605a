"""The echo of a running driver: its log, told apart by the time index, to this process's stdout and stderr.

Reads the log and its index in the spool; writes to two descriptors, bytes untouched. Whoever reads us may leave (EPIPE):
then that side's echo ends and the training goes on.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Protocol

from runyard.names import index_of
from runyard.timeindex import RECORD_BYTES, STDERR, unpack

PIECE_BYTES = 256 << 10
# A pipe holds few pieces by sendfile, however small they are, and many bytes by write.
SENDFILE_LEAST_BYTES = 64 << 10
_NOT_BY_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
RECORDS_PER_STEP = 4096
# Between two looks while the log grows, and when it has been still.
HOT_S = 0.01
STILL_S = 0.04


class Echo:
    """Follows one log. `step` copies what the index covers by now and blocks as long as the reader of our output does."""

    def __init__(self, run_dir: Path, name: str, *, stdout: int = 1, stderr: int = 2) -> None:
        self._log_path = run_dir / name
        self._index_path = run_dir / index_of(name)
        self._log = self._index = -1
        self._position = 0
        self._index_position = 0
        self._targets = {True: stderr, False: stdout}
        self._closed: set[int] = set()
        self._copied: set[int] = set()  # targets that sendfile cannot write: terminals, files opened to append

    def step(self) -> bool:
        """Echo what is new; whether there was anything."""
        if self._index < 0 and not self._open():
            return False
        size = os.fstat(self._index).st_size
        if size < self._index_position:  # the driver truncated its own log
            self._position = self._index_position = 0
        data = os.pread(self._index, RECORDS_PER_STEP * RECORD_BYTES, self._index_position)
        records = unpack(data)
        self._index_position += len(records) * RECORD_BYTES
        for position, record in enumerate(records):
            # Neighbours of one stream go out in one piece.
            following = records[position + 1] if position + 1 < len(records) else None
            if following is None or (following.source == STDERR) != (record.source == STDERR):
                self._copy(record.end, self._targets[record.source == STDERR])
        return bool(records)

    def close(self) -> None:
        """Close the files; our stdout and stderr stay open."""
        for descriptor in (self._log, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._log = self._index = -1

    def _open(self) -> bool:
        try:
            self._log = os.open(self._log_path, os.O_RDONLY | os.O_CLOEXEC)
            self._index = os.open(self._index_path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self.close()
            return False
        return True

    def _copy(self, end: int, target: int) -> None:
        if target in self._closed:
            self._position = end
        while self._position < end:
            try:
                count = self._write_piece(target, min(PIECE_BYTES, end - self._position))
            except BlockingIOError:  # somebody made the descriptor non-blocking for all who share it
                wait_writable(target)
                continue
            except OSError:  # whatever it is, EPIPE mostly: that side's echo ends, nothing else
                self._closed.add(target)
                count = 0
            if not count:  # nobody reads any more, or the log was truncated since
                self._position = end
            self._position += count

    def _write_piece(self, target: int, size: int) -> int:
        """Write up to `size` bytes of the log; the number written, 0 at the log's end."""
        if size >= SENDFILE_LEAST_BYTES and target not in self._copied:
            try:
                return os.sendfile(target, self._log, self._position, size)
            except OSError as error:
                if error.errno not in _NOT_BY_SENDFILE:
                    raise
                self._copied.add(target)
        piece = os.pread(self._log, size, self._position)
        return os.write(target, piece) if piece else 0


def wait_writable(target: int) -> None:
    """Block until `target` takes bytes, or for a second."""
    import select

    # Not select(): a shipper beside us may hold more descriptors than that knows.
    poll = select.poll()
    poll.register(target, select.POLLOUT)
    poll.poll(1000)


class Steps(Protocol):
    """What echoes step by step: one log as it is, or the lines of several."""

    def step(self) -> bool: ...

    def close(self) -> None: ...


def echo_until(is_over: threading.Event, echo: Steps) -> None:
    """Echo until `is_over` is set and nothing is left to echo. Blocks."""
    wait_s = HOT_S
    while True:
        was_over = is_over.is_set()  # before the look: what was written by then is still echoed
        if echo.step():
            wait_s = HOT_S
        elif was_over:
            echo.close()
            return
        else:
            wait_s = min(STILL_S, wait_s * 1.3)
            is_over.wait(wait_s)
