"""The pace of one rank: what it has told of its steps, how fast they come, and when they will all be done. Pure."""

from __future__ import annotations

from collections import deque

from .progress import MOST_STEPS, Reading

# The steps of so many seconds, seen so many times, make the rate.
WINDOW_S = 60.0
MOST_SAMPLES = 64
# A log whose numbers are no progress has ever new totals.
MOST_TOTALS = 64


class Pace:
    """`see` is given each reading with its time on the monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.done = 0  # steps over all epochs
        self.moved_s = 0.0  # when the step changed last
        # Of each total, as bars of training and validation take turns: the steps of all epochs before, and the last step seen.
        self._counts: dict[int | None, tuple[int, int]] = {}
        self._samples: deque[tuple[float, int]] = deque(maxlen=MOST_SAMPLES)

    def see(self, reading: Reading, now_s: float) -> None:
        """Take note of what the log tells now."""
        before = self.reading
        self.reading = reading
        if reading.step is None or ((reading.step, reading.epoch) == (before.step, before.epoch) and self._samples):
            return
        if reading.total != before.total:  # another bar, which counts something else
            self._samples.clear()
        base, last = self._counts.get(reading.total, (0, 0))
        if reading.step < last:
            base += reading.total or last
        if len(self._counts) >= MOST_TOTALS:
            self._counts.clear()
        self._counts[reading.total] = (base, reading.step)
        self.done = min(base + reading.step, MOST_STEPS)
        self.moved_s = now_s
        self._samples.append((now_s, self.done))
        while now_s - self._samples[0][0] > WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()

    @property
    def rate_per_s(self) -> float | None:
        """Steps a second: as told, or else as seen."""
        if self.reading.rate_per_s is not None:
            return self.reading.rate_per_s
        if len(self._samples) < 2:
            return None
        (start_s, first), (end_s, last) = self._samples[0], self._samples[-1]
        return (last - first) / (end_s - start_s) if end_s > start_s else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until the last step: as told, or else from the rate."""
        step, total, rate = self.reading.step, self.reading.total, self.rate_per_s
        if self.reading.eta_s is not None:
            return self.reading.eta_s
        if step is None or total is None or not rate or total < step:
            return None
        return (total - step) / rate
