"""Driver processes that somebody else's launcher starts, as their shepherd sees them: a Slurm step's tasks, mpirun's ranks.

The shepherd starts none of them; it waits, says which never came, and ends those whose launcher has gone. Reads
launcher_ended.json and the marks of agent/rank.py in .runyard/proc; writes orphaned.json there. Standard library only; a plain
run does not load it.
"""

from __future__ import annotations

import os
import time

from runyard import names
from runyard.atomic import read_json, write_json

from . import proctree
from .local_run import LocalRun

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any

    from .process import Process
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

# Whoever starts the launcher leaves it when the launcher is gone: who has not been started by then will not be.
ENDED_FILE = ".runyard/proc/launcher_ended.json"
ORPHANED_FILE = "orphaned.json"
# A launcher that ends all of a step kills a driver's capture a moment before the driver.
GONE_S = 1.0
WORDS = {"slurm": "Slurm", "mpirun": "mpirun"}


def launcher_ended(run_dir: str, cause: str) -> None:
    """Note that the launcher starts no rank any more, and why; the first word stands. Raises OSError."""
    path = os.path.join(run_dir, ENDED_FILE)
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), mode=names.DIR_MODE, exist_ok=True)
        write_json(path, {"cause": cause, "mono_ns": time.monotonic_ns()}, durable=False)


class Launched:
    """What the driver phase has to do where a launcher starts the processes."""

    def __init__(self, local: LocalRun) -> None:
        distribution = local.run["distribution"]
        self._local = local
        self._launcher: str = WORDS.get(distribution["launcher"], distribution["launcher"])
        self._limit_s = float(distribution.get("launch_s") or 0.0)
        self._begun_s = 0.0  # when the first process was waited for

    def is_awaited(self, process: Process) -> bool:
        """Whether the launcher may still start it."""
        return process.started is None and process.exit is None and not self.why_not(process)

    def why_not(self, process: Process) -> str:
        """Why a process that has not been started will not be; empty as long as it may."""
        if self._local.stop() is not None:
            return "the run was asked to stop before its driver was started"
        ended = read_json(self._local.path(ENDED_FILE))
        if isinstance(ended, dict):
            return str(ended.get("cause") or f"{self._launcher} has ended before it started rank {process.rank}")
        self._begun_s = self._begun_s or time.monotonic()
        if self._limit_s and time.monotonic() - self._begun_s > self._limit_s:
            return f"rank {process.rank} was never started by {self._launcher}, within {self._limit_s:g} s"
        return ""

    def note_orphan(self, process: Process) -> None:
        """Note that the capture which the launcher had started is gone, and the driver is not."""
        path = os.path.join(process.directory, ORPHANED_FILE)
        if not os.path.exists(path):
            self._local.log.error("a driver's launcher has gone: its driver is asked to end", rank=process.rank)
            write_json(path, {"mono_ns": time.monotonic_ns()}, durable=False)
            if self._launcher == "mpirun":  # Hydra kills at once what it ends, and it ends ranks where another one has failed
                self._local.ask_stop(signal.SIGTERM, f"mpirun has ended rank {process.rank}", is_failure=True)

    def end_orphan(self, process: Process) -> None:
        """Ask a driver to end whose launcher has gone, and after the grace period make it."""
        orphaned = read_json(os.path.join(process.directory, ORPHANED_FILE))
        started = process.started
        if not isinstance(orphaned, dict) or started is None or not process.is_driver_there:
            return
        late_s = (time.monotonic_ns() - orphaned["mono_ns"]) / 1e9 - GONE_S
        if late_s > self._local.run["grace_s"]:
            proctree.send([started["pid"], *proctree.descendants(started["pid"])], signal.SIGKILL)
        elif late_s > 0 and not orphaned.get("is_asked"):
            proctree.send_group(started["pid"], signal.SIGTERM)
            orphaned["is_asked"] = True
            write_json(os.path.join(process.directory, ORPHANED_FILE), orphaned, durable=False)

    def lost(self, process: Process) -> str:
        """Why nobody knows how a process ended whose capture was killed."""
        gone = f"its launcher has gone: what {self._launcher} had started for rank {process.rank} was killed"
        self._tell_evidence(process, gone)
        return f"{gone}, and its exit code with it"

    def _tell_evidence(self, process: Process, gone: str) -> None:
        from .evidence import EVIDENCE_FILE

        path = os.path.join(process.directory, EVIDENCE_FILE)
        found: dict[str, Any] = read_json(path) or {}
        write_json(path, {"stopped_by": gone} | found, durable=False)
