"""The clusters and their nodes: making clusters, joining, what nodes say, draining and forgetting them.

Reads from and writes to the tables `clusters`, `cluster_nodes`, `tokens`, and of `placements` and `queue` what keeps a node or
makes a count. Every function blocks and gets the connection of its transaction, as in catalog.py.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import auth
from runyard.collector.auth import NewToken
from runyard.collector.problems import Problem
from runyard.collector.schema import cluster_nodes, clusters, node_samples, placements, queue, tokens
from runyard.collector.standing import GOING_ON, PLACED

from .changes import Changes
from .messages import Heartbeat, JoinCluster


def no_such_node(node_id: str) -> Problem:
    """404 for a node of a cluster."""
    return Problem(404, "no-such-node", f"no node {node_id[:64]!r} has joined a cluster")


def no_such_cluster(cluster: str) -> Problem:
    """404 for a cluster."""
    return Problem(404, "no-such-cluster", f"there is no cluster {cluster[:64]!r}")


def require_cluster(connection: Connection, cluster: str) -> None:
    """Raises a 404 where there is no such cluster."""
    if connection.execute(sa.select(clusters.c.cluster).where(clusters.c.cluster == cluster)).first() is None:
        raise no_such_cluster(cluster)


def make_join_token(connection: Connection, cluster: str, new: NewToken, uses: int, expires_ns: int) -> None:
    """Adds a token with which nodes join the cluster, and the cluster where it is not there."""
    if connection.execute(sa.select(clusters.c.cluster).where(clusters.c.cluster == cluster)).first() is None:
        connection.execute(sa.insert(clusters).values(cluster=cluster, created_ns=time.time_ns()))
    auth.insert(connection, new.token_id, new.sha256, auth.JOIN, cluster, expires_ns=expires_ns, uses_left=uses)


def join(
    connection: Connection, cluster: str, join_sha256: str, wanted: JoinCluster, new: NewToken, *, is_silent: bool
) -> list[str]:
    """The node is one of the cluster, with a token of its own; the SHA-256 of those that it had before, which are void now.

    A machine that asks again because the answer did not reach it has joined once. Raises a 409 where the node id is that of
    another machine which was heard from lately (`is_silent` is false), or where the node still has runs of another cluster; a
    401 where the join token is used up.
    """
    known = connection.execute(sa.select(cluster_nodes).where(cluster_nodes.c.node_id == wanted.node_id)).first()
    if known is not None:
        _require_same(connection, known, cluster, wanted, is_silent=is_silent)
    if known is None or (known.machine, known.cluster) != (wanted.machine, cluster) or known.heard_ns != known.joined_ns:
        _use(connection, join_sha256)
    void = [] if known is None else _drop_tokens(connection, known.token_id, wanted.node_id)
    auth.insert(connection, new.token_id, new.sha256, auth.NODE, wanted.node_id)
    now_ns = time.time_ns()
    values: dict[str, Any] = {
        name: getattr(wanted, name) for name in ("machine", "hostname", "ip", "capacity", "agent_version")
    }
    values |= {"cluster": cluster, "token_id": new.token_id, "joined_ns": now_ns, "heard_ns": now_ns}
    if known is not None and not known.token_id:  # it was removed, and is one of the cluster again
        values |= {"is_drained": False, "drain_reason": ""}
    if known is None:
        values |= {"status": "Idle", "reason": "", "runs": [], "is_drained": False, "drain_reason": ""}
        values |= {"clock_off_ns": 0, "work_version": 1}
        connection.execute(sa.insert(cluster_nodes).values(node_id=wanted.node_id, **values))
    else:
        change(connection, wanted.node_id, work_version=known.work_version + 1, **values)
    return void


def _require_same(connection: Connection, known: Any, cluster: str, wanted: JoinCluster, *, is_silent: bool) -> None:
    if known.machine != wanted.machine and not is_silent:
        detail = (
            f"node id {known.node_id} is that of {known.hostname} ({known.ip}), heard from in cluster {known.cluster}; "
            "a copied machine needs a node id of its own: remove .node_id from its spool folder"
        )
        raise Problem(409, "node-id-taken", detail)
    if known.cluster != cluster and has_runs(connection, known.node_id):
        detail = f"node {known.hostname} still has runs of cluster {known.cluster}; it can join {cluster} when they are over"
        raise Problem(409, "node-has-runs", detail)


def _use(connection: Connection, join_sha256: str) -> None:
    """Takes one use from the join token. Raises a 401 where none is left."""
    is_it = (tokens.c.sha256 == join_sha256) & (tokens.c.kind == auth.JOIN)
    left = tokens.c.uses_left
    taken = connection.execute(sa.update(tokens).where(is_it & (left > 0)).values(uses_left=left - 1))
    if taken.rowcount == 0:
        raise auth.unauthorized("this join token is used up; make a new one with `runyard clusters token`")


def _drop_tokens(connection: Connection, token_id: str, node_id: str) -> list[str]:
    """The node's own token and what it was to be renewed by are void; their SHA-256."""
    is_renewal = (tokens.c.kind == auth.NODE) & (tokens.c.subject == node_id) & tokens.c.uses_left.is_not(None)
    mine = (tokens.c.token_id == token_id) | is_renewal
    digests = list(connection.execute(sa.select(tokens.c.sha256).where(mine)).scalars())
    connection.execute(sa.delete(tokens).where(mine))
    return digests


