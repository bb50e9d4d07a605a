"""Where a node keeps what belongs to mpirun, and whether mpirun has ended there (the mark is agent/launched.py's).

Standard library only.
"""

from __future__ import annotations

import os
from typing import Any

from runyard.agent.launched import ENDED_FILE
from runyard.names import process_dir

# mpirun has a folder as a driver process has, by this in place of a rank.
PLACE: Any = "mpi"
LOCK_FILE = "node.lock"


def folder(run_dir: str) -> str:
    """What is kept of mpirun on this node."""
    return os.path.join(run_dir, process_dir(PLACE))


def has_ended(run_dir: str) -> bool:
    """Whether mpirun starts no rank here any more."""
    return os.path.exists(os.path.join(run_dir, ENDED_FILE))
