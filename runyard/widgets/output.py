"""The end of one log of a run, followed live.

Reads from GET runs/{run_id}/follow, in the thread of runyard/sdk/watching.py; writes nothing.
"""

from __future__ import annotations

import time
from typing import Any

from runyard.follow import Data, End, Gap, Opened, Query, Status, Superseded
from runyard.sdk.connection import Connection
from runyard.sdk.watching import Watch

from .tail import Tail

# So many lines before the file's end does it begin: what a screen or two can show.
FIRST_LINES = 400


class Output:
    """`take` gives the log as it is now, where it has changed. One thread's."""

    def __init__(self, connection: Connection, run_id: str, path: str) -> None:
        self.path = path
        # Nothing more will come.
        self.is_ended = False
        self._tail = Tail()
        self._generation = 0
        self._watch = Watch(connection, run_id, lambda _: None, Query(file=(path,), tail_lines=FIRST_LINES))

    @property
    def length_bytes(self) -> int:
        """Of what is kept."""
        return self._tail.length

    def take(self, span_s: float) -> tuple[dict[str, Any] | None, bool]:
        """(the log, where it has changed; whether the run's status has). Blocks for `span_s`, or less where the log has ended.

        Raises CollectorError where following is refused.
        """
        until_s = time.monotonic() + span_s
        has_changed = is_moved = False
        while not self.is_ended and (left_s := until_s - time.monotonic()) > 0:
            match self._watch.get(left_s):
                case None:
                    break
                case Opened() as opened:
                    self._open(opened)
                    has_changed = True
                case Data() as data:
                    self._tail.add(data.offset, data.data)
                    has_changed = True
                case Gap() as gap:
                    self._tail.add_gap(gap.offset, gap.length)
                    has_changed = True
                case Superseded():
                    has_changed = True
                case Status():
                    is_moved = True
                case End():
                    self.is_ended = has_changed = is_moved = True
        return self.part() if has_changed else None, is_moved

    def part(self) -> dict[str, Any]:
        """The log as the page gets it: `bytes` from `start` on, without what the node has dropped, `gaps` [start, end)."""
        return {
            "path": self.path,
            "generation": self._generation,
            "start": self._tail.start,
            "starts_line": self._tail.starts_line,
            "bytes": self._tail.data,
            "gaps": self._tail.gaps,
            "is_ended": self.is_ended,
        }

    def close(self) -> None:
        """End it."""
        self._watch.close()

    def _open(self, opened: Opened) -> None:
        self._generation = opened.generation
        self._tail.begin(opened.offset, starts_line=True)
