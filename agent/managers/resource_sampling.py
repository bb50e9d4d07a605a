"""`resource_sampling`: what the node and the run's processes use, as JSON lines in a log that is streamed like any other.

Reads from psutil and from .runyard/proc (the drivers' pids); writes <logs>/azureml/resources-<node_id>.jsonl. Sampling ends
with the process that holds it: when that one is killed there are no samples until the run's end, and release says so.
In a container that has a /proc of its own the drivers cannot be seen: then `processes` is null, and the node's numbers stay.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import Any

import psutil

from runyard.agent import proctree
from runyard.atomic import read_json
from runyard.context import ContextManager, Job
from runyard.errors import InputError


class ResourceSampling(ContextManager):
    """`interval_s`: seconds between two samples."""

    def __init__(self, job: Job, *, interval_s: float = 5.0) -> None:
        super().__init__(job)
        if not 0.1 <= interval_s <= 3600:
            raise InputError(f"resource_sampling: interval_s is {interval_s}; it has to be between 0.1 and 3600")
        self._interval_s = interval_s
        self._path = job.logs_dir / "azureml" / f"resources-{job.node_id}.jsonl"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampling", daemon=True)
        self._samples = 0
        self._has_seen = self._has_missed = False  # whether a driver's pid named the driver in our /proc; whether not

    def __enter__(self) -> ResourceSampling:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sample()
        self._thread.start()
        self.job.say(f"Resources are sampled every {self._interval_s:g} s into {self._path.name}.")
        return self

    def __exit__(self, *raised: object) -> None:
        if self._thread.ident is None:
            self.job.say("Sampling does not run in this process; there are no more samples.")
            return
        self._stop.set()
        self._thread.join(self._interval_s + 1.0)
        self._sample()
        unseen = "; the drivers' processes could not be seen from here" if self._has_missed and not self._has_seen else ""
        self.job.say(f"Sampling has ended: {self._samples} samples{unseen}.")

    def _run(self) -> None:
        while not self._stop.wait(self._interval_s):
            self._sample()

    def _sample(self) -> None:
        with suppress(OSError, psutil.Error):  # a full disk or a process that has just gone: the next sample follows
            line = json.dumps(self._values(), separators=(",", ":")) + "\n"
            with self._path.open("ab", buffering=0) as file:
                file.write(line.encode())
            self._samples += 1

    def _values(self) -> dict[str, Any]:
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self.job.work_dir.parent))
        return {
            "wall_ns": time.time_ns(),
            "cpu_percent": psutil.cpu_percent(),
            "memory_used_bytes": memory.used,
            "memory_total_bytes": memory.total,
            "disk_free_bytes": disk.free,
            "processes": self._of_drivers(),
        }

    def _of_drivers(self) -> list[dict[str, Any]] | None:
        """One for each driver that was started; None where this /proc does not show them."""
        found = []
        for path in sorted(self.job.processes_dir.glob("*/started.json")):
            started = read_json(str(path)) or {}
            if _is_seen(started):
                self._has_seen = True
            elif not self._has_seen and not (path.parent / "exit.json").exists():  # its end is noted before it is reaped
                self._has_missed = True
                return None
            found.append({"rank": int(path.parent.name)} | _usage(started))
        return found


def _is_seen(started: dict[str, Any]) -> bool:
    """Whether the driver's pid is the driver's here, too: in another PID namespace it is nobody's, or another's."""
    pid, ticks = started.get("pid"), started.get("start_ticks")
    return bool(pid and ticks and proctree.start_ticks(pid) == ticks)


def _usage(started: dict[str, Any]) -> dict[str, Any]:
    """What a driver and all below it use; nothing once it is gone."""
    rss_bytes, cpu_s, count = 0, 0.0, 0
    if _is_seen(started):
        with suppress(psutil.Error):
            driver = psutil.Process(started["pid"])
            for process in [driver, *driver.children(recursive=True)]:
                with suppress(psutil.Error), process.oneshot():
                    times = process.cpu_times()
                    rss_bytes += process.memory_info().rss
                    cpu_s += times.user + times.system
                    count += 1
    return {"processes": count, "memory_bytes": rss_bytes, "cpu_s": round(cpu_s, 2)}
