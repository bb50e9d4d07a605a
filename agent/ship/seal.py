"""What a file's seal says: its length, and the SHA-256 of its bytes on this disk, in segments without holes between them.

Reads from the files of the run; writes nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any

from .ledger import Segment

PIECE_BYTES = 1 << 20


class Hasher:
    """Hashes ranges of files through one buffer. `turn` is called between two pieces; it may raise to end the work."""

    def __init__(self, turn: Callable[[], None]) -> None:
        self._turn = turn
        self._buffer = memoryview(bytearray(PIECE_BYTES))

    def range(self, fd: int, start: int, end: int) -> str | None:
        """SHA-256 of [start, end), or None where the file ends before."""
        digest = hashlib.sha256()
        while start < end:
            count = os.preadv(fd, [self._buffer[: min(PIECE_BYTES, end - start)]], start)
            if not count:
                return None
            digest.update(self._buffer[:count])
            start += count
            if start < end:
                self._turn()
        return digest.hexdigest()

    def segments(self, fd: int, length: int, reclaimed: Sequence[Segment]) -> list[dict[str, Any]] | None:
        """The segments of a seal over [0, length): those that were given back keep the digest they had, the rest is read.

        `reclaimed` is sorted. None where the file has become shorter.
        """
        result: list[dict[str, Any]] = []
        cursor = 0
        for start, end, sha256 in [*reclaimed, (length, length, "")]:
            if start < cursor or end > length:
                return None
            if start > cursor or (not result and start == length):
                found = self.range(fd, cursor, start)
                if found is None:
                    return None
                result.append({"start": cursor, "end": start, "sha256": found})
            if end > start:
                result.append({"start": start, "end": end, "sha256": sha256})
            cursor = end
        return result
