"""One at a time at a folder that several processes, or several nodes, share: whoever has the turn holds a flock.

The lock's own file keeps what the last holder wrote to it, such as that the work is done: on NFS a file that was just locked
is read afresh, another file beside it might not be. The kernel (or the NFS server) gives the lock on where its holder dies.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runyard import names
from runyard.errors import PhaseError

LOOK_S = 0.1
NOTE_BYTES = 4096


class Note:
    """What is written in the lock's file; changed by the holder alone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> str:
        """The note; empty at first."""
        return os.pread(self._descriptor, NOTE_BYTES, 0).decode(errors="replace")

    def write(self, text: str) -> None:
        """Replace it. Whoever is killed in here leaves a part of it or nothing, never the old one."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)
        os.fdatasync(self._descriptor)

    def sign(self) -> None:
        """Replace it by who the holder is, for those who wait."""
        self.write(f"node {socket.gethostname()}, process {os.getpid()}")


@contextmanager
def turn(path: Path, what: str, *, say: Callable[[str], None], limit_s: float) -> Iterator[Note]:
    """Hold the lock `path` in the block. `what` completes "waited for …". Blocks; PhaseError after `limit_s`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
    try:
        note = Note(descriptor)
        begun_s = time.monotonic()
        is_told = False
        while not _is_taken(descriptor):
            if not is_told:
                say(f"Waiting for {what} ({note.read() or 'somebody else'} is at it).")
                is_told = True
            if time.monotonic() - begun_s > limit_s:
                holder = note.read() or "somebody else"
                raise PhaseError(f"waited {limit_s:g} s for {what}, which {holder} has not finished; see what holds that up")
            time.sleep(LOOK_S)
        yield note
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
