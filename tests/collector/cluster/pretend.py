"""Pretend agents of a cluster, for tests of the collector: they join, say how they are, and ask for work.

They have no spool and start no processes.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from tests.collector.node import call, sha256
from tests.collector_process import CollectorProcess

CAPACITY = {"cpus": 8.0, "memory_bytes": 32 << 30, "gpus": 2, "gpu_name": "H100"}


def cluster_name() -> str:
    """A name that no other test has."""
    return "c-" + secrets.token_hex(4)


def join_token(collector: CollectorProcess, cluster: str, **fields: Any) -> str:
    """A token with which nodes join the cluster."""
    token: str = collector.client().json("POST", f"/clusters/{cluster}/join-tokens", fields)["token"]
    return token


class Agent:
    """The agent of one node, which has joined unless `join` is false."""

    def __init__(self, collector: CollectorProcess, cluster: str, *, token: str = "", join: bool = True, **fields: Any) -> None:
        self.collector = collector
        self.cluster = cluster
        self.node_id = fields.pop("node_id", "node-" + secrets.token_hex(6))
        self.description = {
            "node_id": self.node_id,
            "machine": sha256(self.node_id.encode()),
            "hostname": "host-" + self.node_id[-4:],
            "ip": "10.77.0.11",
            "agent_version": "1.0",
            "capacity": CAPACITY,
        } | fields
        self.token = ""
        if join:
            joined = self.join(token or join_token(collector, cluster))
            assert joined.status == 201, joined.data

    def join(self, token: str) -> Any:
        """Joins with this join token; the answer."""
        answer = call(self.collector, "POST", "/api/v1/nodes", self.description, token=token)
        if answer.status == 201:
            self.token = answer.json["token"]
        return answer

    def call(self, method: str, path: str = "", body: Any = None, *, token: str = "") -> Any:
        """A request about this node, with its own token."""
        return call(self.collector, method, f"/api/v1/nodes/{self.node_id}{path}", body, token=token or self.token)

    def say(self, status: str = "Idle", **fields: Any) -> Any:
        """A heartbeat; the answer's JSON."""
        answer = self.call("PUT", "/heartbeat", {"status": status, "now_ns": time.time_ns()} | fields)
        assert answer.status == 200, answer.data
        return answer.json

    def work(self, seen: int = 0, wait_s: float = 0) -> Any:
        """All that the node is to have."""
        answer = self.call("GET", f"/work?seen={seen}&wait_s={wait_s}")
        assert answer.status == 200, answer.data
        return answer.json

    def shown(self) -> Any:
        """The node as people see it."""
        return self.collector.client().json("GET", f"/nodes/{self.node_id}")
