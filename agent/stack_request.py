"""What a driver is started with so that its Python programs can be asked for their stacks by a signal.

Pure, standard library only. The variables are read by excepthook/runyard_stacks_hook.py; the asking is agent/stacks.py's.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# A real-time signal from their middle: neither libraries nor trainings have a use for it.
SIGNAL = 50
RAW_FILE = "stacks.raw"


def prepare(launch: dict[str, Any], directory: str) -> None:
    """Change `launch` in place; `directory` is the process's own below .runyard/proc."""
    launch["env"] |= {"RUNYARD_STACKS_FILE": os.path.join(directory, RAW_FILE), "RUNYARD_STACKS_SIGNAL": str(SIGNAL)}
