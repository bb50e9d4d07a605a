"""The watch over a node's ranks: how far they have come, which have stalled, and where those hang. A process of its own.

Reads the driver logs' ends and what the shipper says is wanted (.runyard/stacks_wanted.json); writes .runyard/progress.json,
stacks below logs/azureml/stacks, and lines in the 110 log. Started by agent/watch_start.py, only for runs that ask for it.
What survives its death: the run, which has no use for it, and progress.json, from which the next one goes on.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json, write_json
from runyard.stacktext import RankStacks

from . import proctree, stacks
from .journal import SystemLog
from .pace import Pace
from .progress import TAIL_BYTES, parse
from .stalls import Front, Seen, Stalls

TICK_S = 1.0
# Looking for steps in one rank's log takes at most one part in so many of a core.
LOOK_SHARE = 50
# Of one run on one node: a training that stalls again and again has been seen often enough.
MOST_TAKES = 20
MOST_REQUESTED = 200


class Rank:
    """One rank's log, and what is known of the rank from it."""

    def __init__(self, run_dir: str, run: dict[str, Any], rank: int, before: dict[str, Any]) -> None:
        self.directory = Path(run_dir, names.process_dir(rank))
        self.log = Path(run_dir, names.driver_log(rank, run["world_size"]))
        self.seen = Seen(rank, Pace(), time.monotonic(), stalls=int(before.get("stalls") or 0))
        self.started: dict[str, Any] | None = None
        self.output_ns: int | None = None
        self._mark: tuple[int, ...] = ()
        self._next_parse_s = 0.0
        self._is_unread = False

    def look(self, now_s: float) -> None:
        """Take in what is new."""
        if self.started is None:
            self.started = read_json(str(self.directory / "started.json"))
            self.seen.output_s = now_s
        started = self.started
        self.seen.is_there = (
            started is not None
            and started["pid"] > 0
            and not (self.directory / "exit.json").exists()
            and proctree.is_running(started["pid"], started["start_ticks"])
        )
        self._note_growth(now_s)
        if self._is_unread and now_s >= self._next_parse_s:
            self._read(now_s)

    def _note_growth(self, now_s: float) -> None:
        mark = self._sizes()
        if mark == self._mark:
            return
        self.seen.output_s, self.output_ns, self._mark = now_s, time.time_ns(), mark
        self._is_unread = True

    def _read(self, now_s: float) -> None:
        """Find the newest step."""
        begun_s = time.monotonic()
        tail, is_cut = self._tail()
        reading = parse(tail, is_cut=is_cut)
        if reading is not None:
            self.seen.pace.see(reading, now_s)
        self._is_unread = False
        self._next_parse_s = now_s + LOOK_SHARE * (time.monotonic() - begun_s)

    def _sizes(self) -> tuple[int, ...]:
        # The raw stderr, too: it is copied into the log by a process that may be gone.
        sizes = []
        for path in (self.log, self.directory / "stderr.raw"):
            try:
                status = path.stat()
            except OSError:
                continue
            sizes += [status.st_ino, status.st_size]
        return tuple(sizes)

    def _tail(self) -> tuple[bytes, bool]:
        try:
            with self.log.open("rb") as file:
                start = max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES)
                file.seek(start)
                return file.read(TAIL_BYTES), start > 0
        except OSError:
            return b"", False

    def told(self) -> dict[str, Any]:
        """What progress.json says of it."""
        pace = self.seen.pace
        return {
            "rank": self.seen.rank,
            "step": pace.reading.step,
            "total": pace.reading.total,
            "done": pace.done if pace.reading.step is not None else None,
            "epoch": pace.reading.epoch,
            "rate_per_s": _rounded(pace.rate_per_s),
            "eta_s": _rounded(pace.eta_s),
            "last_output_ns": self.output_ns,
            "is_stalled": bool(self.seen.reason),
            "stalls": self.seen.stalls,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


class Watch:
    """Startup, main loop and end of the watch over one run's ranks on this node."""

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir
        self._run: dict[str, Any] = read_json(f"{run_dir}/{names.RUN_FILE}")
        self._path = f"{run_dir}/{names.PROGRESS_FILE}"
        before = read_json(self._path) or {}
        known = {one["rank"]: one for one in before.get("ranks", ())}
        self._ranks = [Rank(run_dir, self._run, rank, known.get(rank, {})) for rank in self._run["ranks"]]
        self._request = int(before.get("request") or 0)
        self._takes = int(before.get("takes") or 0)
        self._requested = int(before.get("requested") or 0)
        self._is_told_to_come = False  # stacks were taken for a stall that the collector will ask all nodes about
        after_s = float((self._run.get("distribution") or {}).get("stall_after_s") or 0.0)
        self._stalls = Stalls(after_s)
        self._tick_s = min(TICK_S, after_s / 4 or TICK_S)
        self._log = SystemLog(f"{run_dir}/{names.SYSTEM_LOG}", "runyard.watch")
        self._told: dict[str, Any] = {}

    def main(self) -> None:
        """Blocks until every driver's log is final."""
        while not self._is_over():
            self.step(time.monotonic())
            time.sleep(self._tick_s)

    def _is_over(self) -> bool:
        if all((rank.directory / "captured").exists() for rank in self._ranks):
            return True
        return not Path(self._run_dir, names.RUN_FILE).exists() or self._is_abandoned()

    def _is_abandoned(self) -> bool:
        """Whether no driver runs and no shepherd is there that could start one: the next one starts a watch, too."""
        if any(rank.seen.is_there for rank in self._ranks):
            return False
        try:
            lock = os.open(f"{self._run_dir}/{names.SHEPHERD_LOCK}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def step(self, now_s: float) -> None:
        """One look at every rank."""
        for rank in self._ranks:
            rank.look(now_s)
        wanted = read_json(f"{self._run_dir}/{names.STACKS_WANTED_FILE}") or {}
        reason = self._stalls.look([rank.seen for rank in self._ranks], now_s, _front(wanted))
        if reason:
            self._log.warning(f"a stall: {reason}")
        if reason and self._takes < MOST_TAKES:
            self._takes += 1
            self._is_told_to_come = True
            self._tell()  # the other nodes are to be asked while we look
            self._take(reason)
        else:
            self._answer_request(int(wanted.get("number") or 0))
        self._tell()

    def _answer_request(self, number: int) -> None:
        if number <= self._request:
            return
        is_ours = self._is_told_to_come and number == self._request + 1  # what our own stall has brought about
        self._request, self._is_told_to_come = number, False
        if is_ours or self._requested >= MOST_REQUESTED:
            return
        self._requested += 1
        self._take("asked for by another node or by `runyard stacks --now`")

    def _take(self, reason: str) -> None:
        taken = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 10**6 % 1000:03d}Z"
        for rank in self._ranks:
            if not rank.seen.is_there or rank.started is None:
                continue
            processes = stacks.take(self._run_dir, self._run, rank.seen.rank, rank.started["pid"])
            one = RankStacks(rank.seen.rank, self._run["node_id"], taken, reason, self._request, processes)
            try:
                name = stacks.write(self._run_dir, one)
            except OSError as error:
                self._log.error(f"the stacks of rank {rank.seen.rank} cannot be written: {error}")
                continue
            self._log.info(f"the stacks of rank {rank.seen.rank} were taken", file=name, processes=len(processes))
        self._stalls.taken(time.monotonic())

    def _tell(self) -> None:
        told = {
            "ranks": [rank.told() for rank in self._ranks],
            "request": self._request,
            "takes": self._takes,
            "requested": self._requested,
        }
        if told == self._told:
            return
        self._told = told
        try:
            write_json(self._path, told | {"at_ns": time.time_ns()}, durable=False)
        except OSError as error:  # a full disk: told when there is room
            self._told = {}
            self._log.warning(f"{self._path} cannot be written: {error}")


def _front(wanted: dict[str, Any]) -> Front | None:
    front = wanted.get("front")
    return None if front is None else Front(int(front["done"]), front["total"])


def main(run_dir: str) -> None:
    """Entry point of the process."""
    os.umask(0o077)
    os.nice(10)
    Watch(run_dir).main()
