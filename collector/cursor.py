"""The cursor of a follower: how much of each stream it has been sent. It is the `id:` of its events. Pure.

`<done>;<positions>`: done are the streams of which nothing more will come, as ids and ranges of ids (`3-9,12`); positions are
`<id>:<offset>,…` of the others that have been begun. A stream that is in neither starts at 0. So a run of thousands of finished
files has a short cursor. A range covers ids of other runs, too; that is harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

_FORM = re.compile(r"(?P<done>(\d+(-\d+)?(,\d+(-\d+)?)*)?);(?P<positions>(\d+:\d+,)*(\d+:\d+)?)", re.ASCII)
_MAX_DIGITS = 19


@dataclass(slots=True)
class Cursor:
    """What a client has."""

    done: list[tuple[int, int]] = field(default_factory=list)
    positions: dict[int, int] = field(default_factory=dict)

    def is_done(self, stream_id: int) -> bool:
        """Whether nothing more of the stream is to be sent."""
        return any(first <= stream_id <= last for first, last in self.done)


def parse(text: str) -> Cursor | None:
    """The cursor in `text`; None where it is none."""
    match = _FORM.fullmatch(text)
    if match is None or re.search(rf"\d{{{_MAX_DIGITS + 1}}}", text):
        return None
    cursor = Cursor()
    for part in filter(None, match["done"].split(",")):
        first, _, last = part.partition("-")
        cursor.done.append((int(first), int(last or first)))
    for part in filter(None, match["positions"].split(",")):
        stream_id, _, offset = part.partition(":")
        cursor.positions[int(stream_id)] = int(offset)
    return cursor


def done_part(stream_ids: Iterable[int], done: set[int]) -> bytes:
    """The first half: `stream_ids` are all that the follower knows, ascending; `done` those that are done."""
    ranges: list[tuple[int, int]] = []
    is_open = False
    for stream_id in stream_ids:
        if stream_id not in done:
            is_open = False
        elif is_open:
            ranges[-1] = (ranges[-1][0], stream_id)
        else:
            ranges.append((stream_id, stream_id))
            is_open = True
    return ",".join(f"{first}-{last}" if first != last else str(first) for first, last in ranges).encode()


class Positions:
    """The cursor as it moves. Each event carries a whole one, so making the next one has to be cheap: streams that move in the
    order in which they were added cost two copies of bytes, whatever their number; any other order costs a join."""

    def __init__(self, done: bytes) -> None:
        self.done = done
        self._slots: dict[int, int] = {}
        self._texts: list[bytes] = []
        self._begin()

    def add(self, stream_id: int, position: int) -> None:
        """The stream is at `position` to begin with."""
        self._slots[stream_id] = len(self._texts)
        self._texts.append(b"%d:%d," % (stream_id, position) if position else b"")
        self._next = len(self._texts)

    def drop(self, stream_id: int) -> None:
        """The stream counts as done."""
        self._texts[self._slots[stream_id]] = b""
        self._next = len(self._texts)

    def move(self, stream_id: int, position: int) -> bytes:
        """The cursor once the stream has come to `position`."""
        slot = self._slots[stream_id]
        if slot < self._next:
            self._begin()
        text = self._texts[slot] = b"%d:%d," % (stream_id, position)
        ends = self._ends
        self._head += self._old[ends[self._next] : ends[slot]] + text
        self._next = slot + 1
        return b"%b;%b%b" % (self.done, self._head, self._old[ends[slot + 1] :])

    def now(self) -> bytes:
        """The cursor as it is."""
        return self.done + b";" + b"".join(self._texts)

    def _begin(self) -> None:
        """Slots before `_next` are in `_head`, the others in `_old`, where slot n ends at `_ends[n + 1]`."""
        self._old = b"".join(self._texts)
        self._ends = [0, *accumulate(map(len, self._texts))]
        self._head = b""
        self._next = 0
