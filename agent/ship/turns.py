"""Which files are to be looked at now: those that grew lately each time, of the others some in turn.

Reads and writes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .tail import Tail

# A file that grew within this time is looked at in each turn.
HOT_S = 2.0
# Of the others at most so many a second (3 % of a core): ten thousand still files are looked at in little more than one.
STILL_PER_S = 8000
STILL_AT_ONCE = 4000


class Turns:
    """Holds the very tails that it is given, not copies. Belongs to one thread."""

    def __init__(self) -> None:
        self._hot: list[Tail] = []
        self._still: list[Tail] = []
        self._position = 0
        self._looked_s = self._sorted_s = 0.0

    @property
    def is_hot(self) -> bool:
        """Whether a file has grown a short while ago."""
        return bool(self._hot)

    def add(self, tail: Tail) -> None:
        """A file that is new: it is looked at in each turn for now."""
        self._hot.append(tail)

    def sort_again(self) -> None:
        """Files have come back or are passed over: the next look sorts them anew."""
        self._sorted_s = 0.0

    def due(self, tails: Collection[Tail], now_s: float) -> Iterator[Tail]:
        """Those of all `tails` whose turn it is; between them `add` may be called."""
        if now_s - self._sorted_s > HOT_S / 4:
            self._sort(tails, now_s)
        yield from self._hot
        if self._still:
            count = min(STILL_AT_ONCE, int((now_s - self._looked_s) * STILL_PER_S) + 1)
            self._position %= len(self._still)
            turn = self._still[self._position : self._position + count]
            self._position += count
            yield from turn
        self._looked_s = now_s

    def _sort(self, tails: Collection[Tail], now_s: float) -> None:
        self._sorted_s = now_s
        hot: list[Tail] = []
        still: list[Tail] = []
        for tail in tails:
            if not tail.is_gone:
                (hot if now_s - tail.grown_s < HOT_S else still).append(tail)
        self._hot, self._still = hot, still
