"""Tells the other nodes that mpirun has failed: it may never have come to them, and their ranks would be waited for.

A process of its own, forked by the head's shepherd; what it cannot reach learns of it from the collector. Reads the
rendezvous's result; writes to the nodes' daemons.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from .link import Link, LinkError

PATIENCE_S = 60.0
PAUSE_S = 0.5
CONNECT_S = 5.0


def say(members: list[dict[str, Any]], secret: str, cause: str) -> None:
    """Tell each of `members` of the end, and its cause. Blocks until all know of it or are out of reach for PATIENCE_S."""
    deadline_s = time.monotonic() + PATIENCE_S
    while members and time.monotonic() < deadline_s:
        members = [member for member in members if not _told(member, secret, cause)]
        if members:
            time.sleep(PAUSE_S)


def _told(member: dict[str, Any], secret: str, cause: str) -> bool:
    try:
        with socket.create_connection((member["ip"], int(member["port"])), timeout=CONNECT_S) as connection:
            link = Link(connection, secret)
            link.ask({"ended": cause})
            return next(link.frames(), None) is not None
    except (OSError, LinkError):
        return False
