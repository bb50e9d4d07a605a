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


def ensured(run_dir: str, run: dict[str, Any]) -> dict[str, Any] | None:
    """The same; what a run on one node needs is written down, unless it is there. Raises OSError.

    Every process of the run may call this as it starts: the first word stands, and all read that one.
    """
    found = of(run_dir, run)
    if found is not None or (run.get("distribution") or {}).get("node_count", 1) > 1:
        return found
    path = os.path.join(run_dir, MEETING_FILE)
    mine = f"{path}.{os.getpid()}"
    write_json(mine, _alone(run), durable=False)
    try:
        os.link(mine, path)
    except FileExistsError:  # another process was faster
        pass
    finally:
        os.unlink(mine)
    return of(run_dir, run)


def _alone(run: dict[str, Any]) -> dict[str, Any]:
    """The meeting of a node with itself."""
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
    return {"members": [member], "master_addr": LOOPBACK, "master_port": port}


def forget_secret(run_dir: str) -> None:
    """Take the secret out of what the rendezvous has left; the rest stays for people. Raises OSError."""
    path = os.path.join(run_dir, names.phase_dir("rendezvous"), "result.json")
    result = read_json(path) or {}
    if (result.get("data") or {}).get("secret"):
        result["data"]["secret"] = ""
        write_json(path, result, durable=False)
