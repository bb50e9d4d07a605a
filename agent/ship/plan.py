"""What to send next: which generation a file is, which frames it needs, how a batch's bytes are shared out.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runyard.wire import DATA, GAP

# (kind, first byte, byte behind the last one)
Piece = tuple[int, int, int]
Range = tuple[int, int]


def generation_for(known: tuple[int, str, int, bool] | None, source: str, size: int) -> int:
    """The generation that a file of `size` bytes with the note `source` belongs to.

    `known` is the collector's current (generation, source, offset, is_sealed) of that name, None where it has none.
    A file that was replaced, that became shorter than what was sent, or that grew after its seal starts the next one.
    """
    if known is None:
        return 0
    generation, known_source, offset, is_sealed = known
    is_same = known_source == source and (size == offset if is_sealed else size >= offset)
    return generation if is_same else generation + 1


def pieces(sent: int, size: int, untold: Sequence[Range], limit: int) -> list[Piece]:
    """The frames that bring the collector from `sent` towards `size`, with at most `limit` bytes of DATA, in order.

    `untold` are the gaps to tell, sorted by start. One that starts at or before the point reached is told at once, also where
    its bytes were sent already: they may have been read after they were dropped. A byte in an untold gap is never DATA.
    The GAP pieces are the first ones of `untold`, in its order.
    """
    result: list[Piece] = []
    cursor, told = sent, 0
    while True:
        while told < len(untold) and untold[told][0] <= cursor:
            start, end = untold[told]
            result.append((GAP, start, end))
            cursor = max(cursor, end)
            told += 1
        end = min(size, cursor + limit)
        if told < len(untold):
            end = min(end, untold[told][0])
        if end <= cursor:
            return result
        result.append((DATA, cursor, end))
        limit -= end - cursor
        cursor = end


def share(wants: Sequence[int], limit: int) -> list[int]:
    """How much of each want fits into `limit`: the smallest are served first, so one large file delays no live log."""
    if sum(wants) <= limit:
        return list(wants)
    result = [0] * len(wants)
    for position in sorted(range(len(wants)), key=wants.__getitem__):
        result[position] = min(wants[position], limit)
        limit -= result[position]
    return result


def merged(ranges: Iterable[Range]) -> list[Range]:
    """The same bytes as sorted ranges that neither touch nor overlap."""
    result: list[Range] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        elif start < end:
            result.append((start, end))
    return result


def without(ranges: Iterable[Range], taken: Sequence[Range]) -> list[Range]:
    """What is left of `ranges` when the bytes in `taken` (sorted, apart from each other) are taken out."""
    result: list[Range] = []
    for start, end in merged(ranges):
        for taken_start, taken_end in taken:
            if taken_end <= start or taken_start >= end:
                continue
            if start < taken_start:
                result.append((start, taken_start))
            start = max(start, taken_end)
        if start < end:
            result.append((start, end))
    return result
