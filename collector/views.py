"""One stream as one follower sees it: what has been sent, and what may be sent next.

Reads sizes, gaps and index records; sends nothing itself.
"""

from __future__ import annotations

from runyard.names import LOGS_DIR

from .query import IndexReader
from .store import Store
from .streams import Stream

# Capture writes an index beside each of these, from the first byte on; it may arrive a moment after the log itself.
_INDEXED_PREFIX = f"{LOGS_DIR}/70_driver_log"


# (start, end, is_gap): bytes [start, end) that may be sent now; a gap is told of instead.
Span = tuple[int, int, bool]


class View:
    """Where a follower is in a stream. `limit` is where it stops (None: nowhere). With `annotate`, bytes wait for their index
    records unless none can come any more."""

    __slots__ = ("_annotate", "_expects_index", "index", "is_open", "limit", "position", "stream")

    def __init__(self, stream: Stream, position: int, limit: int | None, *, annotate: bool) -> None:
        self.stream = stream
        self.position = position
        self.limit = limit
        self.index: IndexReader | None = None
        self.is_open = False
        self._annotate = annotate
        self._expects_index = annotate and stream.row.name.startswith(_INDEXED_PREFIX)

    def attach(self, index: Stream, store: Store) -> None:
        """The time index of this stream."""

        def read(offset: int, size: int) -> bytes:
            ready = store.read_ready(index.key, offset, size)
            return store.read(index.key, offset, size) if ready is None else ready

        self.index = IndexReader(read, lambda: index.offset)

    @property
    def is_at_end(self) -> bool:
        """Whether everything that is there (up to the limit) has been sent."""
        return self.position >= self._there()

    def next(self, most: int, *, is_last: bool) -> Span | None:
        """What to send next, at most `most` bytes of data; None: nothing yet. With `is_last`, no index record is waited for."""
        end = self._there()
        if self.position >= end:
            return None
        gap = self.stream.gap_at(self.position) if self.stream.gaps else None
        if gap is not None and gap[0] <= self.position:
            return self.position, min(gap[1], end), True
        if self._annotate:
            end = min(end, self._indexed(end, is_last=is_last or bool(self.stream.closed)))
        if gap is not None:
            end = min(end, gap[0])
        end = min(end, self.position + most)
        return (self.position, end, False) if end > self.position else None

    def records(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The index records of [start, end); without an index one that says nothing: time 0, source 3."""
        return (self.index or _NO_INDEX).records(start, end)

    def _there(self) -> int:
        return self.stream.offset if self.limit is None else min(self.limit, self.stream.offset)

    def _indexed(self, end: int, *, is_last: bool) -> int:
        if self.index is None:
            return self.position if self._expects_index and not is_last else end
        covered = self.index.covered(self.position)
        # Sealed, or the last look: what has no record by now will get none.
        return end if is_last and covered <= self.position else covered


_NO_INDEX = IndexReader(lambda offset, size: b"", lambda: 0)
