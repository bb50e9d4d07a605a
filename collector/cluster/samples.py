"""What the nodes of the clusters have sampled: the newest of each in memory, one a minute in the catalog.

Told by heartbeats; written to the table `node_samples` every few seconds, and removed there when it is too old. What is in
memory alone is lost with the process, and comes again with the next heartbeat.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import cluster_nodes, node_samples

Sample = dict[str, float]

KEPT_EVERY_NS = 60 * 1_000_000_000
# An answer holds no more than these; what is later is asked for by a later since_ns.
MOST_ANSWERED = 2000


@dataclass(frozen=True, slots=True)
class Taken:
    """A sample of a node, and when it came."""

    node_id: str
    at_ns: int
    sample: Sample


class Newest:
    """The newest sample of each node. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._newest: dict[str, Taken] = {}
        self._written_ns: dict[str, int] = {}

    def keep(self, node_id: str, sample: Sample) -> None:
        """The node has sampled this."""
        if sample:
            self._newest[node_id] = Taken(node_id, time.time_ns(), sample)

    def of(self, node_id: str) -> Sample:
        """The node's newest sample; empty where none has come in this process."""
        taken = self._newest.get(node_id)
        return taken.sample if taken else {}

    def forget(self, node_id: str) -> None:
        """The node has left its cluster."""
        self._newest.pop(node_id, None)
        self._written_ns.pop(node_id, None)

    def take_due(self) -> list[Taken]:
        """Those that are to be written down: of each node the first of each minute."""
        due = [one for one in self._newest.values() if self._minute(one.at_ns) > self._written_ns.get(one.node_id, -1)]
        self._written_ns.update({one.node_id: self._minute(one.at_ns) for one in due})
        return due

    def take_back(self, taken: Sequence[Taken]) -> None:
        """These could not be written down."""
        for one in taken:
            self._written_ns.pop(one.node_id, None)

    @staticmethod
    def _minute(at_ns: int) -> int:
        return at_ns // KEPT_EVERY_NS


def write(connection: Connection, taken: Sequence[Taken]) -> None:
    """Adds samples; those of nodes that are forgotten meanwhile are passed over."""
    known = set(connection.execute(sa.select(cluster_nodes.c.node_id)).scalars()) if taken else set()
    rows = [{"node_id": one.node_id, "at_ns": one.at_ns, "sample": one.sample} for one in taken if one.node_id in known]
    if rows:
        connection.execute(sa.insert(node_samples), rows)


_OLD = (node_samples.c.node_id == sa.bindparam("of_node")) & (node_samples.c.at_ns < sa.bindparam("before_ns"))
_PRUNE = sa.delete(node_samples).where(_OLD)


def prune(connection: Connection, before_ns: int) -> None:
    """Removes what is older. Node by node, as the primary key has it: what is kept need not be read."""
    known = connection.execute(sa.select(cluster_nodes.c.node_id)).scalars()
    rows = [{"of_node": node_id, "before_ns": before_ns} for node_id in known]
    if rows:
        connection.execute(_PRUNE, rows)


def read(connection: Connection, node_id: str, since_ns: int) -> list[tuple[int, Sample]]:
    """The node's samples from `since_ns` on, oldest first, at most MOST_ANSWERED."""
    wanted = (node_samples.c.node_id == node_id) & (node_samples.c.at_ns >= since_ns)
    query = sa.select(node_samples.c.at_ns, node_samples.c.sample).where(wanted).order_by(node_samples.c.at_ns)
    return [(row.at_ns, row.sample) for row in connection.execute(query.limit(MOST_ANSWERED))]
