"""What of the clusters' machines is taken by runs that have their nodes.

Reads from the tables `placements`, `queue` and `cluster_nodes`. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import cluster_nodes, placements, queue


def gpus_taken(connection: Connection) -> dict[str, int]:
    """How many GPUs of each cluster no other run can have now; a cluster of which nothing is taken is left out."""
    columns = (cluster_nodes.c.cluster, cluster_nodes.c.node_id, cluster_nodes.c.capacity, queue.c.request)
    held = (
        sa.select(*columns)
        .join(placements, placements.c.node_id == cluster_nodes.c.node_id)
        .join(queue, queue.c.run_id == placements.c.run_id)
        .where(placements.c.freed_ns.is_(None))
    )
    on_node: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in connection.execute(held):
        has = row.capacity.gpus
        asked = has if row.request.is_exclusive else row.request.gpus
        on_node[row.cluster, row.node_id] = min(has, on_node[row.cluster, row.node_id] + asked)
    of_cluster: defaultdict[str, int] = defaultdict(int)
    for (cluster, _), count in on_node.items():
        of_cluster[cluster] += count
    return dict(of_cluster)
