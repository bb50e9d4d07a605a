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
HOOK_DIR = os.path.join(os.path.dirname(os.path.abspath(__file__)), "excepthook")


def prepare(launch: dict[str, Any], directory: str) -> None:
    """Change `launch` in place; `directory` is the process's own below .runyard/proc."""
    if "container" in launch:  # it sees neither the file nor the entry on the path
        return
    env = launch["env"]
    env |= {"RUNYARD_STACKS_FILE": os.path.join(directory, RAW_FILE), "RUNYARD_STACKS_SIGNAL": str(SIGNAL)}
    paths = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    if HOOK_DIR not in paths:  # the run wants no note of exceptions, which would have put it there
        env["PYTHONPATH"] = os.pathsep.join((HOOK_DIR, *paths))
