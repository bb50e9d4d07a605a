"""Waiting until the collector has applied a journal. Reads from GET /runs/{run_id}/records; blocks."""

from __future__ import annotations

import time

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
    try:
        answer = connection.client.json("GET", f"/runs/{path_segment(run_id)}/records")
    except CollectorRefused as error:
        if error.status == 404:  # the run began while the collector was away
            return 0
        raise
    return max((stream["applied"] for stream in answer["streams"] if stream["name"].rpartition("/")[2] == file), default=0)
