"""How far the collector's wall clock is from this node's monotonic clock, measured from the round trips of telling the state.

Pure. The collector answers with its wall clock and with how long it had worked by then; it read that clock somewhere between
the earliest moment at which so much work can have been done and the moment at which the answer was here. The middle is the
guess, half of the span its error, a true limit. No wall clock of this node has a say.
"""

from __future__ import annotations

from dataclasses import dataclass

# Two clocks of computers run apart by less than so many parts of a million: an old measurement is worth less.
DRIFT_PPM = 50


@dataclass(frozen=True, slots=True)
class _Sample:
    mono_ns: int
    offset_ns: int
    error_ns: int

    def error_at(self, mono_ns: int) -> int:
        return self.error_ns + abs(mono_ns - self.mono_ns) * DRIFT_PPM // 1_000_000 + 1


class Clock:
    """The best of what was measured."""

    def __init__(self) -> None:
        self._best: _Sample | None = None

    def measured(self, sent_ns: int, received_ns: int, now_ns: int, took_ns: int = 0) -> None:
        """One round trip on this node's monotonic clock, and what the collector said in it."""
        took_ns = min(max(0, took_ns), received_ns - sent_ns)
        earliest_ns = sent_ns + took_ns
        error_ns = (received_ns - earliest_ns) // 2 + 1
        # As of the earliest moment: what the clocks drift apart until the answer is here counts, too.
        sample = _Sample(earliest_ns, now_ns - (earliest_ns + received_ns) // 2, error_ns)
        best = self._best
        is_better = best is None or sample.error_at(received_ns) <= best.error_at(received_ns)
        if best is None or is_better or not _agree(best, sample, received_ns):
            self._best = sample

    def told(self, mono_ns: int) -> dict[str, int] | None:
        """{"offset_ns", "error_ns"} as of now; None before the first measurement."""
        best = self._best
        return None if best is None else {"offset_ns": best.offset_ns, "error_ns": best.error_at(mono_ns)}


def _agree(best: _Sample, sample: _Sample, mono_ns: int) -> bool:
    """Whether both can be true: where not, the collector's clock was set meanwhile, and only the newer one is."""
    apart_ns = abs(best.offset_ns - sample.offset_ns)
    return apart_ns <= best.error_at(mono_ns) + sample.error_at(mono_ns)
