"""The JSON bodies and query parameters of the routes of clusters, their nodes and their queues. Pure.

Kept in the catalog as they came: Capacity, Request, Order, Sample.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from runyard.collector.messages import (
    Body,
    Count,
    Ip,
    NodeId,
    RunId,
    RunStatus,
    Small,
    Text,
    check_ip,
    check_node_id,
    check_run_id,
)

# What a node of a cluster does. LostContact is never told and never stored: it follows from silence.
AgentStatus = Literal["Idle", "Preparing", "Running", "Leaving", "Unusable"]
ClusterNodeStatus = Literal[AgentStatus, "LostContact"]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Cpus = Annotated[float, Meta(ge=0, le=1e6)]
Hash = Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$")]
_LABEL = r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$"
ClusterName = Annotated[str, Meta(min_length=1, max_length=64, pattern=_LABEL)]


class Capacity(Body, frozen=True, kw_only=True):
    """What a node has for runs."""

    cpus: Cpus
    memory_bytes: Count
    gpus: Small = 0
    gpu_name: Text = ""


class Request(Body, frozen=True, kw_only=True):
    """What a run wants of each of its nodes. With neither cpus nor memory_bytes, it wants the node for itself."""

    gpus: Small = 0
    cpus: Cpus = 0.0
    memory_bytes: Count = 0

    @property
    def is_exclusive(self) -> bool:
        """Whether the run shares its nodes with no other."""
        return not self.cpus and not self.memory_bytes


class MakeJoinToken(Body, frozen=True, kw_only=True):
    """Asks for a token with which nodes join a cluster; the cluster is made where there is none of that name."""

    uses: Annotated[int, Meta(ge=1, le=100_000)] = 1
    valid_s: Annotated[float, Meta(gt=0, le=1e9)] = 3600.0


class JoinCluster(Body, frozen=True, kw_only=True):
    """A node joins the cluster that its join token is for. `machine` is the same after a restart of its agent, and another one
    on another machine: two machines with one node id are told apart by it."""

    node_id: NodeId
    machine: Hash
    hostname: Text
    ip: Ip
    agent_version: Text
    capacity: Capacity

    def __post_init__(self) -> None:
        check_node_id(self.node_id)
        check_ip(self.ip)


class RunOnNode(Body, frozen=True, kw_only=True):
    """A run that the node has in hand, as its spool says. `is_over`: nothing of it is left there to do, also no shipping."""

    run_id: RunId
    attempt: Small
    status: RunStatus
    is_over: bool = False


class Refusal(Body, frozen=True, kw_only=True):
    """An assignment that this node cannot start."""

    run_id: RunId
    attempt: Small
    reason: Text


class Heartbeat(Body, frozen=True, kw_only=True):
    """How a node is. Under 1 KB where it has a few runs. `refused`: assignments that cannot be started here, and why."""

    status: AgentStatus
    reason: Text = ""
    now_ns: Count  # the node's wall clock
    agent_version: Text = ""
    runs: Annotated[list[RunOnNode], Meta(max_length=1000)] = []
    refused: Annotated[list[Refusal], Meta(max_length=1000)] = []
    capacity: Capacity | None = None  # where it has changed
    # The newest one: name -> value, docs/monitoring.md.
    sample: Annotated[dict[Annotated[str, Meta(max_length=64)], float], Meta(max_length=100)] = {}


class Order(Body, frozen=True, kw_only=True):
    """What an agent needs to start a run: `spec` is runyard/spec.py's to_json, `snapshot` the packed code's."""

    spec: dict[str, Any]
    snapshot: dict[str, Any] | None = None
    mlflow: bool = True  # MLflow in the drivers is led to the run, where the agent's setting does not say otherwise
    user: Annotated[str, Meta(max_length=64)] = ""  # who the drivers run as; empty: as the agent's setting says


class SubmitRun(Body, frozen=True, kw_only=True):
    """A run for a cluster's queue. `max_queue_s` 0: it waits for ever."""

    run_id: RunId
    order: Order
    node_count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    request: Request = Request()
    priority: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    max_queue_s: Seconds = 0.0
    retries: Annotated[int, Meta(ge=0, le=1000)] = 0
    parent_run_id: RunId | None = None

    def __post_init__(self) -> None:
        check_run_id("run_id", self.run_id)


class CancelRun(Body, frozen=True, kw_only=True):
    """Why a run is cancelled."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class DrainNode(Body, frozen=True, kw_only=True):
    """Why a node gets no more runs."""

    reason: Annotated[str, Meta(max_length=1000)] = ""


class WorkQuery(Body, frozen=True, kw_only=True):
    """Which version of its work a node knows, and how long the answer may wait for another."""

    seen: Count = 0
    wait_s: Annotated[float, Meta(ge=0, le=60)] = 0.0


class NodesQuery(Body, frozen=True, kw_only=True):
    """Which nodes are listed."""

    cluster: Text | None = None


class SamplesQuery(Body, frozen=True, kw_only=True):
    """From which moment on a node's samples are wanted."""

    since_ns: Count = 0
