"""What the nodes of a run know of each other: who is there, who is head, at which address and port.

Reads what the phase rendezvous has left; a run on one node meets nobody, and has the same written here into
.runyard/meeting.json, once: every process, whoever starts it and after whatever death, is to get the same port.
Standard library only; loaded for distributed runs alone.
"""

from __future__ import annotations

import os

from runyard import names
from runyard.atomic import read_json, write_json

from .free_ports import first_free_port

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

MEETING_FILE = f"{names.PRIVATE_DIR}/meeting.json"
LOOPBACK = "127.0.0.1"


def of(run_dir: str, run: dict[str, Any]) -> dict[str, Any] | None:
    """The meeting, in the shape of the phase rendezvous' data; None as long as there was none. `run` is the run.json."""
    if (run.get("distribution") or {}).get("node_count", 1) > 1:
        result = read_json(os.path.join(run_dir, names.phase_dir("rendezvous"), "result.json")) or {}
        return result.get("data") or None
    found: dict[str, Any] | None = read_json(os.path.join(run_dir, MEETING_FILE))
    return found


def ensure(run_dir: str, run: dict[str, Any]) -> None:
    """Write down what a run on one node needs, unless it is there. Only the shepherd calls it. Raises OSError."""
    if (run.get("distribution") or {}).get("node_count", 1) > 1 or of(run_dir, run) is not None:
        return
    port = first_free_port(len(run["ranks"]))
    member = {
        "node_rank": 0,
        "node_id": run["node_id"],
        "ip": LOOPBACK,
        "hostname": run["hostname"],
        "port": port,
        "processes": len(run["ranks"]),
        "ranks": run["ranks"],
    }
    value = {"members": [member], "master_addr": LOOPBACK, "master_port": port}
    write_json(os.path.join(run_dir, MEETING_FILE), value, durable=False)
