"""Waiting until the collector has applied a journal. Reads from GET /runs/{run_id}/records; blocks."""

from __future__ import annotations

import time
from typing import Any

from runyard.client import path_segment
from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable

from .connection import Connection

SHORTEST_WAIT_S = 0.02
LONGEST_WAIT_S = 1.0


def wait_until_applied(connection: Connection, run_id: str, file: str, size_bytes: int, deadline_s: float) -> bool:
    """Wait until `size_bytes` of the journal called `file` are applied, until `deadline_s` of the monotonic clock; whether
    they are. A collector that is away or busy is waited for; raises CollectorRefused."""
    wait_s = SHORTEST_WAIT_S
    while True:
        try:
            if applied_bytes(connection, run_id, file) >= size_bytes:
                return True
        except (CollectorUnreachable, CollectorBusy):
            wait_s = LONGEST_WAIT_S
        left_s = deadline_s - time.monotonic()
        if left_s <= 0:
            return False
        time.sleep(min(wait_s, left_s))
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def applied_bytes(connection: Connection, run_id: str, file: str) -> int:
    """How much of the journal called `file` the collector has applied; 0: it does not know it yet. Raises CollectorError."""
    known = _journals(connection, run_id)
    return max((stream["applied"] for stream in known if stream["name"].rpartition("/")[2] == file), default=0)


def wait_until_all_applied(connection: Connection, run_id: str, limit_s: float) -> None:
    """Wait until the collector has applied what it has of the run's journals, at most that long. A line that its writer's end
    has cut is not waited for. As wait_until_applied else."""
    deadline_s = time.monotonic() + limit_s
    before: list[Any] = []
    wait_s = SHORTEST_WAIT_S
    while True:
        try:
            known = _journals(connection, run_id)
            if all(stream["applied"] >= stream["bytes"] for stream in known) or (known == before and wait_s == LONGEST_WAIT_S):
                return
            before = known
        except (CollectorUnreachable, CollectorBusy):
            pass
        if time.monotonic() + wait_s > deadline_s:
            return
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _journals(connection: Connection, run_id: str) -> list[dict[str, Any]]:
    try:
        answer = connection.client.json("GET", f"/runs/{path_segment(run_id)}/records")
    except CollectorRefused as error:
        if error.status == 404:  # the run began while the collector was away
            return []
        raise
    return list(answer["streams"])
