"""One file of a run as it is shipped, and the descriptors that are kept open for such files.

Reads from the files; writes nothing. Opening follows no link and waits for no writer of a FIFO.
"""

from __future__ import annotations

import errno
import os
import resource
import stat

from .plan import Range

_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Kept open at most, so that a look at a growing file is one fstat. Above it the stillest are closed; they are then looked at
# by their path, which costs twice as much.
MAX_OPEN = 512


class Tail:
    """A file's name, how far the collector has it, and how long it is. Offsets are in bytes.

    `sent` is the next byte that the collector expects, `durable` what it has acknowledged, `size` the length at the last look.
    `untold` are gaps that are still to be told in this generation, sorted by start.
    """

    __slots__ = (
        "durable",
        "fd",
        "generation",
        "grown_s",
        "is_gone",
        "is_leaving",
        "is_lost",
        "is_sealed",
        "name",
        "seal_tries",
        "seen",
        "sent",
        "size",
        "source",
        "stream_id",
        "untold",
    )

    def __init__(self, name: str, source: str, now_s: float) -> None:
        self.name = name
        self.source = source
        self.generation = 0
        self.stream_id = -1  # not opened at the collector yet
        self.sent = 0
        self.durable = 0
        self.size = 0
        self.fd = -1
        self.grown_s = now_s
        self.seen = 0
        self.seal_tries = 0
        self.untold: list[Range] = []
        self.is_gone = False  # there is no file of this name any more
        self.is_leaving = False  # another file has taken the name; what is left of this one is sent first
        self.is_lost = False  # bytes that were given back to the disk are not at the collector
        self.is_sealed = False

    def next_generation(self) -> None:
        """All is to be sent again, as the file's next generation."""
        self.generation += 1
        self.stream_id = -1
        self.sent = self.durable = 0
        self.is_sealed = self.is_leaving = self.is_lost = False
        self.untold = []

    @property
    def has_work(self) -> bool:
        """Whether there is something to tell the collector about this file."""
        return self.stream_id < 0 or self.size > self.sent or bool(self.untold)


def source_of(status: os.stat_result, spool_device: int) -> str:
    """The note on which file it is: device:inode, the spool's own device written as 0.

    The number of a device may be another one after a reboot; that alone does not make all files new ones.
    """
    return f"{0 if status.st_dev == spool_device else status.st_dev}:{status.st_ino}"


class Descriptors:
    """Opens files of a run and closes the stillest ones when there are too many."""

    def __init__(self, run_dir: str, spool_device: int) -> None:
        self._run_dir = run_dir
        self._spool_device = spool_device
        # Most of what this process may open is left to others: sockets, other runs.
        self._limit = min(MAX_OPEN, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self.most_pinned = self._limit // 2
        self._open: set[Tail] = set()
        self.pinned: set[Tail] = set()  # a request that is being sent needs these

    def open(self, tail: Tail) -> bool:
        """Open the file if it is not open; False where another file, a link or nothing has taken its place.

        Raises OSError where it cannot be opened for another reason.
        """
        if tail.fd >= 0:
            return True
        if len(self._open) >= self._limit:
            self._close_stillest()
        try:
            fd = os.open(f"{self._run_dir}/{tail.name}", _OPEN_FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno == errno.ELOOP:  # what O_NOFOLLOW says of a link
                return False
            raise
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or source_of(status, self._spool_device) != tail.source:
            os.close(fd)
            return False
        tail.fd = fd
        self._open.add(tail)
        return True

    def close(self, tail: Tail) -> None:
        if tail.fd >= 0:
            os.close(tail.fd)
            tail.fd = -1
            self._open.discard(tail)

    def close_all(self) -> None:
        for tail in list(self._open):
            self.close(tail)

    def _close_stillest(self) -> None:
        # A quarter at once, so that the sorting is paid for by the next openings. Of those that may be closed: the stillest
        # of all can be the very files that a request needs.
        idle = [tail for tail in self._open if not tail.is_leaving and tail not in self.pinned]
        for tail in sorted(idle, key=lambda tail: tail.grown_s)[: max(1, self._limit // 4)]:
            self.close(tail)
