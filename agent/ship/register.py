"""Telling the collector of a run: creating it is idempotent by the run's key.

Reads run.json's content; writes to the collector. The wrapper calls `register` before the training starts.
"""

from __future__ import annotations

import hashlib
from typing import Any

from runyard.client import CollectorClient

_COPIED = (
    "run_id",
    "experiment",
    "key",
    "created_ns",
    "command",
    "name",
    "tags",
    "cwd",
    "user",
    "hostname",
    "timeout_s",
    "world_size",
)
_COPIED_OF_DISTRIBUTION = ("node_count", "on_failure", "failure_grace_s")
# Codes of a collector that will never take this run from this node.
REFUSED_FOR_GOOD = frozenset(
    {"run-id-taken", "run-differs", "rank-taken", "spool-shared", "not-yours", "not-placed", "removed"}
)


def payload(run: dict[str, Any]) -> dict[str, Any]:
    """The body of POST /runs. The run's token itself stays on the node."""
    body = {name: run[name] for name in _COPIED if name in run}
    distribution = run.get("distribution") or {}
    body |= {name: distribution[name] for name in _COPIED_OF_DISTRIBUTION if name in distribution}
    if distribution.get("node_count", 1) > 1:
        body |= {"node_id": run["node_id"], "node_rank": distribution["node_rank"]}
    if run.get("placement"):  # of a queue: admitted as this attempt on this node, which a later one replaces
        body |= {"node_id": run["node_id"], "attempt": run["attempt"]}
    if run.get("kind", "script") != "script":  # a collector of an earlier version takes all others
        body["kind"] = run["kind"]
    if run.get("parent_run_id"):
        body["parent_run_id"] = run["parent_run_id"]
    body["run_token_sha256"] = hashlib.sha256(run["run_token"].encode()).hexdigest()
    return body


def register(run: dict[str, Any], url: str, token: str, *, timeout_s: float) -> None:
    """Create the run at the collector at `url`, join it as a further node, or find it there. Blocks; raises CollectorError."""
    client = CollectorClient(url, token, timeout_s=timeout_s)
    try:
        client.json("POST", "/runs", payload(run))
    finally:
        client.close()
