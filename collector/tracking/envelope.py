"""The envelope of a chunk: of every SPAN points what a chart needs of them, so that a million points are drawn from a few
thousand numbers. Pure.

Least, greatest and last number (NaN where no finite number is among the points), least and greatest step, and least and
greatest time, each as one array; made anew whenever a chunk is written.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .points import NO_NUMBER, Points, bytes_of, column_of

SPAN = 64  # points

_HEAD = struct.Struct("<BBHI")  # version, padding, span, how many
_VERSION = 1


_COLUMNS = {
    "least": "d",
    "greatest": "d",
    "last": "d",
    "least_step": "q",
    "greatest_step": "q",
    "least_ms": "q",
    "greatest_ms": "q",
}


@dataclass(slots=True)
class Envelope:
    """Columns of one entry for each SPAN points."""

    least: array[float] = field(default_factory=lambda: array("d"))
    greatest: array[float] = field(default_factory=lambda: array("d"))
    last: array[float] = field(default_factory=lambda: array("d"))
    least_step: array[int] = field(default_factory=lambda: array("q"))
    greatest_step: array[int] = field(default_factory=lambda: array("q"))
    least_ms: array[int] = field(default_factory=lambda: array("q"))
    greatest_ms: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.least)

    def pack(self) -> bytes:
        """As bytes."""
        columns = (bytes_of(getattr(self, name)) for name in _COLUMNS)
        return b"".join([_HEAD.pack(_VERSION, 0, SPAN, len(self)), *columns])


@dataclass(slots=True)
class Packed:
    """Envelopes one behind the other, as `Envelope.pack` has made bytes of each: a chart needs but some of their columns."""

    pieces: list[bytes] = field(default_factory=list)

    def numbers(self, name: str) -> list[float]:
        """One of the columns "least", "greatest" and "last"."""
        return self._column(name)

    def integers(self, name: str) -> list[int]:
        """One of the columns of steps and times."""
        return self._column(name)

    def _column(self, name: str) -> list[Any]:
        place = list(_COLUMNS).index(name)
        parts = []
        for piece in self.pieces:
            _, _, _, count = _HEAD.unpack_from(piece)
            start = _HEAD.size + 8 * count * place
            parts.append(piece[start : start + 8 * count])
        return column_of(_COLUMNS[name], b"".join(parts)).tolist()


def envelope_of(points: Points) -> Envelope:
    """The envelope of some points."""
    made = Envelope()
    numbers, steps, times_ms = points.numbers, points.steps, points.times_ms
    for start, least, greatest, last in spans_of(numbers):
        made.least.append(least)
        made.greatest.append(greatest)
        made.last.append(last)
        part = steps[start : start + SPAN]
        made.least_step.append(min(part))
        made.greatest_step.append(max(part))
        part = times_ms[start : start + SPAN]
        made.least_ms.append(min(part))
        made.greatest_ms.append(max(part))
    return made


def spans_of(numbers: array[float]) -> Iterator[tuple[int, float, float, float]]:
    """Of every SPAN numbers: where they start, and the least, greatest and last that is finite, NaN where none is."""
    for start in range(0, len(numbers), SPAN):
        yield start, *extremes(numbers[start : start + SPAN])


def extremes(part: array[float]) -> tuple[float, float, float]:
    """The least, greatest and last finite number; NaN where none is."""
    if math.isfinite(sum(part)):  # one that is not finite makes the sum so, too
        return min(part), max(part), part[-1]
    finite = [number for number in part if math.isfinite(number)]
    return (min(finite), max(finite), finite[-1]) if finite else (NO_NUMBER, NO_NUMBER, NO_NUMBER)
