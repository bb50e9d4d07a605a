"""When a node of a run on several tells its state although it has not changed: to hear soon what is asked of it. Pure.

Such a run ends on every node when it has failed on one, and the nodes' logs are put in order by their measured clocks. A node
of a run on one node hears nothing that would hurry; its sign of life is enough.
"""

from __future__ import annotations

# Nodes that ask together must not cost the collector more than so many answers a second.
ASKS_PER_S = 50.0
LONGEST_S = 2.0
# The clock is measured by the first word and told by the second.
SECOND_WORD_S = 0.2


class Due:
    """Belongs to one run's shipper."""

    def __init__(self, node_count: int) -> None:
        self._pause_s = max(LONGEST_S, node_count / ASKS_PER_S) if node_count > 1 else float("inf")
        self._next_s = float("inf")
        self._words = 0

    def told(self, now_s: float) -> None:
        """The state was told just now."""
        self._words += 1
        self._next_s = now_s + (min(SECOND_WORD_S, self._pause_s) if self._words == 1 else self._pause_s)

    def is_now(self, now_s: float) -> bool:
        """Whether it is to be told again."""
        return now_s >= self._next_s and self._pause_s != float("inf")
