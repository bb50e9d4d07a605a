"""The node's sampler: one look at the host, its GPUs and its runs at a time.

Reads through host.py, gpus.py and runs.py; writes the runs' telemetry files. Called every few seconds by one thread of the
agent. It keeps to a share of one core by itself: where the runs have so many processes that looking at them costs more, they
are looked at less often.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import host
from .gpus import Gpus, Sight
from .runs import Runs

# Of one core, for the runs; the host and the GPUs cost a tenth of that.
SHARE = 0.008
# CPU time that may be spent ahead: an agent that has just started looks at its runs at once.
AHEAD_S = 0.25


class Sampler:
    """Belongs to one thread, but `latest`, `trouble`, `capacity` may be asked by any; `say` is given sentences for the log."""

    def __init__(self, spool_dir: Path, say: Callable[[str], None], gpus: Gpus | None = None) -> None:
        self.latest: dict[str, float] = {}
        self.trouble = ""  # what is wrong with the node's GPUs, as a sentence; empty where nothing is
        self._gpus = gpus or Gpus(say)
        self._runs = Runs(spool_dir)
        self._host = host.Host(spool_dir if spool_dir.is_dir() else Path("/"))
        self._sight = Sight()
        self._xids = 0
        self._begun_s = time.monotonic()
        self._spent_s = 0.0

    def sample(self) -> dict[str, float]:
        """Look at everything; returns what goes with the heartbeat: under 600 bytes of JSON, docs/monitoring.md.

        Blocks for a second at most, where the GPUs' driver does not answer; for 30 s where it does not the first time.
        """
        node = self._host.sample()
        sight = self._sight = self._gpus.sample()
        self._xids += len(sight.xids)
        self.trouble = sight.trouble
        begun_s = time.thread_time()
        if self._spent_s <= AHEAD_S + SHARE * (time.monotonic() - self._begun_s) or sight.xids:
            self._runs.sample(node, sight.gpus, sight.xids, self._gpus.kernel_log.record)
        self._spent_s += time.thread_time() - begun_s
        found = node | {"procs": self._runs.process_count, "runs": self._runs.count} | _of_gpus(sight)
        if sight.gpus or self._xids:
            found["xids"] = self._xids
        self.latest = found
        return found

    def capacity(self) -> dict[str, Any]:
        """What the node has for runs, in the words of the contract's Capacity; GPUs as the last sample saw them."""
        gpus = [gpu for gpu in self._sight.gpus if not gpu.lost]
        return {
            "cpus": host.cpus(),
            "memory_bytes": host.memory_bytes(),
            "gpus": len(gpus),
            "gpu_name": gpus[0].name if gpus else "",
        }

    def processes_of(self, run: str) -> list[int]:
        """The processes of a run (the name of its folder in the spool), as the last sample found them."""
        return [proc.pid for proc in self._runs.processes_of.get(run, ())]

    def close(self) -> None:
        """Ends the GPUs' thread."""
        self._gpus.close()


def _of_gpus(sight: Sight) -> dict[str, float]:
    """All GPUs in a few numbers: means of shares, sums of amounts, the hottest one's temperature."""
    if not sight.gpus:
        return {}
    values = [gpu.values for gpu in sight.gpus if not gpu.lost]

    def told(name: str) -> list[float]:
        return [one[name] for one in values if name in one]

    found: dict[str, float] = {
        "gpus": len(sight.gpus),
        "gpus_lost": sum(bool(gpu.lost) for gpu in sight.gpus),
        "gpu_procs": len({pid for gpu in sight.gpus for pid in gpu.processes}),
    }
    if sight.stuck_s:
        found["gpu_stuck_s"] = round(sight.stuck_s)
    if told("percent"):
        found["gpu_percent"] = round(sum(told("percent")) / len(told("percent")), 1)
    if told("temp_c"):
        found["gpu_temp_c"] = max(told("temp_c"))
    for name, source in (
        ("gpu_mem_used_bytes", "mem_used_bytes"),
        ("gpu_mem_total_bytes", "mem_total_bytes"),
        ("gpu_power_w", "power_w"),
        ("gpu_ecc_errors", "ecc_uncorrected"),
    ):
        if told(source):
            found[name] = round(sum(told(source)), 1)
    return found
