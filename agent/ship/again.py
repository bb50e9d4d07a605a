"""Runs that were sent to the collector, and are sent once more because it has lost them: it was restored from a backup.

Reads from the spool and from GET /runs/{run_id}; removes .runyard/shipped.json. What survives a crash: a run without that file
is shipped as any other, and sending what the collector has is harmless.
"""

from __future__ import annotations

from pathlib import Path

from runyard import names
from runyard.agent.spool import SpoolLock
from runyard.atomic import read_json
from runyard.client import CollectorClient, path_segment
from runyard.errors import CollectorRefused


def take_up_again(run_dir: Path, client: CollectorClient) -> bool:
    """Whether the run is to be shipped once more: the collector does not know it, or has not all of it. Raises CollectorError,
    OSError. Blocks."""
    run = read_json(str(run_dir / names.RUN_FILE))
    if not isinstance(run, dict) or _is_complete(client, str(run.get("run_id"))):
        return False
    lock = SpoolLock(run_dir)
    if not lock.acquire():
        return False
    try:
        (run_dir / names.SHIPPED_FILE).unlink(missing_ok=True)
    finally:
        lock.release()
    return True


def _is_complete(client: CollectorClient, run_id: str) -> bool:
    try:
        found = client.json("GET", f"/runs/{path_segment(run_id)}")
    except CollectorRefused as error:
        if error.status != 404:
            raise
        return False
    # What was removed for its age is not missed.
    return bool(found["is_complete"]) or found["removed_ns"] is not None
