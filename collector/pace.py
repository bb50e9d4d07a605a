"""How long nodes pause between two ingest requests, so that all of them together do not ask more often than can be answered.

Told by ingest which nodes have sent; gives the pause that goes into each answer. Without it a thousand nodes that look at their
logs forty times a second would queue for one another: every answer would wait for all others, and a node that has something to
say in several steps would wait as often. With fewer, larger requests the same bytes come for less, and nobody waits in a line.
Belongs to the event loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

# About half of what one core answers; the rest is for readers, states and the commits.
REQUESTS_PER_S = 500.0
LONGEST_S = 5.0
# A node that has sent nothing for so long is not counted any more. Longer than the longest pause.
WINDOW_S = 10.0


class Pace:
    """Counts the nodes that are sending."""

    def __init__(self) -> None:
        self._sending: set[tuple[str, str]] = set()
        self._before = 0
        self._begun_s = time.monotonic()

    def pause_s(self, nodes: Iterable[tuple[str, str]]) -> float:
        """How long `nodes`, each a run and its node, which have sent just now, pause before they send again."""
        now_s = time.monotonic()
        if now_s - self._begun_s > WINDOW_S:
            self._before, self._begun_s = len(self._sending), now_s
            self._sending.clear()
        self._sending.update(nodes)
        return min(max(self._before, len(self._sending)) / REQUESTS_PER_S, LONGEST_S)
