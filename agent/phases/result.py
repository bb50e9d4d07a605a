"""A phase's last word: result.json, renamed into place when all else is done. Blocks while a full disk keeps it back."""

from __future__ import annotations

import time
from typing import Any

from runyard import names
from runyard.agent import reserve
from runyard.atomic import write_json

from .phase import Phase

EXIT_FAILED = 1
# How long a full disk may keep a result back.
FULL_DISK_S = 30.0
_LOOK_S = 0.1


def write_result(phase: Phase, result: dict[str, Any]) -> None:
    """Write it; raises OSError where the disk does not let us for FULL_DISK_S."""
    path = str(phase.run_dir / names.phase_dir(phase.name) / "result.json")
    deadline_s = time.monotonic() + FULL_DISK_S
    while True:
        try:
            write_json(path, result, durable=False)
            return
        except OSError as error:
            if reserve.give_up(str(phase.run_dir), error):
                continue
            if time.monotonic() > deadline_s:
                raise
            time.sleep(_LOOK_S)
