"""The points of a series as columns in memory and as bytes in the table `chunks`: exact, and in recorded order. Pure.

The bytes: a head, then each column as one array, so that a thousand points are packed and joined by a few copies and no loop:
kinds (one byte, or one for each point), numbers (double), steps (start and stride where they are evenly spaced, else int64),
times (int64), and JSON of what no double holds: words, rows, large whole numbers, and what MLflow says beside a number.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

# What a point's value is. A WHOLE is kept as a double; a LARGE whole number is none, and lies among the words, beside its
# nearest double.
FLOAT, WHOLE, LARGE, WORD = 0, 1, 2, 3
IS_WITHOUT_STEP = 0x10
_KIND = 0x0F

MOST_EXACT = 2**53  # whole numbers up to here are exact as doubles
NO_NUMBER = math.nan

_HEAD = struct.Struct("<BBBBIqq")  # version, flags, kind of all, padding, count, first step, stride
_VERSION = 1
_IS_UNIFORM, _IS_STRIDED, _HAS_WORDS = 1, 2, 4

Cell = Any  # int, float, str, bool, None, or a dict of them: a row's


class _Words(msgspec.Struct, array_like=True):
    """What is kept as JSON, by the position of its point."""

    words: dict[int, Any]
    notes: dict[int, list[str]]


_words_decoder = msgspec.json.Decoder(_Words)


@dataclass(slots=True)
class Points:
    """Points in recorded order. `numbers` has NaN where a value is no number; `steps` has 0 where none was given; `notes` are
    MLflow's model id, dataset name and digest, of the few points that have them."""

    kinds: bytearray = field(default_factory=bytearray)
    numbers: array[float] = field(default_factory=lambda: array("d"))
    steps: array[int] = field(default_factory=lambda: array("q"))
    times_ms: array[int] = field(default_factory=lambda: array("q"))
    words: dict[int, Any] = field(default_factory=dict)
    notes: dict[int, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.kinds)

    def extend(self, other: Points) -> None:
        """These, then the `other` ones."""
        base = len(self)
        self.kinds += other.kinds
        self.numbers.extend(other.numbers)
        self.steps.extend(other.steps)
        self.times_ms.extend(other.times_ms)
        self.words.update((base + position, word) for position, word in other.words.items())
        self.notes.update((base + position, note) for position, note in other.notes.items())

    def part(self, start: int, end: int) -> Points:
        """A copy of the points [start, end)."""
        return Points(
            self.kinds[start:end],
            self.numbers[start:end],
            self.steps[start:end],
            self.times_ms[start:end],
            {position - start: word for position, word in self.words.items() if start <= position < end},
            {position - start: note for position, note in self.notes.items() if start <= position < end},
        )

    def is_number(self, position: int) -> bool:
        """Whether the value is a number; NaN is one."""
        return self.kinds[position] & _KIND != WORD

    def cell(self, position: int) -> Cell:
        """The value, as it was recorded."""
        kind = self.kinds[position] & _KIND
        if kind == FLOAT:
            return self.numbers[position]
        return int(self.numbers[position]) if kind == WHOLE else self.words[position]

    def step(self, position: int) -> int | None:
        """The step, None where none was given."""
        return None if self.kinds[position] & IS_WITHOUT_STEP else self.steps[position]


def of_numbers(values: Sequence[float], steps: Sequence[int | None], times_ms: Sequence[int]) -> Points:
    """Points of numbers. Raises OverflowError where one is too large for a double."""
    points = Points(bytearray(len(values)), array("d", values), _steps(steps), array("q", times_ms))
    if set(map(type, values)) != {float}:
        for position, value in enumerate(values):
            if isinstance(value, int):
                is_exact = -MOST_EXACT <= value <= MOST_EXACT
                points.kinds[position] = WHOLE if is_exact else LARGE
                if not is_exact:
                    points.words[position] = value
    _mark_without_step(points, steps)
    return points


def of_words(words: Sequence[Cell], steps: Sequence[int | None], times_ms: Sequence[int]) -> Points:
    """Points of values that are no numbers."""
    count = len(words)
    numbers = array("d", [NO_NUMBER]) * count
    points = Points(bytearray([WORD]) * count, numbers, _steps(steps), array("q", times_ms), dict(enumerate(words)))
    _mark_without_step(points, steps)
    return points


def _steps(steps: Sequence[int | None]) -> array[int]:
    return array("q", [step or 0 for step in steps] if None in steps else steps)  # type: ignore[arg-type]


def _mark_without_step(points: Points, steps: Sequence[int | None]) -> None:
    if None in steps:
        for position, step in enumerate(steps):
            if step is None:
                points.kinds[position] |= IS_WITHOUT_STEP


def pack(points: Points) -> bytes:
    """The bytes of at least one point."""
    count, steps, flags = len(points), points.steps, 0
    kind, first, stride = points.kinds[0], steps[0], steps[1] - steps[0] if count > 1 else 0
    pieces: list[bytes | bytearray] = [b""]
    if points.kinds.count(kind) == count:
        flags |= _IS_UNIFORM
    else:
        pieces.append(points.kinds)
    pieces.append(bytes_of(points.numbers))
    if _is_strided(steps, first, stride):
        flags |= _IS_STRIDED
    else:
        stride = 0
        pieces.append(bytes_of(steps))
    pieces.append(bytes_of(points.times_ms))
    if points.words or points.notes:
        flags |= _HAS_WORDS
        pieces.append(msgspec.json.encode(_Words(points.words, points.notes)))
    pieces[0] = _HEAD.pack(_VERSION, flags, kind, 0, count, first, stride)
    return b"".join(pieces)


def _is_strided(steps: array[int], first: int, stride: int) -> bool:
    count = len(steps)
    if steps[-1] != first + (count - 1) * stride or not -(2**62) < stride < 2**62:
        return False
    return steps == _evenly(first, stride, count)


def _evenly(first: int, stride: int, count: int) -> array[int]:
    return array("q", range(first, first + count * stride, stride)) if stride else array("q", [first]) * count


def unpack(data: bytes) -> Points:
    """The points that `pack` has made bytes of."""
    _, flags, kind, _, count, first, stride = _HEAD.unpack_from(data)
    position = _HEAD.size
    if flags & _IS_UNIFORM:
        kinds = bytearray([kind]) * count
    else:
        kinds = bytearray(data[position : position + count])
        position += count
    numbers: array[float] = column_of("d", data[position : position + 8 * count])
    position += 8 * count
    if flags & _IS_STRIDED:
        steps = _evenly(first, stride, count)
    else:
        steps = column_of("q", data[position : position + 8 * count])
        position += 8 * count
    times_ms: array[int] = column_of("q", data[position : position + 8 * count])
    position += 8 * count
    if not flags & _HAS_WORDS:
        return Points(kinds, numbers, steps, times_ms)
    kept = _words_decoder.decode(data[position:])
    return Points(kinds, numbers, steps, times_ms, kept.words, kept.notes)


def bytes_of(column: array[Any]) -> bytes:
    """A column as bytes, the least of each number first."""
    if sys.byteorder == "little":
        return column.tobytes()
    swapped = column[:]
    swapped.byteswap()
    return swapped.tobytes()


def column_of(code: Any, data: bytes) -> array[Any]:
    """The column of type `code` that `bytes_of` has made bytes of."""
    column: array[Any] = array(code)
    column.frombytes(data)
    if sys.byteorder != "little":
        column.byteswap()
    return column
