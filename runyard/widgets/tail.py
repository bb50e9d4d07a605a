"""The last bytes of a log, as many as are kept in a notebook. Pure."""

from __future__ import annotations

TAIL_BYTES = 32 << 10
_NEWLINE = b"\n"


class Tail:
    """Bytes [start, end) of one file. They begin where a line does, if one does in the kept part at all."""

    def __init__(self, most_bytes: int = TAIL_BYTES) -> None:
        self.start = 0
        self.starts_line = True
        self._most_bytes = most_bytes
        self._data = bytearray()

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.start + len(self._data)

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

    def begin(self, offset: int, *, starts_line: bool) -> None:
        """Nothing before `offset` counts any more."""
        self.start, self.starts_line = offset, starts_line
        self._data.clear()

    def _trim(self) -> None:
        surplus = len(self._data) - self._most_bytes
        if surplus <= 0:
            return
        newline = self._data.find(_NEWLINE, surplus - 1, len(self._data) - 1)
        cut = newline + 1 if newline >= 0 else self._character_at(surplus)
        self.start += cut
        self.starts_line = newline >= 0
        del self._data[:cut]

    def _character_at(self, at: int) -> int:
        """`at`, or a little behind it where a character of UTF-8 would be cut in two."""
        for ahead in range(4):
            if at + ahead >= len(self._data) or self._data[at + ahead] & 0xC0 != 0x80:
                return at + ahead
        return at
