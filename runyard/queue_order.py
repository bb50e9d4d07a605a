"""A run for a cluster's queue: what is asked of it, and putting it there. What `runyard submit` and the SDK do.

Writes to POST clusters/{cluster}/runs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .client import CollectorClient, path_segment
from .errors import CollectorUnreachable
from .spec import Snapshot, Spec


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run for a cluster. Counts and sizes are those of each of its nodes; 0 of both cpus and memory: whole nodes."""

    run_id: str
    spec: Spec
    gpus: int = 0
    cpus: float = 0.0
    memory_bytes: int = 0
    priority: int = 0
    max_queue_s: float = 0.0
    retries: int = 0
    user: str = ""
    parent_run_id: str = ""
    mlflow: bool = True  # MLflow in it is led to the run

    @property
    def node_count(self) -> int:
        """How many nodes it needs at once."""
        return self.spec.distribution.node_count


def body_of(wanted: Wanted, snapshot: Snapshot | None) -> dict[str, Any]:
    """What POST clusters/{cluster}/runs takes. Pure."""
    body: dict[str, Any] = {
        "run_id": wanted.run_id,
        "order": {"spec": wanted.spec.to_json(), "snapshot": asdict(snapshot) if snapshot else None, "user": wanted.user},
        "node_count": wanted.node_count,
        "request": {"gpus": wanted.gpus, "cpus": wanted.cpus, "memory_bytes": wanted.memory_bytes},
        "priority": wanted.priority,
        "max_queue_s": wanted.max_queue_s,
        "retries": wanted.retries,
    }
    if not wanted.mlflow:
        body["order"]["mlflow"] = False
    return body | ({"parent_run_id": wanted.parent_run_id} if wanted.parent_run_id else {})


def put(client: CollectorClient, cluster: str, wanted: Wanted, snapshot: Snapshot | None) -> None:
    """Put the run into the cluster's queue; the code has to be at the collector. Blocks; raises CollectorError."""
    path, body = f"/clusters/{path_segment(cluster)}/runs", body_of(wanted, snapshot)
    try:
        try:
            client.json("POST", path, body)
        except CollectorUnreachable:
            client.json("POST", path, body)  # the very same again is harmless, and the answer may be all that was lost
    except CollectorUnreachable as error:
        raise CollectorUnreachable(
            f"{error}; whether it has run {wanted.run_id} is not known: `runyard show {wanted.run_id}` tells"
        ) from error
