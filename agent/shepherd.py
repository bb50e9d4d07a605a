"""The shepherd: one process per run and node that starts the drivers, ends them when asked, and tells the run's state.

Reads run.json, environment.json, stop.json and what capture leaves in .runyard/proc; writes state.json, process_info.json,
process_status.json and 110_azureml.log. Everything it knows is on disk, so that another shepherd goes on where this one died:
what survives a kill -9 is the training, its capture, and every exit status.
Started by agent/launch.py in a session of its own. Standard library only, and few modules of it: every run waits for it.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
import time

from runyard import names
from runyard.atomic import read_json, write_json

from . import capture, proctree
from .journal import ProcessJournal, SystemLog
from .outcome import outcome
from .process import Process
from .stop import new_stop, read_stop, request_stop

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# Between two looks at what cannot signal us: stop requests, captures that another shepherd forked.
TICK_S = 0.1
# After a capture that died: one that cannot live must not take a core.
CAPTURE_PAUSE_S = 0.5
# A driver that has not been started so long after its run was created is not started any more.
START_DEADLINE_S = 60.0

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class Shepherd:
    """Startup, main loop and end of a run on this node."""

    def __init__(self, run_dir: str, lock: int) -> None:
        self.run_dir = run_dir
        self._lock = lock
        self.run: dict[str, Any] = read_json(self._path(names.RUN_FILE))
        self.state: dict[str, Any] = read_json(self._path(names.STATE_FILE)) or {}
        self.processes = [Process(run_dir, self.run, rank) for rank in self.run["ranks"]]
        self.log = SystemLog(self._path(names.SYSTEM_LOG), "runyard.shepherd")
        self.journal = ProcessJournal(run_dir, self.run["node_id"], self.run["node_ip"])
        self._asked: dict[str, Any] | None = None  # a stop that a full disk did not let us write down
        self._stop_sent = 0  # the signal that was sent for it
        self._quota: Any = None

    def _path(self, name: str) -> str:
        return os.path.join(self.run_dir, name)

    def main(self) -> None:
        """Blocks until the run is over on this node."""
        if self.state.get("ended_ns"):
            return
        self._startup()
        while not all(process.is_over for process in self.processes):
            signal_info = signal.sigtimedwait(_SIGNALS, TICK_S)
            if signal_info is not None and signal_info.si_signo in (signal.SIGTERM, signal.SIGINT):
                self._ask_stop(signal_info.si_signo)
            self._despite_full_disk(self._step)
        while not self._despite_full_disk(self._end):
            time.sleep(TICK_S)

    def _despite_full_disk(self, act: Any) -> bool:
        """Do it; False where the disk did not let us: what is not told now is told when there is room."""
        try:
            act()
        except OSError as error:
            self.log.error(f"the spool cannot be written: {error}")  # mostly lost for the same reason
            return False
        return True

    def _startup(self) -> None:
        is_first = not self.state
        proctree.become_subreaper()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self.log.info("the shepherd starts" if is_first else "another shepherd takes over", pid=os.getpid())
        if self.run.get("quota_bytes"):
            from .quota import Quota

            self._quota = Quota(self.run_dir, self.run, self.log)
        for process in self.processes:
            process.refresh()
            if not process.is_captured:
                self._start(process)
        status = "NotStarted" if self._never_started() else "Running"
        self._despite_full_disk(lambda: self._tell(status=status))

    def _never_started(self) -> bool:
        return all(process.exit is not None and process.started is None for process in self.processes)

    def _start(self, process: Process) -> None:
        """Fork a capture for a process that has none: for a driver to be started, or for one that runs already."""
        lock = capture.take_lock(self.run_dir, process.rank)
        if lock is None:
            return  # its capture lives, and goes on without us
        process.refresh()
        launch = read_json(self._path(names.ENVIRONMENT_FILE))
        if process.started is None:
            cause = self._why_not_start(launch)
            if cause:
                self.log.error(cause, rank=process.rank)
                capture.write_exit(process.directory, exit_code=None, signal_number=None, cause=cause)
        process.next_capture_s = time.monotonic() + CAPTURE_PAUSE_S
        process.capture_pid = os.fork()
        if process.capture_pid == 0:
            self._become_capture(process, launch)
        os.close(lock)

    def _why_not_start(self, launch: dict[str, Any] | None) -> str:
        if self._stop():
            return "the run was asked to stop before its driver was started"
        if launch is None:
            return "the driver was never started: what it needs is gone from the spool"
        if time.time() - self.run["created_ns"] / 1e9 > START_DEADLINE_S:
            return f"the driver was not started within {START_DEADLINE_S:.0f} s of its run's creation: its starter died"
        return ""

    def _become_capture(self, process: Process, launch: dict[str, Any] | None) -> None:
        code = 1
        try:
            os.close(self._lock)  # a lock lives as long as any copy of its descriptor
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN if number != signal.SIGCHLD else signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            life = capture.Capture(self.run_dir, self.run, process.rank, process.log)
            if process.started is not None:
                life.resume(process.started)
            elif launch is None or os.path.exists(os.path.join(process.directory, "exit.json")):
                life.finish_empty()
            else:
                launch["env"]["RUNYARD_RANK"] = str(process.rank)
                life.start(launch, stdin=0)
            code = 0
        except BaseException:  # noqa: BLE001 - this fork must never go on as a second shepherd
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _step(self) -> None:
        self._reap()
        for process in self.processes:
            process.refresh()
            self._note(process)
            if process.is_over:
                continue
            if process.is_captured:
                self._settle_exit(process)
            elif not process.capture_pid and time.monotonic() >= process.next_capture_s:
                self._start(process)
        self._remove_environment()
        self._check_stop()
        if self._quota is not None and not self._stop_sent:
            self._quota.step([process for process in self.processes if not process.is_captured])

    def _reap(self) -> None:
        """Take the exits of our children: captures, and drivers that became ours when their capture died."""
        for process in self.processes:
            process.refresh()
        by_pid = {process.started["pid"]: process for process in self.processes if process.started and process.is_driver_there}
        by_capture = {process.capture_pid: process for process in self.processes if process.capture_pid}
        while True:
            try:
                status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            except ChildProcessError:
                return
            if status is None:
                return
            if status.si_pid in by_pid:
                capture.record_exit(by_pid.pop(status.si_pid).directory, status.si_pid)
                continue
            if status.si_pid in by_capture:
                by_capture[status.si_pid].capture_pid = 0
            os.waitpid(status.si_pid, 0)

    def _settle_exit(self, process: Process) -> None:
        # Captured, and no exit.json: nobody was left who could have reaped the driver.
        started = process.started
        if started and process.is_driver_there:
            pid = started["pid"]
            if proctree.is_running(pid, started["start_ticks"]) or proctree.parent(pid) == os.getpid():
                return  # it is about to end, or ours to reap
        cause = "its exit code is lost: its capture was killed, and the shepherd that could have taken over was, too"
        if started and started["boot_id"] != proctree.boot_id():
            cause = "its exit code is lost: the machine was started again"
        self.log.error(cause, rank=process.rank)
        capture.write_exit(process.directory, exit_code=None, signal_number=None, cause=cause)
        process.refresh()

    def _note(self, process: Process) -> None:
        if process.started and self.journal.started(process.name, process.started, process.log):
            self.log.info("the driver has started", rank=process.rank, pid=process.started["pid"])
            self._tell()
        if process.is_over and process.exit is not None:
            status = process.status(self._stop())
            if self.journal.ended(process.name, process.exit["wall_ns"], status):
                self.log.info("the driver has ended", rank=process.rank, **_only(process.exit, "exit_code", "signal", "cause"))
                if not all(other.is_over for other in self.processes):  # else the last word follows at once
                    self._tell()

    def _remove_environment(self) -> None:
        if all(process.started or process.exit for process in self.processes):
            try:
                os.unlink(self._path(names.ENVIRONMENT_FILE))
            except FileNotFoundError:
                pass

    def _ask_stop(self, number: int) -> None:
        self.log.warning("the shepherd got a signal: the driver is asked to end", signal=proctree.describe_signal(number))
        reason = f"the shepherd got {proctree.describe_signal(number)}"
        try:
            request_stop(self.run_dir, number, self.run["grace_s"], reason)
        except OSError:  # a full disk: asked for as long as we live
            self._asked = new_stop(number, self.run["grace_s"], reason)

    def _stop(self) -> dict[str, Any] | None:
        return read_stop(self.run_dir) or self._asked

    def _check_stop(self) -> None:
        stop = self._stop() or self._time_limit()
        if stop is None:
            return
        if self._quota is not None:
            self._quota.release()
        number = int(stop["signal"])
        is_late = time.monotonic_ns() > stop["asked_mono_ns"] + stop["grace_s"] * 1e9
        if is_late and self._stop_sent:
            number = signal.SIGKILL
        if number == signal.SIGKILL:
            self._kill_trees()
        elif number != self._stop_sent:
            self.log.info("the driver is asked to end", signal=proctree.describe_signal(number), reason=stop["reason"])
            for process in self.processes:
                if process.started and process.is_driver_there:
                    proctree.send_group(process.started["pid"], number)
                    self._stop_sent = number

    def _time_limit(self) -> dict[str, Any] | None:
        limit_s = self.run.get("timeout_s")
        if not limit_s:
            return None
        begun = [process.started["mono_ns"] for process in self.processes if process.started and process.is_driver_there]
        if not begun or time.monotonic_ns() < min(begun) + limit_s * 1e9:
            return None
        reason = f"the time limit of {limit_s:g} s"
        return request_stop(self.run_dir, signal.SIGTERM, self.run["grace_s"], reason, is_time_limit=True)

    def _kill_trees(self) -> None:
        for process in self.processes:
            if not process.started or process.is_captured:
                continue
            pid = process.started["pid"]
            if process.is_driver_there:
                proctree.send([pid, *proctree.descendants(pid)], signal.SIGKILL)
            members = proctree.with_environment(f"RUNYARD_RUN_ID={self.run['run_id']}", f"RUNYARD_RANK={process.rank}")
            proctree.send(members, signal.SIGKILL)
            if process.capture_pid:
                proctree.send(proctree.descendants(process.capture_pid), signal.SIGKILL)

    def _tell(self, **changes: Any) -> None:
        """Write state.json; nothing is told twice, and a state once told stays until a newer one replaces it whole."""
        stop = self._stop()
        begun = [process.started["wall_ns"] for process in self.processes if process.started]
        self.state |= {
            "exit_code": None,
            "signal": None,
            "cause": "",
            "started_ns": min(begun) if begun else None,
            "ended_ns": None,
            "processes": [process.told(stop) for process in self.processes if process.started],
            "boot_id": proctree.boot_id(),
            "shepherd_pid": os.getpid(),
        } | changes
        write_json(self._path(names.STATE_FILE), self.state, durable=bool(self.state["ended_ns"]))

    def _end(self) -> None:
        stop = self._stop()
        word = outcome([process.exit or {} for process in self.processes], stop)
        ended_ns = max((process.exit or {}).get("wall_ns") or time.time_ns() for process in self.processes)
        for process in self.processes:
            self._note(process)
        self.journal.run_ended(ended_ns, word["status"])
        self.log.info("the run has ended on this node", **word)
        self._remove_environment()
        self._tell(ended_ns=ended_ns, **word)


def _only(values: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: values[key] for key in keys if values.get(key) not in (None, "")}


def main(run_dir: str, lock: int) -> None:
    """Entry point of the process; `lock` is the descriptor that holds shepherd.lock."""
    os.set_inheritable(lock, False)
    os.umask(0o077)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # the user's limit is the driver's, which gets it back
    gc.freeze()  # what is loaded stays for good: neither we nor a fork need to look through it again
    gc.enable()
    Shepherd(run_dir, lock).main()
    os._exit(0)  # everything is on disk; taking the interpreter down in order would only cost time
