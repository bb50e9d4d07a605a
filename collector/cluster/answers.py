"""The JSON bodies of the answers about clusters, their nodes and their queues. Pure."""

from __future__ import annotations

from runyard.collector.answers import Run
from runyard.collector.messages import Body

from .messages import Capacity, ClusterNodeStatus, Order, Request, RunOnNode


class JoinToken(Body, frozen=True, kw_only=True):
    """A join token, told once."""

    token_id: str
    token: str
    cluster: str
    uses: int
    expires_ns: int


class Joined(Body, frozen=True, kw_only=True):
    """What a node that has joined knows the collector by from now on: a token of kind node."""

    cluster: str
    token_id: str
    token: str


class Assignment(Body, frozen=True, kw_only=True):
    """A run that the node is to have. `stop`: it is to end it; empty: it is to start it, or to let it go on."""

    run_id: str
    attempt: int
    node_rank: int
    node_count: int
    order: Order
    request: Request
    stop: str = ""


class Work(Body, frozen=True, kw_only=True):
    """All that a node is to have; what else it has from the queue it is to end. `version` grows with each change. `epoch` is
    another one since the collector was restored from a backup: what it does not know of since then was not taken away."""

    version: int
    epoch: str
    is_drained: bool
    assignments: list[Assignment]


class HeartbeatAnswer(Body, frozen=True, kw_only=True):
    """`version` of the node's work; `clock_off_ns`: how much later the node's wall clock is than the collector's."""

    version: int
    now_ns: int
    clock_off_ns: int


class ClusterNode(Body, frozen=True, kw_only=True):
    """A node of a cluster."""

    node_id: str
    cluster: str
    hostname: str
    ip: str
    status: ClusterNodeStatus
    reason: str
    is_drained: bool
    drain_reason: str
    capacity: Capacity
    agent_version: str
    clock_off_ns: int
    joined_ns: int
    heard_ns: int | None
    runs: list[RunOnNode]
    sample: dict[str, float]


class NodeList(Body, frozen=True, kw_only=True):
    """Nodes, by cluster and host name."""

    nodes: list[ClusterNode]


class Cluster(Body, frozen=True, kw_only=True):
    """A cluster: how many of its nodes are in which status, what they have together, how many of its GPUs are taken, and
    how many runs it has."""

    cluster: str
    nodes: dict[str, int]
    capacity: Capacity
    gpus_taken: int
    queued: int
    active: int


class ClusterList(Body, frozen=True, kw_only=True):
    """All clusters, by name."""

    clusters: list[Cluster]


class QueuedRun(Body, frozen=True, kw_only=True):
    """A run of a cluster's queue that has not ended. `waits_for`: why it has no nodes yet."""

    run: Run
    cluster: str
    request: Request
    priority: int
    submitted_ns: int
    placed_ns: int | None
    retries: int
    waits_for: str
    nodes: list[str]


class Queue(Body, frozen=True, kw_only=True):
    """The runs queued or active on a cluster, in the order in which they get nodes."""

    runs: list[QueuedRun]


class Samples(Body, frozen=True, kw_only=True):
    """A node's samples, oldest first: when each came, and its values."""

    samples: list[tuple[int, dict[str, float]]]
