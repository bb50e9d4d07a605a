"""What the whole node uses, and what it has: cpus, memory, swap, disk, network.

Reads through psutil, /proc/pressure and the limits of the cgroup that this system is in (a node may be a container itself).
Rates are those since the call before.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import psutil

from . import pressure

CGROUP_ROOT = Path("/sys/fs/cgroup")
T = TypeVar("T")


class Host:
    """Belongs to one thread. `disk` is a folder on the file system whose room is told."""

    def __init__(self, disk: Path) -> None:
        self._disk = disk
        self._before: dict[str, float] = {}
        self._before_s = 0.0
        self.sample()

    def sample(self) -> dict[str, float]:
        """Name → value, docs/monitoring.md; what this system does not tell is left out. Blocks no longer than /proc does."""
        memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        found: dict[str, float] = {
            "load1": round(os.getloadavg()[0], 2),
            "mem_used_bytes": memory.total - memory.available,
            "swap_used_bytes": swap.used,
        }
        with suppress(OSError):
            found["disk_free_bytes"] = psutil.disk_usage(str(self._disk)).free
        for name, (some, _) in pressure.of_host().items():
            found[f"psi_{name}_percent"] = some
        return self._rates() | found

    def _rates(self) -> dict[str, float]:
        now_s, now = time.monotonic(), _counters()
        before, passed_s = self._before, now_s - self._before_s
        self._before, self._before_s = now, now_s
        grown = {name: max(0.0, now[name] - before[name]) for name in now if name in before}
        found: dict[str, float] = {}
        if grown.get("cpu_all_s"):
            found["cpu_percent"] = round(min(100.0, 100.0 * grown["cpu_busy_s"] / grown["cpu_all_s"]), 1)
        if passed_s > 0:
            found |= {name: round(value / passed_s) for name, value in grown.items() if name.endswith("_bytes_s")}
        return found


def _counters() -> dict[str, float]:
    """What only grows; `…_bytes_s` are the bytes of which a rate is made."""
    cpu = psutil.cpu_times()
    # The time of guests is in user's and nice's already; steal is time that another machine had.
    idle = cpu.idle + cpu.iowait
    every = sum(cpu) - getattr(cpu, "guest", 0.0) - getattr(cpu, "guest_nice", 0.0)
    found: dict[str, float] = {"cpu_busy_s": every - idle, "cpu_all_s": every}
    disk, net = _told(psutil.disk_io_counters), _net()
    if disk is not None:
        found |= {"disk_read_bytes_s": disk.read_bytes, "disk_write_bytes_s": disk.write_bytes}
    return found | net


def _net() -> dict[str, float]:
    """All interfaces but loopback: what the ranks of one node say to each other is no network traffic."""
    received = sent = 0
    for name, one in (_told(lambda: psutil.net_io_counters(pernic=True)) or {}).items():
        if name != "lo":
            received, sent = received + one.bytes_recv, sent + one.bytes_sent
    return {"net_in_bytes_s": received, "net_out_bytes_s": sent}


def _told(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (OSError, RuntimeError, NotImplementedError):  # psutil's words for a /proc without these files
        return None


def cpus(root: Path = CGROUP_ROOT) -> float:
    """How many the node has for runs: those that this process may use, at most the quota of the system's own cgroup."""
    found = float(len(os.sched_getaffinity(0)))
    quota, period = [*_words(root / "cpu.max"), "", ""][:2]
    if not quota:
        quota, period = "".join(_words(root / "cpu/cpu.cfs_quota_us")), "".join(_words(root / "cpu/cpu.cfs_period_us"))
    with suppress(ValueError, ZeroDivisionError):
        if int(quota) > 0:
            found = min(found, math.floor(10 * int(quota) / int(period)) / 10)
    return found


def memory_bytes(root: Path = CGROUP_ROOT) -> int:
    """How much memory the node has for runs: the machine's, at most the limit of the system's own cgroup."""
    found = psutil.virtual_memory().total
    for path in (root / "memory.max", root / "memory/memory.limit_in_bytes"):
        with suppress(ValueError):
            found = min(found, int("".join(_words(path))))
    return int(found)


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []
