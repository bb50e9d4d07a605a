"""mpirun's remote-start agent, in ssh's place: `remote_start.py HOST COMMAND…`, a process for each other node.

mpirun starts this file itself. Reads the rendezvous's result below $RUNYARD_RUN_DIR; connects to the daemon of the node HOST,
has it run the command, writes what that prints to its own stdout and stderr, and leaves with its exit code. Its own words, one
sentence, go to stderr and so into 70_mpi_log.txt. Its death ends the command; nothing else depends on it.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

# A node's daemon begins to listen when its driver phase begins, which may be a little after the head's.
PATIENCE_S = 30.0
PAUSE_S = 0.1
MARK = "runyard: "
CANNOT_START = 255  # what ssh leaves with


def main(arguments: list[str]) -> int:
    """Entry point of the process; returns its exit code. Blocks until the command has ended."""
    from .link import LinkError, meeting

    host, command = arguments[0], " ".join(arguments[1:])
    data = meeting(os.environ.get("RUNYARD_RUN_DIR", ""))
    member = find(data.get("members") or [], host)
    if member is None:
        names = ", ".join(str(one["ip"]) for one in data.get("members") or [])
        return _fail(f"the host {host} is none of this run's nodes ({names}); nothing was started there")
    try:
        return run(member, data["secret"], command)
    except (LinkError, OSError) as error:
        return _fail(f"nothing could be started on node {member['ip']}, port {member['port']}: {error}")


def find(members: list[dict[str, Any]], host: str) -> dict[str, Any] | None:
    """The member that mpirun calls `host`: by its address, or its host name."""
    return next((one for one in members if host in (one["ip"], one.get("hostname"))), None)


def run(member: dict[str, Any], secret: str, command: str) -> int:
    """Have the member's daemon run the command; returns its exit code. Blocks."""
    from .link import ERR, EXIT, OUT, Link, LinkError

    with connect(member["ip"], int(member["port"]), PATIENCE_S) as connection:
        link = Link(connection, secret)
        link.ask({"command": command})
        for kind, data in link.frames():
            if kind == EXIT:
                return int(data)
            if kind in (OUT, ERR):
                os.write(kind, data)
        raise LinkError("the connection to its daemon was lost")


def connect(ip: str, port: int, patience_s: float) -> socket.socket:
    """A connection to a node's daemon, which may have to be waited for. Blocks."""
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            return socket.create_connection((ip, port), timeout=max(1.0, deadline_s - time.monotonic()))
        except ConnectionRefusedError:
            if time.monotonic() >= deadline_s:
                raise
            time.sleep(PAUSE_S)


def _fail(why: str) -> int:
    os.write(2, f"{MARK}{why}\n".encode(errors="replace"))
    return CANNOT_START


if __name__ == "__main__":
    sys.path.append(os.path.abspath(__file__).removesuffix("/runyard/agent/mpi/remote_start.py"))
    from runyard.agent.mpi.remote_start import main as installed_main

    sys.exit(installed_main(sys.argv[1:]))
