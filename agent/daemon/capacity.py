"""What this node has for runs, as far as it can be told before its GPUs were asked. Reads /proc and /dev."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from runyard.agent.telemetry import host

DEV = Path("/dev")
GPU_NAMES = Path("/proc/driver/nvidia/gpus")


def capacity() -> dict[str, Any]:
    """{"cpus","memory_bytes","gpus","gpu_name"}, as the collector is told."""
    found = gpus()
    return {
        "cpus": host.cpus(),
        "memory_bytes": host.memory_bytes(),
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