def renew(connection: Connection, node_id: str, new: NewToken) -> str:
    """A further token of the node, which takes the place of its own when it is first used (auth.py); the node's cluster.
    One that was made before and never used is void: the answer with it was lost."""
    row = one(connection, node_id)
    if not row.token_id:
        raise auth.unauthorized(f"node {row.hostname} was removed from its cluster")
    pending = (tokens.c.kind == auth.NODE) & (tokens.c.subject == node_id) & tokens.c.uses_left.is_not(None)
    connection.execute(sa.delete(tokens).where(pending & (tokens.c.token_id != row.token_id)))
    auth.insert(connection, new.token_id, new.sha256, auth.NODE, node_id, uses_left=1)
    cluster: str = row.cluster
    return cluster


def note(connection: Connection, node_id: str, told: Heartbeat, clock_off_ns: int) -> None:
    """Writes down what a node says; raises a 404."""
    values: dict[str, Any] = {"status": told.status, "reason": told.reason, "runs": told.runs}
    values |= {"clock_off_ns": clock_off_ns, "heard_ns": time.time_ns()}
    values |= {"agent_version": told.agent_version} if told.agent_version else {}
    values |= {"capacity": told.capacity} if told.capacity is not None else {}
    change(connection, node_id, **values)


_THAT_NODE = cluster_nodes.c.node_id == sa.bindparam("of_node")
_HEARD = sa.update(cluster_nodes).where(_THAT_NODE).values(heard_ns=sa.bindparam("at_ns"))


def flush_heard(connection: Connection, heard: Mapping[str, int]) -> None:
    """Writes down when nodes were heard from."""
    rows = [{"of_node": node_id, "at_ns": heard_ns} for node_id, heard_ns in heard.items()]
    if rows:
        connection.execute(_HEARD, rows)


def change(connection: Connection, node_id: str, **values: Any) -> None:
    """Sets columns of a node; raises a 404."""
    if connection.execute(sa.update(cluster_nodes).where(cluster_nodes.c.node_id == node_id).values(values)).rowcount == 0:
        raise no_such_node(node_id)


def drain(connection: Connection, node_id: str, *, is_drained: bool, reason: str) -> Changes:
    """The node gets no more runs, or gets some again; what it has goes on."""
    row = one(connection, node_id)
    if (row.is_drained, row.drain_reason) == (is_drained, reason):
        return Changes()
    change(connection, node_id, is_drained=is_drained, drain_reason=reason, work_version=row.work_version + 1)
    return Changes(nodes=frozenset({node_id}))


def remove(connection: Connection, node_id: str) -> tuple[list[str], bool]:
    """The node's token is void, and it gets no more runs; where it has none, it is forgotten. The SHA-256 of its tokens, and
    whether it is forgotten."""
    row = one(connection, node_id)
    void = _drop_tokens(connection, row.token_id, node_id)
    if has_runs(connection, node_id):
        reason = "removed from its cluster; forgotten when its runs are over"
        change(connection, node_id, is_drained=True, drain_reason=reason, token_id="", work_version=row.work_version + 1)
        return void, False
    connection.execute(sa.delete(placements).where(placements.c.node_id == node_id))
    connection.execute(sa.delete(node_samples).where(node_samples.c.node_id == node_id))
    connection.execute(sa.delete(cluster_nodes).where(cluster_nodes.c.node_id == node_id))
    return void, True


def forget_removed(connection: Connection) -> list[str]:
    """Forgets the nodes that were removed while they had runs, and have none any more; their ids."""
    removed = list(connection.execute(sa.select(cluster_nodes.c.node_id).where(cluster_nodes.c.token_id == "")).scalars())
    return [node_id for node_id in removed if remove(connection, node_id)[1]]


def has_runs(connection: Connection, node_id: str) -> bool:
    """Whether the node has a place in a run that it has not given back, or in one that goes on without it."""
    is_current = (queue.c.attempt == placements.c.attempt) & (queue.c.stage == PLACED)
    held = (placements.c.node_id == node_id) & (placements.c.freed_ns.is_(None) | is_current)
    query = sa.select(placements.c.run_id).join(queue, queue.c.run_id == placements.c.run_id)
    return connection.execute(query.where(held).limit(1)).first() is not None


def one(connection: Connection, node_id: str) -> Any:
    """A node's row; raises a 404."""
    row = connection.execute(sa.select(cluster_nodes).where(cluster_nodes.c.node_id == node_id)).first()
    if row is None:
        raise no_such_node(node_id)
    return row


def nodes(connection: Connection, cluster: str | None = None) -> list[Any]:
    """The rows of all nodes, or of those of one cluster, by cluster and host name. Raises a 404 for a cluster that is none."""
    query = sa.select(cluster_nodes).order_by(cluster_nodes.c.cluster, cluster_nodes.c.hostname, cluster_nodes.c.node_id)
    if cluster is not None:
        require_cluster(connection, cluster)
        query = query.where(cluster_nodes.c.cluster == cluster)
    return list(connection.execute(query))


def versions(connection: Connection) -> list[tuple[str, int]]:
    """Of every node the version of its work."""
    query = sa.select(cluster_nodes.c.node_id, cluster_nodes.c.work_version)
    return [(row.node_id, row.work_version) for row in connection.execute(query)]


def names(connection: Connection) -> list[str]:
    """The clusters."""
    return list(connection.execute(sa.select(clusters.c.cluster).order_by(clusters.c.cluster)).scalars())


def runs_by_stage(connection: Connection) -> dict[tuple[str, str], int]:
    """How many runs of each cluster's queue are queued and placed."""
    query = (
        sa.select(queue.c.cluster, queue.c.stage, sa.func.count())
        .where(queue.c.stage.in_(GOING_ON))
        .group_by(queue.c.cluster, queue.c.stage)
    )
    return {(cluster, stage): count for cluster, stage, count in connection.execute(query)}
