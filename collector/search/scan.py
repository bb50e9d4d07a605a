"""The lines of one file that meet conditions, found block by block. Standard library only.

Reads through a function of its caller, which may block. A line that is longer than a block is looked at in pieces that overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .patterns import Block, Find, Place

BLOCK_BYTES = 4 << 20
OVERLAP_BYTES = 4096
# Of a line, so much is shown, and so much of it before what was found.
TEXT_BYTES = 2048
BEFORE_BYTES = 256

Read = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Hit:
    """A line: its number from 1 (0: not known), where it starts, what was found at `at`, and the text around that."""

    line: int
    start: int
    at: int
    match: bytes
    text: bytes
    text_start: int


@dataclass(frozen=True, slots=True)
class Progress:
    """All up to `position` was searched."""

    position: int


def scan(
    read: Read, start: int, end: int, finds: Sequence[Find], *, block_bytes: int = BLOCK_BYTES
) -> Iterator[Hit | Progress]:
    """What is found in the lines of [start, end), in order; after each block, how far it is. `start` is the start of a line."""
    position = line_start = start
    lines, last = 1 if start == 0 else 0, -1
    while position < end:
        data = read(position, min(block_bytes, end - position))
        if not data:
            return
        newline = data.rfind(b"\n") + 1
        is_last = position + len(data) >= end
        block = Block(data if is_last or not newline else data[:newline])
        counted = 0
        for low, high, place in _lines_in(block, finds):
            begins = position + low if low else line_start
            if begins == last:
                continue  # the same long line, in another piece
            last = begins
            if lines:
                lines += data.count(b"\n", counted, low)
                counted = low
            yield _hit(block.data, position, (low, high), place, (lines, begins))
        if lines:
            lines += block.data.count(b"\n", counted)
        position += len(block.data) if newline or is_last else len(data) - min(OVERLAP_BYTES, block_bytes // 4)
        line_start = position if newline else line_start
        yield Progress(position)


def _lines_in(block: Block, finds: Sequence[Find]) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """(start, end, place of the first condition's find) of each line of the block that meets all conditions."""
    data, position, size = block.data, 0, len(block.data)
    first, *others = finds or [_anything]
    while position < size:
        place = first(block, position, size)
        if place is None:
            return
        low = data.rfind(b"\n", 0, place[0]) + 1
        newline = data.find(b"\n", place[0])
        high = newline if newline >= 0 else size
        if place[1] > high:  # it goes on in the next line: what counts is found in one line
            place = first(block, max(low, position), high)
        if place is not None and all(other(block, low, high) is not None for other in others):
            yield low, high, place
        position = high + 1


def _anything(block: Block, start: int, end: int) -> Place:
    return (start, start) if start < end else None


def _hit(data: bytes, base: int, line: tuple[int, int], place: tuple[int, int], known: tuple[int, int]) -> Hit:
    low, high = line
    at, to = place
    text_low = low if at - low <= TEXT_BYTES - BEFORE_BYTES else at - BEFORE_BYTES
    text = data[text_low : min(high, text_low + TEXT_BYTES)].removesuffix(b"\r")
    number, begins = known
    return Hit(number, begins, base + at, data[at : min(to, at + TEXT_BYTES)], text, base + text_low)
