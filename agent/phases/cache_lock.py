"""The lock around one thing in the node's cache, so that two runs never build it at the same time.

A flock on a file beside the thing: the kernel lets go of it however its holder ends. The file stays; to remove it would let a
third one in.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from runyard import names


@contextmanager
def held(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock `path` in the block. `on_wait` is called where somebody else has it; then this blocks until it is free."""
    path.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
