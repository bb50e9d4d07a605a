"""Asking a run's driver to end: a file in the spool, so that what is asked stays asked over any death.

Written by the wrapper, the shepherd (time limit, its own signals) and whoever cancels; read by the shepherd.
Standard library only.
"""

from __future__ import annotations

import os
import time

from runyard.atomic import read_json, write_json
from runyard.names import STOP_FILE

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any


def request_stop(run_dir: str, number: int, grace_s: float, reason: str, *, is_time_limit: bool = False) -> None:
    """Ask the run's shepherd, this or a later one, to end the driver. What is asked stays asked over any death."""
    value = {
        "signal": int(number),
        "grace_s": grace_s,
        "reason": reason,
        "is_time_limit": is_time_limit,
        "asked_ns": time.time_ns(),
        "asked_mono_ns": time.monotonic_ns(),
    }
    write_json(os.path.join(run_dir, STOP_FILE), value, durable=False)


def read_stop(run_dir: str) -> dict[str, Any] | None:
    """What was asked last, None where nothing was."""
    value = read_json(os.path.join(run_dir, STOP_FILE))
    return value if isinstance(value, dict) else None
