"""Which nodes of the clusters were heard from, when, and what each said last.

Told by every request of a node's agent; asked when a node's status is shown and at each turn of the queue; written down every
few seconds. Silence is measured with the monotonic clock, and counted from the start of this process at the earliest: a
collector that was away has no right to call its nodes lost. Belongs to the event loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from .messages import Heartbeat

# A clock that has moved less than this against the collector's says nothing new.
CLOCK_STEP_NS = 1_000_000_000


@dataclass(slots=True)
class _Known:
    wall_ns: int | None  # None: not in this process
    mono_s: float


@dataclass(frozen=True, slots=True)
class _Word:
    """A node's last word, as it was written down while its work had `version`."""

    told: Heartbeat
    version: int
    clock_off_ns: int


class Contact:
    """The nodes that have joined."""

    def __init__(self, lost_contact_s: float) -> None:
        self.lost_contact_s = lost_contact_s
        self._known: dict[str, _Known] = {}
        self._words: dict[str, _Word] = {}
        self._unflushed: set[str] = set()
        self._told: set[str] = set()

    def know(self, node_ids: Iterable[str]) -> None:
        """These nodes have joined at some time; from now on their silence counts."""
        for node_id in node_ids:
            self._known.setdefault(node_id, _Known(None, time.monotonic()))

    def joined(self, node_id: str) -> None:
        """The node has joined, perhaps anew. It is heard from when it speaks with its own token: its answer may be lost."""
        self.forget(node_id)
        self.know([node_id])

    def forget(self, node_id: str) -> None:
        """The node has left its cluster, or has joined anew: what it said does not count any more."""
        self._known.pop(node_id, None)
        self._words.pop(node_id, None)
        self._told.discard(node_id)
        self._unflushed.discard(node_id)

    def beat(self, node_id: str) -> None:
        """The node was heard from now. Who is no node of a cluster is passed over."""
        if node_id in self._known:
            self._known[node_id] = _Known(time.time_ns(), time.monotonic())
            self._unflushed.add(node_id)

    def heard_ns(self, node_id: str) -> int | None:
        """When the node was last heard from in this process."""
        known = self._known.get(node_id)
        return known.wall_ns if known else None

    def is_silent(self, node_id: str) -> bool:
        """Whether the node was not heard from for longer than lost_contact_s."""
        known = self._known.get(node_id)
        return known is not None and known.mono_s < time.monotonic() - self.lost_contact_s

    def silent_for(self, seconds: float) -> frozenset[str]:
        """The nodes that were not heard from for so long."""
        oldest = time.monotonic() - seconds
        return frozenset(node_id for node_id, known in self._known.items() if known.mono_s < oldest)

    def is_repeated(self, node_id: str, told: Heartbeat, version: int, clock_off_ns: int) -> bool:
        """Whether this word says nothing that was not written down while the node's work was the same."""
        word = self._words.get(node_id)
        if word is None or word.version != version or abs(word.clock_off_ns - clock_off_ns) > CLOCK_STEP_NS:
            return False
        return word.told == _lasting(told)

    def keep(self, node_id: str, told: Heartbeat, version: int, clock_off_ns: int) -> None:
        """The word was written down. Refusals are looked at each time: their runs may have come back meanwhile."""
        self._told |= {node_id} & self._known.keys()
        if not told.refused and node_id in self._known:
            self._words[node_id] = _Word(_lasting(told), version, clock_off_ns)

    def untold(self) -> frozenset[str]:
        """The nodes that have not said in this process what they have: what the catalog knows of it may be old."""
        return frozenset(self._known.keys() - self._told)

    def take_unflushed(self) -> dict[str, int]:
        """When nodes were heard from, as far as the catalog does not know it yet."""
        heard = {node_id: wall_ns for node_id in self._unflushed if (wall_ns := self.heard_ns(node_id)) is not None}
        self._unflushed.clear()
        return heard


def _lasting(told: Heartbeat) -> Heartbeat:
    """The word without what is another thing each time."""
    return msgspec.structs.replace(told, now_ns=0, sample={})
