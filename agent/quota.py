"""The spool's quota of one run, on the side of the driver: stop it, or drop the oldest bytes, before the disk is full.

Reads the disk use of the drivers' logs; writes gaps.jsonl (before it drops anything) and SIGSTOP/SIGCONT. What the collector
has acknowledged is given back by the shipper; here is what happens when that is not enough.
What survives a kill -9: gaps.jsonl names a gap before it is made; `blocked` tells the next shepherd that the driver is stopped.
"""

from __future__ import annotations

import json
import os
import signal
import time

from runyard import names

from . import proctree
from .reclaim import punch_hole

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

INTERVAL_S = 0.2
# After the quota was reached: go on when use has fallen to this share of it; drop down to this share.
LOW_SHARE = 0.9
BLOCK_BYTES = 4096


class Quota:
    """Keeps one run below its quota. `step` is called often and looks at most every INTERVAL_S."""

    def __init__(self, run_dir: str, run: dict[str, Any], log: Any) -> None:
        self._run_dir = run_dir
        self._run_id = run["run_id"]
        self._quota_bytes = int(run["quota_bytes"])
        self._drops = run["quota_policy"] == "drop"
        self._log = log
        self._next_look_s = 0.0
        self._blocked_mark = os.path.join(run_dir, names.PRIVATE_DIR, "blocked")
        self.is_blocking = os.path.exists(self._blocked_mark)
        self.dropped_bytes_total = 0

    def step(self, processes: list[Any]) -> None:
        """Look at the use of the logs of these processes, and act on it."""
        if time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + INTERVAL_S
        used = {process.log: self._allocated(process.log) for process in processes}
        over = sum(used.values()) - self._quota_bytes
        if self._drops:
            if over > 0:
                self._drop(max(used, key=lambda name: used[name]), over + int(self._quota_bytes * (1 - LOW_SHARE)))
        elif over > 0 and not self.is_blocking:
            self._block(processes, sum(used.values()))
        elif self.is_blocking and over <= -self._quota_bytes * (1 - LOW_SHARE):
            self.release()

    def release(self) -> None:
        """Let a stopped driver go on."""
        if not self.is_blocking:
            return
        self.is_blocking = False
        proctree.send(self._members(), signal.SIGCONT)
        if os.path.exists(self._blocked_mark):
            os.unlink(self._blocked_mark)
        self._log.info("there is room in the spool: the driver goes on")

    def _members(self) -> list[int]:
        return proctree.with_environment(f"RUNYARD_RUN_ID={self._run_id}")

    def _allocated(self, name: str) -> int:
        try:
            return os.stat(os.path.join(self._run_dir, name)).st_blocks * 512
        except FileNotFoundError:
            return 0

    def _block(self, processes: list[Any], used_bytes: int) -> None:
        # The mark comes first: a driver that is stopped with nobody who knows of it would never go on.
        os.close(os.open(self._blocked_mark, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, names.FILE_MODE))
        self.is_blocking = True
        proctree.send(self._members(), signal.SIGSTOP)
        self._log.warning(
            "the spool's quota is reached: the driver is stopped until the collector has taken more (quota_policy block)",
            used_bytes=used_bytes,
            quota_bytes=self._quota_bytes,
        )

    def _drop(self, name: str, wanted_bytes: int) -> None:
        descriptor = os.open(os.path.join(self._run_dir, name), os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            start = self._first_kept(name)
            end = min(start + wanted_bytes + BLOCK_BYTES - 1, size) // BLOCK_BYTES * BLOCK_BYTES
            if end <= start:
                return
            self._note_gap(name, start, end)
            if not punch_hole(descriptor, start, end - start):
                self._log.error("this file system cannot drop the oldest bytes of a log: the quota is not kept")
                return
        finally:
            os.close(descriptor)
        self.dropped_bytes_total += end - start
        self._log.warning(
            "the spool's quota is reached: the oldest bytes are dropped (quota_policy drop)",
            file=name,
            start=start,
            end=end,
        )

    def _first_kept(self, name: str) -> int:
        """Where the log's bytes begin that are neither dropped nor given back yet."""
        end = 0
        for file in (names.GAPS_FILE, names.RECLAIMED_FILE):
            try:
                with open(os.path.join(self._run_dir, file), "rb") as lines:
                    for line in lines:
                        value = json.loads(line) if line.endswith(b"\n") else {}
                        if value.get("name") == name:
                            end = max(end, value["end"])
            except FileNotFoundError:
                continue
        return end

    def _note_gap(self, name: str, start: int, end: int) -> None:
        path = os.path.join(self._run_dir, names.GAPS_FILE)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        try:
            os.write(descriptor, json.dumps({"name": name, "start": start, "end": end}).encode() + b"\n")
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
