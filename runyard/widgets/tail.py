"""The last bytes of a log, as many as are kept in a notebook. Pure."""

from __future__ import annotations

TAIL_BYTES = 32 << 10
MOST_GAPS = 50
_NEWLINE = b"\n"


class Tail:
    """Bytes [start, end) of one file, but for its gaps. They begin where a line does, if one does in the kept part at all."""

    def __init__(self, most_bytes: int = TAIL_BYTES) -> None:
        self.start = 0
        self.starts_line = True
        self._most_bytes = most_bytes
        self._data = bytearray()
        self._gaps: list[tuple[int, int]] = []  # of the file's offsets: [start, end)

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self._offset(len(self._data))

    @property
    def length(self) -> int:
        """How many bytes are kept."""
        return len(self._data)

    @property
    def gaps(self) -> list[list[int]]:
        """What was dropped on the node, as [start, end) of the file's offsets; a copy."""
        return [list(gap) for gap in self._gaps]

    @property
    def data(self) -> bytes:
        """The bytes; a copy."""
        return bytes(self._data)

    def add(self, offset: int, data: bytes) -> None:
        """Bytes that have come at `offset`. Where some before them are missing, what was kept is forgotten."""
        if offset != self.end:
            self.begin(offset, starts_line=offset == 0 or not self._data)
        self._data += data
        self._trim()

    def add_gap(self, offset: int, length: int) -> None:
        """Bytes that will never come; what was before them stays."""
        if offset != self.end:
            self.begin(offset, starts_line=False)
        if self._gaps and self._gaps[-1][1] == offset:
            self._gaps[-1] = (self._gaps[-1][0], offset + length)
            return
        self._gaps.append((offset, offset + length))
        if len(self._gaps) > MOST_GAPS:
            first = self._gaps[1][0]
            self._cut(self._index(first), first, starts_line=False)

    def begin(self, offset: int, *, starts_line: bool) -> None:
        """Nothing before `offset` counts any more."""
        self.start, self.starts_line = offset, starts_line
        self._data.clear()
        self._gaps.clear()

    def _trim(self) -> None:
        surplus = len(self._data) - self._most_bytes
        if surplus <= 0:
            return
        newline = self._data.find(_NEWLINE, surplus - 1, len(self._data) - 1)
        cut = newline + 1 if newline >= 0 else self._character_at(surplus)
        start = self._offset(cut)
        is_behind_gap = any(end == start for _, end in self._gaps)
        self._cut(cut, start, starts_line=newline >= 0 and not is_behind_gap)

    def _cut(self, count: int, start: int, *, starts_line: bool) -> None:
        """Forget the first bytes; the next ones lie at `start`."""
        self._gaps = [gap for gap in self._gaps if gap[0] >= start]
        del self._data[:count]
        self.start, self.starts_line = start, starts_line

    def _offset(self, index: int) -> int:
        """Of a kept byte in the file; behind a gap where one stands before it."""
        offset = self.start + index
        for start, end in self._gaps:
            if start > offset:
                break
            offset += end - start
        return offset

    def _index(self, offset: int) -> int:
        """Of an offset that is in no gap among the kept bytes."""
        return offset - self.start - sum(end - start for start, end in self._gaps if end <= offset)

    def _character_at(self, at: int) -> int:
        """`at`, or a little behind it where a character of UTF-8 would be cut in two."""
        for ahead in range(4):
            if at + ahead >= len(self._data) or self._data[at + ahead] & 0xC0 != 0x80:
                return at + ahead
        return at
