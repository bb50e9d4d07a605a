"""States that a node tells again although nothing has changed: they are known from memory, without a look at the database.

The nodes of a run on several say every few seconds how they are, to hear soon whether they shall stop. Nearly always the answer
is the one before. It holds until something else is told of the run, which is when the run is forgotten here. Lost with the
process; then each node's next word is looked at in full. Belongs to the event loop's thread.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from . import state
from .report import Clock, NodeState

MOST_RUNS = 10_000


class Said:
    """What the nodes of one run have said since it was last forgotten. A run that is forgotten gets a new one, so that whoever
    still holds the old one, to keep an answer that may have been overtaken, keeps it where nobody looks."""

    __slots__ = ("_of_node",)

    def __init__(self) -> None:
        self._of_node: dict[str, NodeState] = {}

    def is_repeated(self, node_id: str, told: NodeState) -> bool:
        """Whether this says nothing new; it is the last word then."""
        known = self._of_node.get(node_id)
        if known is None or told.seq <= known.seq or not _is_within(told.clock, known.clock):
            return False
        if msgspec.structs.replace(told, seq=known.seq, clock=known.clock) != known:
            return False
        self._of_node[node_id] = msgspec.structs.replace(known, seq=told.seq)
        return True

    def keep(self, node_id: str, told: NodeState) -> None:
        """`told` has been written down, and nothing was asked of the node. An end is told once, and a watched node's word
        changes all the time: these are not kept."""
        if told.status not in state.FINAL and not any(process.progress for process in told.processes):
            self._of_node[node_id] = told


class Repeats:
    """What was said, by run."""

    def __init__(self) -> None:
        self._of_run: OrderedDict[str, Said] = OrderedDict()

    def of(self, run_id: str) -> Said:
        """What its nodes have said. To be had before the database is asked."""
        said = self._of_run.setdefault(run_id, Said())
        self._of_run.move_to_end(run_id)
        while len(self._of_run) > MOST_RUNS:
            self._of_run.popitem(last=False)
        return said

    def forget(self, run_id: str) -> None:
        """Something has changed in the run: what its nodes are told may be another thing now."""
        self._of_run.pop(run_id, None)


def _is_within(told: Clock | None, known: Clock | None) -> bool:
    """Whether a clock says no more than is known: the same within its error, and not much more exactly."""
    if told is None:
        return True
    if known is None:
        return False
    return abs(told.offset_ns - known.offset_ns) <= known.error_ns and 2 * told.error_ns >= known.error_ns
