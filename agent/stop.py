"""Asking a run's driver to end: a file in the spool, so that what is asked stays asked over any death.

Written by the wrapper, the shepherd (time limit, its own signals, fail-fast), the shipper (another node's failure) and
whoever cancels; read by the shepherd. Standard library only.
"""

from __future__ import annotations

import os
import time

from runyard.atomic import read_json, write_json
from runyard.names import STOP_FILE

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

DEFAULT_GRACE_S = 10.0


def request_stop(
    run_dir: str, number: int, grace_s: float, reason: str, *, is_time_limit: bool = False, is_failure: bool = False
) -> dict[str, Any]:
    """Ask the run's shepherd, this or a later one, to end the driver; returns what is asked now.

    What was asked first stays the reason, and its time; a later call can only hasten it (SIGKILL).
    `is_failure`: nobody asked; another process, here or on another node, has failed, and `reason` says which and why.
    """
    earlier = read_stop(run_dir)
    value = earlier or new_stop(number, grace_s, reason, is_time_limit=is_time_limit, is_failure=is_failure)
    if earlier and number == signal.SIGKILL:
        value = earlier | {"signal": int(number)}
    write_json(os.path.join(run_dir, STOP_FILE), value, durable=False)
    return value


def new_stop(
    number: int, grace_s: float, reason: str, *, is_time_limit: bool = False, is_failure: bool = False
) -> dict[str, Any]:
    """A request that is made now."""
    return {
        "signal": int(number),
        "grace_s": grace_s,
        "reason": reason,
        "is_time_limit": is_time_limit,
        "is_failure": is_failure,
        "asked_ns": time.time_ns(),
        "asked_mono_ns": time.monotonic_ns(),
    }


def read_stop(run_dir: str) -> dict[str, Any] | None:
    """What was asked, None where nothing was. Members that a hand-written file leaves out are filled in."""
    path = os.path.join(run_dir, STOP_FILE)
    value = read_json(path)
    if not isinstance(value, dict):
        return None
    if not isinstance(value.get("asked_mono_ns"), int):
        value["asked_mono_ns"] = time.monotonic_ns() - max(0, time.time_ns() - os.stat(path).st_mtime_ns)
    if not isinstance(value.get("signal"), int) or not 0 < value["signal"] < signal.NSIG:
        value["signal"] = int(signal.SIGTERM)
    if not isinstance(value.get("grace_s"), (int, float)):
        value["grace_s"] = DEFAULT_GRACE_S
    flags = {name: bool(value.get(name)) for name in ("is_time_limit", "is_failure")}
    return value | flags | {"reason": str(value.get("reason", "somebody asked"))}
