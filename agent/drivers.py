"""The driver phase: starts a capture for every driver process, watches over it, and takes note of its end.

Reads environment.json and what capture leaves in .runyard/proc; writes process_info.json, process_status.json and, where no
capture could, exit.json. What survives a kill -9 of the shepherd: the training, its capture, and every exit status.
Standard library only.
"""

from __future__ import annotations

import os
import time

from runyard import names
from runyard.atomic import read_json

from . import capture
from .capture_fork import fork_capture
from .journal import ProcessJournal
from .local_run import LocalRun
from .outcome import first_failed, outcome
from .process import Process

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# After a capture that died: one that cannot live must not take a core.
CAPTURE_PAUSE_S = 0.5
# A run whose first shepherd came so long after its creation does not start its driver any more.
START_DEADLINE_S = 60.0


class Drivers:
    """The driver processes of a run on this node. `on_change` is called when what is to be told of them has changed."""

    phase = "driver"

    def __init__(self, local: LocalRun, lock: int, begun_ns: int, on_change: Callable[[], None]) -> None:
        run = local.run
        self.processes = [Process(local.run_dir, run, rank) for rank in run["ranks"]]
        self.result: dict[str, Any] | None = None
        self._local = local
        self._lock = lock
        self._begun_ns = begun_ns
        self._on_change = on_change
        self._journal = ProcessJournal(local.run_dir, run["node_id"], run["node_ip"])
        self._ending: Any = None  # what ends the processes, once it is needed
        self._watch: Any = None  # over how far the processes have come and whether they hang, where that was asked for
        if run.get("is_watched"):
            from .watch_start import WatchStart

            self._watch = WatchStart(local)
        self._loopback: Any = None  # where MLflow in the drivers finds this run
        if run.get("mlflow") and not run.get("attached"):  # a process that is there already has its variables
            from .loopback_start import LoopbackStart

            self._loopback = LoopbackStart(local)
        self._distribution: dict[str, Any] = run.get("distribution") or {}
        # rank_environment.is_distributed, which a plain run does not load.
        self._is_distributed = run["world_size"] > 1 or self._distribution.get("kind", "none") != "none"
        self._launched: Any = None
        if self._distribution.get("launcher"):
            from .launched import Launched

            self._launched = Launched(local)
        self._mpi: Any = None  # what starts the ranks of an MPI run
        if self._distribution.get("launcher") == "mpirun":
            from .mpi.launching import of

            self._mpi = of(local, lock)

    def open(self) -> None:
        """Before any driver starts: what they are to find."""
        if self._loopback is not None:
            self._loopback.open(may_move=all(process.started is None for process in self.processes))

    def step(self) -> None:
        """Look at every process; start what is to be started."""
        if self._mpi is not None:
            self._mpi.step()
        for process in self.processes:
            process.refresh()
            self._note(process)
            if process.is_over:
                continue
            if process.is_captured:
                self._settle_exit(process)
            elif not process.capture_pid and time.monotonic() >= process.next_capture_s and not self._is_awaited(process):
                self._start(process)
            if self._launched is not None:
                self._launched.end_orphan(process)
        self._remove_environment()
        if self._ending is not None:
            self._ending.step()
        if self._watch is not None:
            self._watch.step()
        if all(process.is_over for process in self.processes):
            if (self._mpi is None or self._mpi.is_over) and (self._loopback is None or self._loopback.end()):
                self._conclude()
        elif len(self.processes) > 1:
            self._ended_by().fail_fast(self._exits())
        if self._loopback is not None and self.result is None:
            self._loopback.step()

    @property
    def never_started(self) -> bool:
        """Whether every process is over without ever having been started."""
        return all(process.exit is not None and process.started is None for process in self.processes)

    @property
    def uncaptured(self) -> list[Process]:
        """The processes whose logs may still grow."""
        return [process for process in self.processes if not process.is_captured]

    def told(self) -> dict[str, Any]:
        """What state.json says of them."""
        stop = self._local.stop()
        begun = [process.started["wall_ns"] for process in self.processes if process.started]
        return {
            "started_ns": min(begun) if begun else None,
            "processes": [process.told(stop) for process in self.processes if process.started],
        }

    def begun_mono_ns(self) -> int | None:
        """When the first driver that still runs was started."""
        begun = [process.started["mono_ns"] for process in self.processes if process.started and process.is_driver_there]
        return min(begun) if begun else None

    def refresh(self) -> None:
        """Look at the marks on disk."""
        for process in self.processes:
            process.refresh()

    def reaped(self, pid: int) -> bool:
        """Whether `pid`, which has ended and is not reaped yet, was a capture or a driver; a driver's end is written down."""
        for process in self.processes:
            if process.started and process.started["pid"] == pid and process.is_driver_there:
                capture.record_exit(process.directory, pid)
                return True
            if process.capture_pid == pid:
                process.capture_pid = 0
                return True
        return any(other is not None and other.reaped(pid) for other in (self._mpi, self._watch, self._loopback))

    def ask_stop(self, number: int) -> None:
        """Send the signal to every driver's process group."""
        self._ended_by().ask(number)
        if self._mpi is not None and not self._are_drivers_there:  # as long as there are, mpirun sees them end
            self._mpi.ask_stop(number)

    @property
    def is_there(self) -> bool:
        """Whether a driver could get a signal now, or what starts them."""
        return self._are_drivers_there or (self._mpi is not None and self._mpi.is_there)

    @property
    def _are_drivers_there(self) -> bool:
        return any(process.started and process.is_driver_there for process in self.processes)

    @property
    def is_failing(self) -> bool:
        """Whether a rank has failed whose launcher may end the others because of that: then nobody has canceled anything."""
        return self._launched is not None and first_failed(self._exits()) is not None

    def kill(self) -> None:
        """SIGKILL to every driver and all that it has started."""
        if self._mpi is not None:
            self._mpi.kill()
        self._ended_by().kill()

    def run_ended(self, ended_ns: int, status: str) -> None:
        """Write the run's last line into process_status.json."""
        for process in self.processes:
            self._note(process)
        self._journal.run_ended(ended_ns, status)

    def _start(self, process: Process) -> None:
        """Fork a capture for a process that has none: for a driver to be started, or for one that runs already."""
        lock = capture.take_lock(self._local.run_dir, process.rank)
        if lock is None:
            return  # its capture lives, and goes on without us
        try:
            self._fork_capture(process)
        finally:  # the capture has a copy; and where the disk or the system let us start none, the next try needs the lock
            os.close(lock)

    def _fork_capture(self, process: Process) -> None:
        process.refresh()
        if process.is_captured:
            return
        if self._launched is not None and process.started and process.is_driver_there:
            self._launched.note_orphan(process)
        launch = read_json(self._local.path(names.ENVIRONMENT_FILE))
        if process.started is None:
            cause = self._why_not_start(process, launch)
            if cause:
                self._local.log.error(cause, rank=process.rank)
                capture.write_exit(process.directory, exit_code=None, signal_number=None, cause=cause)
        process.next_capture_s = time.monotonic() + CAPTURE_PAUSE_S
        process.capture_pid = fork_capture(self._lock, lambda: self._capture(process, launch))

    def _is_awaited(self, process: Process) -> bool:
        """Whether its launcher will start it."""
        return self._launched is not None and self._launched.is_awaited(process)

    def _why_not_start(self, process: Process, launch: dict[str, Any] | None) -> str:
        if self._launched is not None:
            return str(self._launched.why_not(process) or "its launcher has not started it")
        if self._local.stop():
            return "the run was asked to stop before its driver was started"
        if launch is None:
            return "the driver was never started: what it needs is gone from the spool"
        if self._begun_ns - self._local.run["created_ns"] > START_DEADLINE_S * 1e9:
            return f"the driver was not started within {START_DEADLINE_S:.0f} s of its run's creation: its starter died"
        return ""

    def _capture(self, process: Process, launch: dict[str, Any] | None) -> None:
        """In the forked child: the life of the capture."""
        life = capture.Capture(self._local.run_dir, self._local.run, process.rank, process.log)
        if process.started is not None:
            life.resume(process.started)
        elif launch is None or os.path.exists(os.path.join(process.directory, "exit.json")):
            life.finish_empty()
        else:
            self._prepare(launch, process.rank)
            life.start(launch, stdin=self._stdin(process))

    def _prepare(self, launch: dict[str, Any], rank: int) -> None:
        """Make of what all processes are started with what this one is."""
        launch["env"]["RUNYARD_RANK"] = str(rank)
        if self._local.spec or self._is_distributed or any("torch" in word for word in launch["argv"]):
            from .driver_launch import complete

            complete(launch, self._local, rank)
        if self._loopback is not None:
            from .loopback_start import add_variables

            add_variables(launch["env"], self._local, rank)

    def _stdin(self, process: Process) -> int:
        """Of several processes the first one reads what `runyard run` was given: two readers would tear it apart."""
        return 0 if process is self.processes[0] else os.open(os.devnull, os.O_RDONLY)

    def _settle_exit(self, process: Process) -> None:
        """Of a process that is captured and has no exit.json: nobody was left who could have reaped its driver."""
        from . import lost_exit

        if lost_exit.may_still_come(process):
            return
        cause = lost_exit.cause(process, self._launched)
        self._local.log.error(cause, rank=process.rank)
        capture.write_exit(process.directory, exit_code=None, signal_number=None, cause=cause)
        process.refresh()

    def _note(self, process: Process) -> None:
        if process.started and self._journal.started(process.name, process.started, process.log):
            self._local.log.info("the driver has started", rank=process.rank, pid=process.started["pid"])
            self._local.host.say(
                f"The driver of rank {process.rank} runs as process {process.started['pid']}; its log is {process.log}."
            )
            self._on_change()
        if process.is_over and process.exit is not None:
            status = process.status(self._local.stop())
            if self._journal.ended(process.name, process.exit["wall_ns"], status):
                end = {
                    key: process.exit[key] for key in ("exit_code", "signal", "cause") if process.exit[key] not in (None, "")
                }
                self._local.log.info("the driver has ended", rank=process.rank, **end)
                words = " ".join(f"{key}={value}" for key, value in end.items())
                self._local.host.say(f"The driver of rank {process.rank} has ended: {words or 'nothing is known of how'}.")
                self._on_change()

    def _remove_environment(self) -> None:
        if all(process.started or process.exit for process in self.processes):
            try:
                os.unlink(self._local.path(names.ENVIRONMENT_FILE))
            except FileNotFoundError:
                pass

    def _ended_by(self) -> Any:
        if self._ending is None:
            from .ending import Ending

            self._ending = Ending(self._local, self.processes)
        return self._ending

    def _exits(self) -> list[dict[str, Any]]:
        """How processes have ended, as far as they have; with their rank, where the run has several."""
        is_one = self._local.run["world_size"] == 1
        ended = [(process.rank, process.exit) for process in self.processes if process.exit is not None]
        return [exit_ | ({} if is_one else {"rank": rank}) for rank, exit_ in ended]

    def _conclude(self) -> None:
        if self._watch is not None:
            self._watch.end()
        word = outcome(self._exits(), self._local.stop())
        results = {"Completed": "done", "Failed": "failed", "Canceled": "canceled"}
        if self._mpi is not None:
            word = self._mpi.last_word(word, self.processes)
        result = word | {"result": results[word["status"]]}
        if word["status"] == "Failed" and "log" not in word:
            from .log_place import of_first_failed

            result |= of_first_failed(self._local.run_dir, self.processes, self._exits())
        self.result = result
