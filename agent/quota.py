"""The spool's quota of one run, on the side of the driver: stop it, or drop the oldest bytes, before the disk is full.

Reads the disk use of the drivers' logs; writes gaps.jsonl (before it drops anything) and SIGSTOP/SIGCONT. What the collector
has acknowledged is given back by the shipper; here is what happens when that is not enough.
What survives a kill -9: gaps.jsonl names a gap before it is made; `blocked` names, before it stops any, the processes that are
stopped, so that the next shepherd can let them go on.
"""

from __future__ import annotations

import errno
import os
import signal
import time

from runyard import names
from runyard.atomic import read_json, write_json

from . import proctree
from .json_lines import append_line, read_lines
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
        self._marker = proctree.marker(run)
        self._quota_bytes = int(run["quota_bytes"])
        self._drops = run["quota_policy"] == "drop"
        self._log = log
        self._next_look_s = 0.0
        self._blocked_mark = os.path.join(run_dir, names.BLOCKED_FILE)
        self.is_blocking = os.path.exists(self._blocked_mark)
        # A mark from before us: whoever made it may have died before it stopped anything.
        self._is_mark_old = self.is_blocking
        self._processes: list[Any] = []
        self._can_drop = not self._drops or self._can_punch()
        self.dropped_bytes_total = 0

    def step(self, processes: list[Any]) -> None:
        """Look at the use of the logs of these processes, and act on it."""
        if time.monotonic() < self._next_look_s:
            return
        self._next_look_s = time.monotonic() + INTERVAL_S
        self._processes = processes
        used = {process.log: self._allocated(process.log) for process in processes}
        over = sum(used.values()) - self._quota_bytes
        if self._drops:
            if over > 0 and self._can_drop:
                self._drop(max(used, key=lambda name: used[name]), over + int(self._quota_bytes * (1 - LOW_SHARE)))
        elif over > 0 and (not self.is_blocking or self._is_mark_old):
            self._block(sum(used.values()))
        elif self.is_blocking and over <= -self._quota_bytes * (1 - LOW_SHARE):
            self.release()

    def release(self) -> None:
        """Let a stopped driver go on."""
        if not self.is_blocking:
            return
        self.is_blocking = self._is_mark_old = False
        proctree.send([*self._members(), *self._marked()], signal.SIGCONT)
        if os.path.exists(self._blocked_mark):
            os.unlink(self._blocked_mark)
        self._log.info("there is room in the spool: the driver goes on")

    def _members(self) -> list[int]:
        """The run's processes: by their environment, and those below a capture, whose environment may be another one."""
        captures = {process.capture_pid for process in self._processes if process.capture_pid}
        members = set(proctree.with_environment(self._marker))
        for capture in captures:
            members.update(proctree.descendants(capture))
        return sorted(members - captures - {os.getpid()})

    def _marked(self) -> dict[int, int]:
        """The processes that the mark names and that still run: pid -> start ticks."""
        mark = read_json(self._blocked_mark)
        stopped = mark.get("stopped", []) if isinstance(mark, dict) else []
        return {pid: ticks for pid, ticks in stopped if proctree.is_running(pid, ticks)}

    def _allocated(self, name: str) -> int:
        try:
            return os.stat(os.path.join(self._run_dir, name)).st_blocks * 512
        except FileNotFoundError:
            return 0

    def _block(self, used_bytes: int) -> None:
        members = self._members()
        stopped = self._marked() | {pid: proctree.start_ticks(pid) for pid in members}
        # The mark comes first: a driver that is stopped with nobody who knows of it would never go on.
        self._mark(stopped)
        self.is_blocking, self._is_mark_old = True, False
        proctree.send(members, signal.SIGSTOP)
        self._log.warning(
            "the spool's quota is reached: the driver is stopped until the collector has taken more (quota_policy block)",
            used_bytes=used_bytes,
            quota_bytes=self._quota_bytes,
        )

    def _mark(self, stopped: dict[int, int | None]) -> None:
        # With the names of the stopped: after our death no capture is a child of the next shepherd.
        value = {"stopped": [[pid, ticks] for pid, ticks in stopped.items() if ticks is not None]}
        try:
            write_json(self._blocked_mark, value, durable=False)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # A full disk is what blocking is against: an empty mark takes no block, and most are found by environment.
            os.close(os.open(self._blocked_mark, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, names.FILE_MODE))

    def _can_punch(self) -> bool:
        """Whether bytes can be dropped here: a gap that is noted and not made would take bytes from the collector only."""
        path = os.path.join(self._run_dir, names.PRIVATE_DIR, "punch.tmp")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
            try:
                can_punch = punch_hole(descriptor, 0, BLOCK_BYTES)
            finally:
                os.close(descriptor)
                os.unlink(path)
        except OSError:  # a full disk has no room for the probe; it says nothing about holes
            return True
        if not can_punch:
            self._log.error("this file system cannot drop the oldest bytes of a log: the quota is not kept")
        return can_punch

    def _drop(self, name: str, wanted_bytes: int) -> None:
        descriptor = os.open(os.path.join(self._run_dir, name), os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            start = self._first_kept(name)
            end = min(start + wanted_bytes + BLOCK_BYTES - 1, size) // BLOCK_BYTES * BLOCK_BYTES
            if end <= start:
                return
            append_line(os.path.join(self._run_dir, names.GAPS_FILE), {"name": name, "start": start, "end": end}, durable=True)
            punch_hole(descriptor, start, end - start)
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
        return max(_last_end(os.path.join(self._run_dir, file), name) for file in (names.GAPS_FILE, names.RECLAIMED_FILE))


def _last_end(path: str, name: str) -> int:
    """The largest end that a ledger tells of a file since its last reset; 0 where it tells nothing."""
    end = 0
    for value in read_lines(path):
        if value.get("name") == name:
            end = 0 if value.get("reset") else max(end, value["end"])
    return end
