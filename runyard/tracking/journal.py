"""Writing a journal: one file for each process, appended to by the process itself. Standard library only.

Writes to <folder>/<pid>-<random>.jsonl. What survives a kill -9 of the process: every record whose `append` has returned, since
it is in the kernel then. Nothing is sent from here; whoever ships the run's spool does that, when the collector is there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import weakref
from contextlib import suppress

from runyard.names import DIR_MODE, FILE_MODE, TRACKING_SUFFIX

HIGH_DESCRIPTOR = 400


class Journal:
    """Appends whole lines, from any thread and from signal handlers too; after a fork the child has a file of its own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.path = ""  # empty until the first record
        self._forget()
        _journals.add(self)

    def _forget(self) -> None:
        """Begin anew: the file that a forked child knows of is its parent's, and so is a lock that another thread held."""
        # A handler of a signal may append while the thread that it interrupts does.
        self._lock = threading.RLock()
        self._descriptor = -1
        self._rest = b""
        self.path = ""

    def append(self, lines: bytes) -> None:
        """Take one or more whole lines; they are in the kernel when this returns.

        Raises OSError where nothing of them is. Where the disk became full in their midst, this returns, and what is missing of
        them is written before anything else is.
        """
        with self._lock:
            if self._descriptor < 0:
                self._open()
            if self._rest:
                self._finish()
            written = self._write(lines)
            if written == len(lines):
                return
            self._rest = lines[written:]
            try:
                self._finish()
            except OSError:
                return  # the next append, or `finish`, goes on with it

    def finish(self) -> None:
        """Write what is missing of the last line. Raises OSError where it cannot be."""
        with self._lock:
            if self._rest:
                self._finish()

    def close(self) -> None:
        """Give the descriptor back; an append opens the file again."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    @property
    def is_whole(self) -> bool:
        """Whether everything that was taken is in the kernel."""
        return not self._rest

    @property
    def size_bytes(self) -> int:
        """How much was appended to the file; 0 while there is none."""
        with self._lock:
            return os.stat(self.path).st_size + len(self._rest) if self.path else 0

    def _finish(self) -> None:
        while self._rest:
            self._rest = self._rest[self._write(self._rest) :]

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        self._open()  # the program has closed all descriptors, as one that becomes a daemon does
        return os.write(self._descriptor, data)

    def _open(self) -> None:
        if not self.path:
            os.makedirs(self._folder, DIR_MODE, exist_ok=True)
        path = self.path or os.path.join(self._folder, f"{os.getpid()}-{os.urandom(4).hex()}{TRACKING_SUFFIX}")
        low = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        self._descriptor = _raised(low)
        self.path = path


def _raised(low: int) -> int:
    """The descriptor under a high number: where a program closes all of its own and ours, none of its files gets our number."""
    try:
        high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH_DESCRIPTOR)
    except OSError:  # the limit of descriptors is below that
        return low
    os.close(low)
    return high


_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


def _after_fork() -> None:
    for journal in list(_journals):
        if journal._descriptor >= 0:
            with suppress(OSError):  # closed by the program already
                os.close(journal._descriptor)
        journal._forget()


os.register_at_fork(after_in_child=_after_fork)
