"""Signs of life: when each node of each run was heard from.

Written by every request of a node; read when a run's status is asked for; flushed to the catalog every few seconds.
Silence is measured with the monotonic clock, so a jump of the wall clock makes no node lost. Belongs to the event loop's
thread.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class _Heard:
    wall_ns: int
    mono_s: float


class Pulse:
    """When nodes were heard from in this process. A node that was not counts as heard from at the start of the process:
    a collector that was away has no right to call its nodes lost."""

    def __init__(self, lost_contact_s: float, give_up_lost_s: float = 600.0) -> None:
        self.lost_contact_s = lost_contact_s
        self._give_up_lost_s = give_up_lost_s
        self._started_s = time.monotonic()
        self._heard: dict[tuple[str, str], _Heard] = {}
        self._unflushed: set[tuple[str, str]] = set()

    def beat(self, run_id: str, node_id: str) -> None:
        """The node was heard from now."""
        key = (run_id, node_id)
        self._heard[key] = _Heard(time.time_ns(), time.monotonic())
        self._unflushed.add(key)

    def heard_ns(self, run_id: str, node_id: str) -> int | None:
        """When the node was last heard from in this process."""
        heard = self._heard.get((run_id, node_id))
        return heard.wall_ns if heard else None

    def is_lost(self, run_id: str, node_ids: Iterable[str]) -> bool:
        """Whether one of the nodes has been silent for longer than lost_contact_s."""
        oldest = time.monotonic() - self.lost_contact_s
        if oldest < self._started_s:
            return False
        heard = (self._heard.get((run_id, node_id)) for node_id in node_ids)
        return any(one is None or one.mono_s < oldest for one in heard)

    def is_given_up(self, run_id: str, node_ids: Iterable[str]) -> bool:
        """Whether all of the nodes have been silent for so long that nothing more is expected of them."""
        oldest = time.monotonic() - self._give_up_lost_s
        heard = (self._heard.get((run_id, node_id)) for node_id in node_ids)
        return all((one.mono_s if one is not None else self._started_s) < oldest for one in heard)

    def take_unflushed(self) -> dict[tuple[str, str], int]:
        """What the catalog does not know yet; forgets what has long been silent, so that memory stays bounded."""
        changed = {key: self._heard[key].wall_ns for key in self._unflushed}
        self._unflushed.clear()
        oldest = time.monotonic() - max(10 * self.lost_contact_s, self._give_up_lost_s)
        for key in [key for key, heard in self._heard.items() if heard.mono_s < oldest]:
            del self._heard[key]
        return changed
