"""Which ranks of this node have stalled: those that are silent, and those whose steps have fallen behind the others'. Pure.

Is given what was seen of each rank and the time; says for whom stacks are wanted, once for each stall.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .pace import Pace

# How far the foremost rank had come is remembered at so many moments.
MOST_MARKS = 4096


@dataclass(frozen=True, slots=True)
class Front:
    """The most steps that a rank of the whole run has done, and of how many it counts them."""

    done: int
    total: int | None


@dataclass(slots=True)
class Seen:
    """One rank. Times are seconds on the monotonic clock."""

    rank: int
    pace: Pace
    output_s: float  # when it wrote last, or was started
    is_there: bool = False  # its driver runs
    reason: str = ""  # why it counts as stalled; empty: it does not
    stalls: int = 0


class Stalls:
    """Belongs to one node's watch. `after_s`: a rank that does not get on for so long has stalled; 0: none ever has."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._front: deque[tuple[float, int]] = deque(maxlen=MOST_MARKS)  # (when, how many steps the foremost had done)
        self._taken_s = 0.0

    def taken(self, now_s: float) -> None:
        """Stacks of every rank were taken."""
        self._taken_s = now_s

    def look(self, ranks: list[Seen], now_s: float, others: Front | None = None) -> str:
        """Mark who has stalled and who goes on again; why stacks are wanted now, or empty. `others`: of the other nodes."""
        wanted = []
        behind = self._behind(ranks, now_s, others)
        for seen in ranks:
            reason = self._reason(seen, behind, now_s)
            if reason and not seen.reason:
                seen.stalls += 1
                # What was taken while it had already been still for a while shows where.
                since_s = seen.output_s if seen.rank not in behind else now_s - self._after_s
                if not 0 < since_s + self._after_s / 2 < self._taken_s:
                    wanted.append(reason)
            seen.reason = reason
        return "; ".join(wanted[:3]) + (f"; and {len(wanted) - 3} more" if len(wanted) > 3 else "")

    def _reason(self, seen: Seen, behind: dict[int, int], now_s: float) -> str:
        if not self._after_s or not seen.is_there:
            return ""
        if now_s - seen.output_s >= self._after_s:
            return f"rank {seen.rank} has written nothing for {self._after_s:g} s"
        if seen.rank in behind:
            return f"rank {seen.rank} is at step {seen.pace.done}, where others were more than {self._after_s:g} s ago"
        return ""

    def _behind(self, ranks: list[Seen], now_s: float, others: Front | None) -> dict[int, int]:
        """The ranks that have not come as far as the foremost one had `after_s` ago, with the steps they lack."""
        known = [seen for seen in ranks if seen.is_there and seen.pace.reading.step is not None]
        totals = {seen.pace.reading.total for seen in known}
        if others is not None and totals != {others.total}:
            others = None
        # Steps of different kinds cannot be held against each other.
        if not self._after_s or len(known) + (others is not None) < 2 or len(totals) > 1:
            self._front.clear()
            return {}
        front = max([seen.pace.done for seen in known] + ([] if others is None else [others.done]))
        if self._front and self._front[-1][1] > front:  # they have begun to count anew
            self._front.clear()
        if not self._front or self._front[-1][1] < front:
            self._front.append((now_s, front))
        reached = max((done for when_s, done in self._front if now_s - when_s >= self._after_s), default=0)
        return {seen.rank: reached - seen.pace.done for seen in known if seen.pace.done < reached}
