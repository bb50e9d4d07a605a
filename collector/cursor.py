"""The cursor of a follower: how much of each stream it has been sent. It is the `id:` of its events. Pure.

`<done>;<positions>`: done are the streams of which nothing more will come, as ids and ranges of ids (`3-9,12`); positions are
`<id>:<offset>,…` of the others that have been begun. A stream that is in neither starts at 0. So a run of thousands of finished
files has a short cursor. A range covers ids of other runs, too; that is harmless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_FORM = re.compile(r"(?P<done>(\d+(-\d+)?(,\d+(-\d+)?)*)?);(?P<positions>(\d+:\d+(,\d+:\d+)*)?)", re.ASCII)
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


def done_part(stream_ids: Iterable[int], done: set[int]) -> str:
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
    return ",".join(f"{first}-{last}" if first != last else str(first) for first, last in ranges)


def join(done: str, positions: Mapping[int, str]) -> str:
    """The cursor; `positions` maps each id to its `<id>:<offset>`."""
    return f"{done};{','.join(positions.values())}"
