"""Text for a notebook's cell, not faster than the notebook's server passes it on.

A Jupyter server drops what a kernel sends above `iopub_data_rate_limit` (1 MB/s by default), without saying what; so output
that has to be whole is written at a pace below it. Writes to the stream that is given.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import IO

# Half of what the server's default lets through: widgets and other output want their part.
BYTES_PER_S = 500_000.0
PIECE_CHARACTERS = 64 << 10
# What a message weighs beside its text; so many a second at most, too.
MESSAGE_BYTES = 1000
# So much may go at once after a quiet moment.
BURST_S = 1.0


def is_notebook(stream: IO[str]) -> bool:
    """Whether what is written to the stream goes to a notebook's cell."""
    return type(stream).__module__.startswith("ipykernel.")


class Pace:
    """`spend` blocks until so many bytes may go. The clock is a parameter."""

    def __init__(
        self,
        bytes_per_s: float = BYTES_PER_S,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bytes_per_s = bytes_per_s
        self._clock, self._sleep = clock, sleep
        self._free_s = clock() - BURST_S  # when what went before has been passed on

    def spend(self, size_bytes: int) -> None:
        """Wait for its turn."""
        now_s = self._clock()
        self._free_s = max(self._free_s, now_s - BURST_S)
        if self._free_s > now_s:
            self._sleep(self._free_s - now_s)
        self._free_s += size_bytes / self._bytes_per_s


def paced(write: Callable[[str], object], pace: Pace | None = None) -> Callable[[str], None]:
    """`write`, at the pace; long texts go in pieces. The kernel sends what was written five times a second by itself: told to
    flush, it would send each piece, and a page draws the whole cell anew with each."""
    own = pace or Pace()

    def write_paced(text: str) -> None:
        for start in range(0, len(text), PIECE_CHARACTERS):
            piece = text[start : start + PIECE_CHARACTERS]
            own.spend(len(json.dumps(piece)) + MESSAGE_BYTES)
            write(piece)

    return write_paced
