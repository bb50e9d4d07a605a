"""A run that is under way on this node: how its processes are found, and the file that says what it used.

Reads run.json, state.json and .runyard/proc of the run's folder; writes logs/azureml/telemetry-<node_id>.jsonl there, which is
shipped as every log is. The folder's `logs` is the driver's to write in, and may be another user's: no link in it is followed.
What survives a crash: every line; a cut one is closed by the next writer and passed over by readers.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import proctree
from runyard.agent.owner import acting_for_owner
from runyard.atomic import open_plain, read_json

# How much of the file's end is looked at for its last line.
_TAIL_BYTES = 1 << 16
_LOG_CLOCK_NS = 5 * 10**9


class LiveRun:
    """Belongs to one thread."""

    def __init__(self, run_dir: Path, run: dict[str, Any]) -> None:
        self.run_dir = run_dir
        self.key = run_dir.name
        self.mark = str(run.get("mark") or "")
        self.ranks = [int(rank) for rank in run.get("ranks") or ()]
        self.name = names.telemetry_log(str(run["node_id"]).replace("/", "_"))  # one file in one folder, whatever it says
        # When it was made, by the clock of the kernel's log, which is right to some seconds.
        self.begun_log_ns = int(run["created_ns"]) - (time.time_ns() - time.monotonic_ns()) - _LOG_CLOCK_NS
        self.cpu_s = self.read_bytes = self.write_bytes = 0.0  # what it has used so far; never falls
        self.sampled_s = 0.0  # when, by the monotonic clock
        self.record: int | None = None  # the kernel's last record that its file knows of; None: not looked up yet
        self._shepherd = 0
        self._drivers: dict[int, tuple[int, int]] = {}  # rank → (pid, start ticks)
        self._containers: dict[int, int] = {}  # rank → first process of its container
        self._state_mark: tuple[int, int] = (0, 0)

    def refresh(self) -> bool:
        """Look at what the run's shepherd and captures have written; False where the run is over on this node, or gone."""
        with acting_for_owner(self.run_dir):
            return self._refreshed()

    def _refreshed(self) -> bool:
        path = self.run_dir / names.STATE_FILE
        try:
            status = path.stat()
        except OSError:
            return self.run_dir.is_dir()  # it has only just been made
        if (status.st_ino, status.st_mtime_ns) != self._state_mark:
            self._state_mark = (status.st_ino, status.st_mtime_ns)
            state = read_json(str(path)) or {}
            if state.get("ended_ns"):
                return False
            self._shepherd = int(state.get("shepherd_pid") or 0)
        for rank in self.ranks:
            self._refresh_rank(rank)
        return True

    def roots(self) -> dict[int, str]:
        """The processes below which all are the run's."""
        found = dict.fromkeys(self.rank_roots(), self.key)
        if self._shepherd and str(self.run_dir) in _arguments(self._shepherd):
            found[self._shepherd] = self.key
        return found

    def rank_roots(self) -> dict[int, int]:
        """pid → rank: the drivers that live, and the first processes of their containers."""
        found = {pid: rank for rank, (pid, ticks) in self._drivers.items() if proctree.start_ticks(pid) == ticks}
        return found | self.container_roots(found.values())

    def container_roots(self, living: Collection[int]) -> dict[int, int]:
        """pid → rank: of ranks whose drivers live, the first processes of their containers."""
        return {pid: rank for rank, pid in self._containers.items() if rank in living}

    def write(self, lines: list[dict[str, Any]]) -> None:
        """Append them. Raises OSError, also where a link or a strange file is in the way."""
        with acting_for_owner(self.run_dir):
            descriptor = _open_beneath(self.run_dir, self.name, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        try:
            data = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                data = b"\n" + data  # a line that was cut by a death gets its end
            os.write(descriptor, data)
        finally:
            os.close(descriptor)

    def last_record(self) -> int:
        """The kernel's record that the file's last line knows of; -1 where there is no such line."""
        try:
            with acting_for_owner(self.run_dir):
                descriptor = _open_beneath(self.run_dir, self.name, os.O_RDONLY)
        except OSError:
            return -1
        try:
            size = os.fstat(descriptor).st_size
            lines = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES)).splitlines()
        finally:
            os.close(descriptor)
        for line in reversed(lines):
            try:
                return int(json.loads(line)["kernel_record"])
            except (ValueError, KeyError, TypeError):
                continue
        return -1

    def _refresh_rank(self, rank: int) -> None:
        folder = self.run_dir / names.process_dir(rank)
        if rank not in self._drivers:
            started = read_json(str(folder / "started.json")) or {}
            if started.get("pid", 0) > 0 and started.get("boot_id") == proctree.boot_id():
                self._drivers[rank] = (int(started["pid"]), int(started["start_ticks"]))
        if rank not in self._containers:
            try:
                with open_plain(str(folder / "container.pid")) as file:
                    self._containers[rank] = int(file.read(32))
            except (OSError, ValueError):
                return


def open_run(run_dir: Path) -> LiveRun | None:
    """The run in a folder of the spool; None where it has none, or where its description is not whole."""
    try:
        with acting_for_owner(run_dir):
            run = read_json(str(run_dir / names.RUN_FILE))
        if (run.get("placement") or {}).get("uid") and run_dir.lstat().st_uid == 0:
            return None  # it is about to be given to its user, with all files in it
        return LiveRun(run_dir, run)
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape").split("\0")
    except OSError:
        return []


def _open_beneath(folder: Path, name: str, flags: int) -> int:
    """Open a file below `folder` without following a link on the way; only a plain file that has no other name."""
    *above, last = name.split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in above:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            os.close(at)
            at = below
        # Without O_NONBLOCK a named pipe would hold us for ever.
        descriptor = os.open(last, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, names.FILE_MODE, dir_fd=at)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                raise OSError(f"{folder}/{name} is no plain file")
        except BaseException:  # whatever it is, the descriptor is not left open
            os.close(descriptor)
            raise
        return descriptor
    finally:
        os.close(at)
