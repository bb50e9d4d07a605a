"""The exit code of a driver that nobody has seen end: whether somebody still may, and why it is lost.

Reads what /proc and the marks of the process tell; writes nothing. Standard library only; where captures live it is not loaded.
"""

from __future__ import annotations

import os

from . import proctree

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

    from .process import Process


def may_still_come(process: Process) -> bool:
    """Whether the driver is about to end, or is this shepherd's to reap."""
    if not process.started or not process.is_driver_there:
        return False
    pid = process.started["pid"]
    return proctree.is_running(pid, process.started["start_ticks"]) or proctree.parent(pid) == os.getpid()


def cause(process: Process, launched: Any) -> str:
    """Why the exit code is lost; `launched` (agent/launched.py) knows it of a process that a launcher has started."""
    started = process.started
    if started and started["boot_id"] != proctree.boot_id():
        return "its exit code is lost: the machine was started again"
    if launched is not None:
        return str(launched.lost(process))
    if started and started.get("container"):
        return f"its exit code is lost: podman does not know the container {started['container']} any more"
    return "its exit code is lost: its capture was killed, and the shepherd that could have taken over was, too"
