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

from .points import NO_NUMBER, Points, bytes_of, column_of

SPAN = 64  # points

_HEAD = struct.Struct("<BBHI")  # version, padding, span, how many
_VERSION = 1


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

    def _columns(self) -> tuple[array[float], array[float], array[float], array[int], array[int], array[int], array[int]]:
        return (
            *(self.least, self.greatest, self.last),
            *(self.least_step, self.greatest_step, self.least_ms, self.greatest_ms),
        )

    def pack(self) -> bytes:
        """As bytes."""
        return b"".join([_HEAD.pack(_VERSION, 0, SPAN, len(self)), *(bytes_of(column) for column in self._columns())])

    def extend(self, data: bytes) -> None:
        """Add the entries that `pack` has made bytes of."""
        _, _, _, count = _HEAD.unpack_from(data)
        position = _HEAD.size
        for column in self._columns():
            column.extend(column_of(column.typecode, data[position : position + 8 * count]))
            position += 8 * count


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
