"""A block that a stop of the run does not break: the stop comes once the block is over.

The handlers of this process are exchanged; a signal mask would be inherited by what is started in the block.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STOPS: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def unbroken() -> Iterator[None]:
    """For the main thread only."""
    came: list[int] = []

    def put_off(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)

    before = {number: signal.signal(number, put_off) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
