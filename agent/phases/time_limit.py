"""A time limit for code that we did not write: an exception in the main thread, and after it the end of the process.

Python code, and what it waits for, is ended by the exception. What hangs without letting go of the interpreter is ended with
its process, by a thread that needs no interpreter: it writes to `stacks` where every thread stands, and leaves with exit code
1. What survives that: the file, from which the next process knows why this one ended.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from runyard.names import FILE_MODE

# From the exception until the process is ended.
HANG_S = 5.0
# The exception is raised again so often where it was caught.
AGAIN_S = 1.0


class TooLate(BaseException):
    """The time is up. No `except Exception` of the code in between catches it."""


@contextmanager
def time_limit(limit_s: float, stacks: Path) -> Iterator[None]:
    """Raises TooLate in the block once `limit_s` is over. For the main thread only; `stacks` is empty until it hangs."""
    is_over = False

    def late(number: int, frame: FrameType | None) -> None:
        del number, frame
        if not is_over:
            raise TooLate

    descriptor = _opened(stacks)
    before = signal.signal(signal.SIGALRM, late)
    try:
        faulthandler.dump_traceback_later(limit_s + HANG_S, exit=True, file=descriptor)
        signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
        try:
            yield
        finally:
            is_over = True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()
        os.close(descriptor)


def _opened(stacks: Path) -> int:
    try:
        return os.open(stacks, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    except OSError:  # a full disk: then they go to the log, and the next process only knows that this one died
        return os.dup(2)
