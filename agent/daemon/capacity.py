"""What this node has for runs, and who it is. Reads /proc and /dev; blocks shortly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

DEV = Path("/dev")
MEMINFO = Path("/proc/meminfo")
GPU_NAMES = Path("/proc/driver/nvidia/gpus")


def capacity() -> dict[str, Any]:
    """{"cpus","memory_bytes","gpus","gpu_name"}, as the collector is told."""
    found = gpus()
    return {
        "cpus": float(len(os.sched_getaffinity(0))),
        "memory_bytes": _memory_bytes(),
        "gpus": found,
        "gpu_name": _gpu_name() if found else "",
    }


def gpus() -> int:
    """How many GPUs there are."""
    try:
        return len([name for name in os.listdir(DEV) if name.startswith("nvidia") and name[6:].isdigit()])  # noqa: PTH208
    except OSError:
        return 0


def _gpu_name() -> str:
    """The first one's model; empty where the driver does not say."""
    for path in sorted(GPU_NAMES.glob("*/information")):
        try:
            lines = path.read_text(errors="replace").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "Model":
                return value.strip()
    return ""


def _memory_bytes() -> int:
    """Of the machine, or of the cgroup that this process may not leave, if that is less."""
    total_bytes = 0
    for line in MEMINFO.read_text().splitlines():
        if line.startswith("MemTotal:"):
            total_bytes = int(line.split()[1]) << 10
    return total_bytes
