"""One driver process of a run, as far as its folder in .runyard/proc tells. Reads from there; standard library only."""

from __future__ import annotations

import os

from runyard import names
from runyard.atomic import read_json

from . import proctree
from .outcome import was_stopped

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any


class Process:
    """What is known of one driver process; read from its folder in .runyard/proc."""

    def __init__(self, run_dir: str, run: dict[str, Any], rank: int) -> None:
        self.rank = rank
        self.name = _name(run, rank)
        self.log = names.driver_log(rank, run["world_size"])
        self.directory = os.path.join(run_dir, names.process_dir(rank))
        self.capture_pid = 0  # 0: not our child
        self.next_capture_s = 0.0
        self.started: dict[str, Any] | None = None
        self.exit: dict[str, Any] | None = None
        self.is_captured = False
        self.evidence: dict[str, Any] | None = None

    def refresh(self) -> None:
        """Look at the marks on disk."""
        # The mark that is made last is looked at first: what it follows is then there, too.
        if not self.is_captured:
            self.is_captured = os.path.exists(os.path.join(self.directory, "captured"))
        if self.exit is None:
            self.exit = read_json(os.path.join(self.directory, "exit.json"))
        if self.started is None:
            self.started = read_json(os.path.join(self.directory, "started.json"))
        if self.evidence is None and self.is_captured:  # written before that mark
            self.evidence = read_json(os.path.join(self.directory, "evidence.json"))

    @property
    def is_driver_there(self) -> bool:
        """Whether its pid still names the driver, be it a zombie: pids come back, also after a reboot."""
        started = self.started
        return (
            started is not None
            and started["pid"] > 0
            and self.exit is None
            and started["boot_id"] == proctree.boot_id()
            and proctree.start_ticks(started["pid"]) == started["start_ticks"]
        )

    @property
    def is_over(self) -> bool:
        """Its log is final and its end is known (even if only that it cannot be known)."""
        return self.is_captured and self.exit is not None

    def status(self, stop: dict[str, Any] | None) -> str:
        """Its status in the words of process_status.json."""
        if self.exit is None:
            return "Started"
        if was_stopped([self.exit], stop):
            return "Terminated"
        return "Completed" if self.exit["exit_code"] == 0 else "Failed"

    def told(self, stop: dict[str, Any] | None) -> dict[str, Any]:
        """What state.json says of it."""
        started, exit_ = self.started or {}, self.exit or {}
        return {
            "rank": self.rank,
            "name": self.name,
            "pid": started.get("pid"),
            "status": self.status(stop),
            "exit_code": exit_.get("exit_code"),
            "signal": exit_.get("signal"),
            "started_ns": started.get("wall_ns"),
            "ended_ns": exit_.get("wall_ns"),
            "ended_mono_ns": exit_.get("mono_ns"),
            "log": self.log,
            "evidence": self.evidence,
        }


def _name(run: dict[str, Any], rank: int) -> str:
    if not (run.get("distribution") or {}).get("parameter_servers"):
        return f"worker_{rank}"
    from .rank_environment import task_of

    return "{}_{}".format(*task_of(run, rank))
