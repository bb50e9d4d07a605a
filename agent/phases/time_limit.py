"""A time limit for code that we did not write: an exception in the main thread, and after it the end of the process.

Python code, and what it waits for, is ended by the exception. What hangs in C without letting go cannot be; then `on_hang` is
called in another thread, which has to end the process.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# From the exception until the process is given up.
HANG_S = 5.0
# The exception is raised again so often where it was caught.
AGAIN_S = 1.0


class TooLate(BaseException):
    """The time is up. No `except Exception` of the code in between catches it."""


@contextmanager
def time_limit(limit_s: float, on_hang: Callable[[], None]) -> Iterator[None]:
    """Raises TooLate in the block once `limit_s` is over. For the main thread only."""

    def late(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise TooLate

    hang = threading.Timer(limit_s + HANG_S, on_hang)
    hang.daemon = True
    before = signal.signal(signal.SIGALRM, late)
    hang.start()
    signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        hang.cancel()
