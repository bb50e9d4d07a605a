"""How long to wait before the next try: doubling, with full jitter, so that a thousand nodes do not return at once.

Pure but for the random numbers, which are a parameter.
"""

from __future__ import annotations

import random
from collections.abc import Callable

START_S = 0.1


class Backoff:
    """Waits of 0 to `START_S`, then to twice that and so on, up to `max_s`. `reset` after a success."""

    def __init__(self, max_s: float, *, draw: Callable[[], float] = random.random) -> None:
        self._max_s = max_s
        self._draw = draw
        self._tries = 0

    def reset(self) -> None:
        self._tries = 0

    def next_s(self, retry_after_s: float = 0.0) -> float:
        """Seconds to wait: what the collector asked for, and a random part on top; never more than `max_s`."""
        ceiling = min(self._max_s, START_S * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return min(self._max_s, retry_after_s + self._draw() * ceiling)

    def long_s(self) -> float:
        """Seconds to wait after a refusal, which only a person's hand can mend: the upper half of `max_s`."""
        return self._max_s * (0.5 + self._draw() / 2)
