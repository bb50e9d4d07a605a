"""Which line a byte lies in, and where a line starts: newlines are counted, for as long as one can be expected to wait.

Reads through a function of its caller, which may block.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from runyard.collector.query import tail_start

from .messages import Place

BLOCK_BYTES = 1 << 20
LIMIT_S = 5.0

Read = Callable[[int, int], bytes]


class TooLong(Exception):  # noqa: N818 - the name tells the state
    """The time was over before all was counted."""


def line_of(read: Read, offset: int) -> Place:
    """The line, from 1, in which the byte at `offset` lies. Blocks; raises TooLong."""
    end_s = time.monotonic() + LIMIT_S
    position, line = 0, 1
    while position < offset:
        data = read(position, min(BLOCK_BYTES, offset - position))
        if not data:
            break
        line += data.count(b"\n")
        position += len(data)
        _check(end_s)
    return Place(line=line, offset=offset)


def start_of(read: Read, size: int, line: int) -> Place:
    """Where `line` starts in a file of `size` bytes; of one with fewer lines, the last one. Blocks; raises TooLong."""
    end_s = time.monotonic() + LIMIT_S
    position, number = 0, 1
    while position < size and number < line:
        data = read(position, min(BLOCK_BYTES, size - position))
        if not data:
            break
        count = data.count(b"\n")
        if number + count >= line:
            start = position + _behind_newline(data, line - number)
            if start < size:
                return Place(line=line, offset=start)
        number += count
        position += len(data)
        _check(end_s)
    if line == 1 or not size:
        return Place(line=1, offset=0)
    last = tail_start(read, size, 1)
    return Place(line=number - 1 if size and read(size - 1, 1) == b"\n" else number, offset=last)


def _behind_newline(data: bytes, number: int) -> int:
    at = -1
    for _ in range(number):
        at = data.index(b"\n", at + 1)
    return at + 1


def _check(end_s: float) -> None:
    if time.monotonic() > end_s:
        raise TooLong
