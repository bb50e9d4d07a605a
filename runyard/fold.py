"""Lines out of bytes cut anywhere, and of each line what a terminal would have been left with.

A progress bar writes `10%\\r20%\\r…100%\\n`: here such a line comes as its last state, `100%\\n`. In a line, the states are
what stands between carriage returns; what is shown is the last one that is not empty, for a carriage return alone erases
nothing. `\\r\\n` is a line's end and is kept as it is. No byte of what is shown is changed.

Memory is bounded: of a line in which a state grows longer than `limit`, all from that state on comes as it is, piece by piece.
Pure: reads from nowhere, writes to nowhere. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Stamp = TypeVar("Stamp")

LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece(Generic[Stamp]):
    """A line, a part of a long one (`starts` and `ends` say which), or several whole ones. `stamp` came with its first byte."""

    data: bytes
    stamp: Stamp
    starts: bool = True
    ends: bool = True


class Lines(Generic[Stamp]):
    """Splits what it is fed into lines and, with `fold`, leaves of each its last state.

    `blocks`: nobody needs the lines one by one, so a piece may hold several of them; that is many times faster.
    """

    def __init__(self, *, fold: bool = True, blocks: bool = False, limit: int = LIMIT_BYTES) -> None:
        self._fold = fold
        self._blocks = blocks
        self._limit = limit
        self._current = bytearray()  # the state that grows now
        self._stamp: Stamp  # of its first byte: there where `_current` is not empty
        self._shown: tuple[bytes, Stamp] | None = None  # the last state before it that was not empty
        self._returned = False  # the last byte was a carriage return
        self._passing = False  # this line has grown too long to be held

    @property
    def state(self) -> bytes:
        """What an unfinished line shows now; a copy."""
        return bytes(self._current) or (self._shown[0] if self._shown else b"")

    @property
    def is_between_lines(self) -> bool:
        """Nothing of an unfinished line is known."""
        return not (self._current or self._shown or self._returned or self._passing)

    def feed(self, data: bytes, stamp: Stamp) -> Iterator[Piece[Stamp]]:
        """The lines that `data` finishes; it has to be read to its end before the next call."""
        start = 0
        while start < len(data):
            border = self._block(data, start)
            if border > start:
                yield Piece(data[start:border], stamp)
                start = border
                continue
            end = data.find(b"\n", start)
            if end < 0:
                yield from self._grow(data[start:], stamp)
                return
            if self.is_between_lines and end - start < self._limit and (not self._fold or data.find(b"\r", start, end) < 0):
                yield Piece(data[start : end + 1], stamp)  # the common case, without a detour
            else:
                yield from self._grow(data[start:end], stamp)
                yield self._finish(stamp)
            start = end + 1

    def flush(self) -> Iterator[Piece[Stamp]]:
        """What an unfinished line shows, as a line without an end; afterwards a new line starts."""
        if self._current:
            yield Piece(bytes(self._current), self._stamp, ends=False)
        elif self._shown:
            yield Piece(*self._shown, ends=False)
        self._reset()

    def _block(self, data: bytes, start: int) -> int:
        """Where the lines from `start` on end that can be passed on as they are; `start` or less where there are none."""
        if not self._blocks or not self.is_between_lines:
            return start
        first_return = data.find(b"\r", start) if self._fold else -1
        return data.rfind(b"\n", start, len(data) if first_return < 0 else first_return) + 1

    def _grow(self, part: bytes, stamp: Stamp) -> Iterator[Piece[Stamp]]:
        if not self._fold:
            yield from self._extend(part, stamp)
            return
        start = 0
        while start < len(part) and not self._passing:
            end = part.find(b"\r", start)
            yield from self._extend(part[start : len(part) if end < 0 else end], stamp)
            if end < 0:
                return
            if self._passing:
                start = end
                break
            self._return()
            start = end + 1
        if start < len(part):
            yield Piece(part[start:], stamp, starts=False, ends=False)

    def _extend(self, part: bytes, stamp: Stamp) -> Iterator[Piece[Stamp]]:
        if not part:
            return
        self._returned = False
        if self._passing:
            yield Piece(part, stamp, starts=False, ends=False)
            return
        if not self._current:
            self._stamp = stamp
        self._current += part
        if len(self._current) > self._limit:
            yield Piece(bytes(self._current), self._stamp, ends=False)
            self._reset()
            self._passing = True

    def _return(self) -> None:
        if self._current:
            self._shown = (bytes(self._current), self._stamp)
            self._current.clear()
        self._returned = True

    def _finish(self, stamp: Stamp) -> Piece[Stamp]:
        if self._passing:
            piece = Piece(b"\n", stamp, starts=False)
        elif self._current:
            piece = Piece(bytes(self._current) + b"\n", self._stamp)
        else:
            data, first = self._shown or (b"", stamp)
            piece = Piece(data + (b"\r\n" if self._returned else b"\n"), first)
        self._reset()
        return piece

    def _reset(self) -> None:
        self._current.clear()
        self._shown = None
        self._returned = self._passing = False
