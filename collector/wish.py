"""What a follower asked for: which streams, under which paths, and where each of them starts.

Reads from the store to find a time or a line. What is found is handed to follow.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from runyard import labels, names

from . import cursor as cursors
from . import query
from .cursor import Cursor
from .messages import FollowQuery
from .placement import StreamRow
from .store import Store, StoreError
from .streams import Stream


def public_path(row: StreamRow, *, is_single: bool) -> str:
    """The path of a file as the API names it: with the node's folder where the run has several nodes."""
    return row.path if is_single else row.full_path


def home_path(row: StreamRow) -> str:
    """Where the current generation of the stream's file lies."""
    if not row.is_superseded:
        return row.path
    return names.of_attempt(row.name, row.attempt)


@dataclass(frozen=True, slots=True)
class Wish:
    """What one client wants to see. `done` are the streams of which it wants nothing (more)."""

    files: frozenset[str]
    node: str | None
    until_now: bool
    annotate: bool
    is_single: Callable[[], bool]
    done: frozenset[int]
    done_part: bytes

    def wants(self, row: StreamRow) -> bool:
        """Whether the stream is among those asked for."""
        if self.node is not None and self.node not in (row.node_id, row.folder):
            return False
        if not self.files:
            return not names.is_private(row.name)
        return self._names(row, row.path) or self._names(row, home_path(row))

    @property
    def expects_run_level(self) -> bool:
        """Whether files are asked for that every run on several nodes has in the end."""
        is_asked = self.node is None and (not self.files or not self.files.isdisjoint(labels.RUN_LEVEL))
        return is_asked and not self.is_single()

    def names_superseded(self, row: StreamRow) -> bool:
        """Whether the stream is an earlier generation that was asked for by its own path."""
        return row.is_superseded and self._names(row, row.path)

    def _names(self, row: StreamRow, path: str) -> bool:
        # Without a node's folder these are the run's own, where it has several nodes.
        if row.folder and path in labels.RUN_LEVEL and not self.is_single():
            return f"{row.folder}/{path}" in self.files
        return _is_named(self.files, row, path)

    def path_of(self, row: StreamRow) -> str:
        """The stream's path in events."""
        return public_path(row, is_single=self.is_single())


def _is_named(files: frozenset[str], row: StreamRow, path: str) -> bool:
    return path in files or f"{row.folder}/{path}" in files


def make_wish(asked: FollowQuery, resumed: Cursor | None, streams: Sequence[Stream], is_single: Callable[[], bool]) -> Wish:
    """The wish behind a request. Without a cursor, generations that were superseded before count as done: they are files of
    their own, to be asked for by their own path."""
    files = frozenset(asked.file)
    if resumed is None:
        named = [stream for stream in streams if stream.row.is_superseded]
        done = frozenset(stream.id for stream in named if not _is_named(files, stream.row, stream.row.path))
    else:
        done = frozenset(stream.id for stream in streams if resumed.is_done(stream.id))
    return Wish(
        files=files,
        node=asked.node,
        until_now=asked.until == "now",
        annotate=bool(asked.annotate),
        is_single=is_single,
        done=done,
        done_part=cursors.done_part([stream.id for stream in streams], set(done)),
    )


Indexes = Mapping[tuple[str, int, str, int], Stream]


def indexes_of(streams: Sequence[Stream]) -> Indexes:
    """The time indexes among `streams`, by node, attempt, their own name, and generation."""
    rows = ((stream.row, stream) for stream in streams if stream.row.name.startswith(names.INDEX_DIR))
    return {(row.node_id, row.attempt, row.name, row.generation): stream for row, stream in rows}


def start_of(asked: FollowQuery, stream: Stream, indexes: Indexes, store: Store) -> int:
    """Where a new follower starts in `stream`: by time, by lines from the end, or at 0. Blocks."""
    try:
        start = _start_since(asked.since_ns, stream, indexes, store) if asked.since_ns is not None else 0
        if asked.tail_lines is not None:
            tail = query.tail_start(lambda at, size: store.read(stream.key, at, size), stream.offset, asked.tail_lines)
            start = max(start, tail)
    except StoreError:  # the file was taken away; what is not there is not sent
        return 0
    return start


def _start_since(since_ns: int, stream: Stream, indexes: Indexes, store: Store) -> int:
    row = stream.row
    index = indexes.get((row.node_id, row.attempt, names.index_of(row.name), row.generation))
    if index is None:
        return 0
    found = query.start_since(lambda at, size: store.read(index.key, at, size), index.offset, since_ns)
    return min(stream.offset, found)
