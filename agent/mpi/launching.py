"""How an MPI run's processes come to be started, as the shepherd sees it: mpirun on the head node, a daemon on each other one.

Loaded for MPI runs alone. Standard library only.
"""

from __future__ import annotations

from runyard.agent.local_run import LocalRun

from .head import Head
from .node import Node


def of(local: LocalRun, lock: int) -> Head | Node:
    """This node's part; `lock` is the shepherd's, which no child may keep."""
    return Node(local, lock) if local.run["distribution"]["node_rank"] else Head(local, lock)
