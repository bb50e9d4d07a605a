"""The shepherd: one process per run and node that leads a run through its phases, ends it when asked, and tells its state.

    image → execution → preparation → (on several nodes: rendezvous) → driver → release

Reads run.json and stop.json and what the phases leave in .runyard; writes state.json. Everything it knows is on disk, so that
another shepherd goes on where this one died. Release follows whatever has become of the phases before it.
Started by agent/launch.py in a session of its own. Standard library only, and few modules of it: every run waits for it.
"""

from __future__ import annotations

import gc
import os
import resource
import time

from runyard import names
from runyard.atomic import read_json, write_json

from . import inline, proctree
from .drivers import Drivers
from .local_run import LocalRun
from .outcome import failure_of, last_word
from .release import Release

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

# Between two looks at what cannot signal us: stop requests, captures that another shepherd forked.
TICK_S = 0.1
# The same while only the shipping is waited for.
DRAIN_TICK_S = 0.02

PHASES = ("image", "execution", "preparation", "rendezvous", "driver", "release")
STATUS = {
    "": "Starting",
    "image": "Preparing",
    "execution": "Provisioning",
    "preparation": "Preparing",
    "rendezvous": "Starting",
    "driver": "Running",
    "release": "Finalizing",
}

ENTERED = {
    "image": "Making sure that the environment is built.",
    "execution": "Getting the environment onto this node.",
    "preparation": "Starting job preparation.",
    "rendezvous": "Waiting for the run's other nodes.",
    "driver": "Starting the driver.",
    "release": "Starting job release.",
}

_SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class Shepherd:
    """Startup, main loop and end of a run on this node."""

    def __init__(self, run_dir: str, lock: int) -> None:
        self.local = LocalRun(run_dir)
        self.state: dict[str, Any] = read_json(self.local.path(names.STATE_FILE)) or {}
        is_first = not self.state
        self.state = {"phase": "", "failure": None, "transitions": [], "begun_ns": time.time_ns()} | self.state
        self._stop_sent = 0  # the signal that was sent for a stop
        self._entered_mono_ns = time.monotonic_ns()  # when this shepherd came to the phase
        self._quota: Any = None
        self.drivers = _drivers(self.local, lock, self.state["begun_ns"], self._tell)
        self.stage: Any = None  # of the phase that the run is in; what has `result`, `step`, `reaped`, `ask_stop` and `kill`
        self._ended: dict[str, Any] | None = None  # the last word, once it is known
        self.local.log.info("the shepherd starts" if is_first else "another shepherd takes over", pid=os.getpid())
        if is_first:
            run = self.local.run
            self.local.host.say(f"Starting run {run['run_id']} on node {run['node_id']} ({run['node_ip']}).")
            self.local.host.say(f"The command is: {' '.join(run['command'])}")
            self._move("Starting")

    def main(self) -> None:
        """Blocks until the run is over on this node."""
        if self.state.get("ended_ns"):
            return
        self._startup()
        while not self.state.get("ended_ns"):
            signal_info = signal.sigtimedwait(_SIGNALS, DRAIN_TICK_S if self.state["phase"] == "release" else TICK_S)
            if signal_info is not None and signal_info.si_signo in (signal.SIGTERM, signal.SIGINT):
                self._got_signal(signal_info.si_signo)
            if not self._despite_full_disk(self._step) and not os.path.isdir(self.local.run_dir):
                return  # somebody has removed the run's folder: nobody will ever learn what has become of it

    def _despite_full_disk(self, act: Any) -> bool:
        """Do it; False where the disk did not let us: what is not told now is told when there is room."""
        try:
            act()
        except OSError as error:
            from . import reserve

            reserve.give_up(self.local.run_dir, error)  # the next look, a moment later, has that room
            self.local.log.error(f"the spool cannot be written: {error}")  # mostly lost for the same reason
            return False
        return True

    def _startup(self) -> None:
        proctree.become_subreaper()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        if self.local.run.get("quota_bytes"):
            from .quota import Quota

            self._quota = Quota(self.local.run_dir, self.local.run, self.local.log)
        self.drivers.refresh()
        if self.state["phase"]:
            self.stage = self._stage_of(self.state["phase"])
            self._despite_full_disk(self._tell)
        self._despite_full_disk(self._step)

    def _step(self) -> None:
        self._reap()
        if self._ended is not None:
            self._end(self._ended)
            return
        while self.stage is None or self.stage.result is not None:
            if self.state["phase"] == "release":
                self._end(last_word(self.state, self.local.stop(), self.stage.result))
                return
            self._enter(self._next_phase())
        self.stage.step()
        if self.stage.result is not None:
            self._step()
            return
        self._check_stop()
        if self._quota is not None and self.state["phase"] == "driver" and not self._stop_sent:
            self._quota.step(self.drivers.uncaptured)

    def _next_phase(self) -> str:
        phase = self.state["phase"]
        result = self.stage.result if self.stage is not None else {}
        if phase and phase != "driver":
            self.local.host.say(
                f"The phase {phase} is over: {result['result']}{': ' + result['cause'] if result.get('cause') else ''}."
            )
        if result.get("result") == "failed" and self.state["failure"] is None:
            self.state["failure"] = failure_of(phase, result)
        if phase == "driver":
            self.state["driver"] = {key: result[key] for key in ("status", "exit_code", "signal", "cause")}
        if phase == "driver" or result.get("result") in ("failed", "canceled") or self._is_stopped_early(phase):
            return "release"
        following = PHASES[PHASES.index(phase) + 1 :] if phase else PHASES
        return next(phase for phase in following if inline.takes_place(self.local, phase))

    def _is_stopped_early(self, phase: str) -> bool:
        # Before anything was prepared, a stop is the drivers' matter: they are told to be over without having been started.
        return phase in ("image", "execution", "preparation") and bool(self.local.spec) and self.local.stop() is not None

    def _enter(self, phase: str) -> None:
        if phase != "driver" or not self.local.run.get("attached"):  # that process is there already
            self.local.host.say(ENTERED[phase])
        self._stop_sent = 0
        self._entered_mono_ns = time.monotonic_ns()
        self.state["phase"] = phase
        self.stage = self._stage_of(phase)
        self._move(STATUS[phase])
        if not isinstance(self.stage, inline.Inline):
            self._tell()

    def _stage_of(self, phase: str) -> Any:
        if phase == "driver":
            self.drivers.refresh()
            self.drivers.open()
            return self.drivers
        if phase == "release":
            return Release(self.local, self.state)
        return inline.stage_of(self.local, phase)

    def _reap(self) -> None:
        """Take the exits of our children: phases, captures, and whatever became ours when its parent died."""
        self.drivers.refresh()
        while True:
            try:
                status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            except ChildProcessError:
                return
            if status is None:
                return
            if not self.drivers.reaped(status.si_pid) and self.stage is not None:
                self.stage.reaped(status.si_pid)
            try:
                os.waitpid(status.si_pid, 0)
            except ChildProcessError:  # a driver: it was reaped when its end was written down
                pass

    def _got_signal(self, number: int) -> None:
        name = proctree.describe_signal(number)
        self.local.log.warning("the shepherd got a signal: the run is asked to stop", signal=name)
        self.local.ask_stop(number, f"the shepherd got {name}", is_failure=self.drivers.is_failing)

    def _check_stop(self) -> None:
        stop = self.local.stop() or self._time_limit()
        if stop is None:
            return
        if self._quota is not None:
            self._quota.release()
        if _is_asked(stop) and self.state["status"] != "CancelRequested":
            self._move("CancelRequested")
            self._tell()
        if self.state["phase"] == "release":
            self.stage.ask_stop(int(stop["signal"]))
            return
        number = int(stop["signal"])
        is_late = time.monotonic_ns() > stop["asked_mono_ns"] + stop["grace_s"] * 1e9
        is_there = self.state["phase"] != "driver" or self.drivers.is_there
        if number == signal.SIGKILL or (is_late and (self._stop_sent or not is_there)):
            self.stage.kill()
        elif number != self._stop_sent:
            self.stage.ask_stop(number)
            if is_there:
                self.local.log.info("the run is asked to stop", signal=proctree.describe_signal(number), reason=stop["reason"])
                self._stop_sent = number

    def _time_limit(self) -> dict[str, Any] | None:
        limit_s = self.local.run.get("timeout_s")
        if not limit_s or self.state["phase"] != "driver":
            return None
        begun_ns = self.drivers.begun_mono_ns() or self._entered_mono_ns  # also where the start itself hangs
        if time.monotonic_ns() < begun_ns + limit_s * 1e9:
            return None
        return self.local.ask_stop(signal.SIGTERM, f"the time limit of {limit_s:g} s", is_time_limit=True)

    def _move(self, status: str) -> None:
        """Note that the run has come to another status or phase."""
        stop = self.local.stop()
        if stop is not None and _is_asked(stop) and status not in ("Completed", "Failed", "Canceled"):
            status = "CancelRequested"
        phase = self.state["phase"]
        last = self.state["transitions"][-1:]
        if not last or (last[0]["status"], last[0]["phase"]) != (status, phase):
            self.state["transitions"].append({"status": status, "phase": phase, "wall_ns": time.time_ns()})
        self.state["status"] = status

    def _tell(self, **changes: Any) -> None:
        """Write state.json; nothing is told twice, and a state once told stays until a newer one replaces it whole."""
        self.state |= {"exit_code": None, "signal": None, "cause": "", "ended_ns": None}
        self.state |= {"boot_id": proctree.boot_id(), "shepherd_pid": os.getpid()} | self.drivers.told() | changes
        write_json(self.local.path(names.STATE_FILE), self.state, durable=bool(self.state["ended_ns"]))

    def _end(self, word: dict[str, Any]) -> None:
        self._ended = word
        ended_ns = time.time_ns()
        self.drivers.run_ended(ended_ns, word["status"])
        self.local.log.info("the run has ended on this node", **word)
        self.local.host.say(f"The run has ended on this node: {word['status']}{': ' if word['cause'] else ''}{word['cause']}")
        self._remove_secrets()
        self._move(word["status"])
        self._tell(ended_ns=ended_ns, **word)

    def _remove_secrets(self) -> None:
        for name in (names.ENVIRONMENT_FILE, names.SECRETS_FILE):
            try:
                os.unlink(self.local.path(name))
            except FileNotFoundError:
                pass
        if (self.local.run.get("distribution") or {}).get("node_count", 1) > 1:
            from . import meeting

            meeting.forget_secret(self.local.run_dir)


def _drivers(local: LocalRun, lock: int, begun_ns: int, on_change: Any) -> Drivers:
    if not local.run.get("attached"):
        return Drivers(local, lock, begun_ns, on_change)
    from .attached import AttachedDriver

    return AttachedDriver(local, lock, begun_ns, on_change)


def _is_asked(stop: dict[str, Any]) -> bool:
    """Whether somebody wants the run to be canceled: neither the time limit nor another process's failure does."""
    return not (stop["is_time_limit"] or stop.get("is_failure"))


def main(run_dir: str, lock: int) -> None:
    """Entry point of the process; `lock` is the descriptor that holds shepherd.lock."""
    os.set_inheritable(lock, False)
    os.umask(0o077)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))  # the user's limit is the driver's, which gets it back
    for number in (signal.SIGUSR1, signal.SIGUSR2):  # for the drivers, and Slurm may send them to all that a step has
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # what is loaded stays for good: neither we nor a fork need to look through it again
    gc.enable()
    shepherd = Shepherd(run_dir, lock)
    if shepherd.local.spec:  # podman and pip have to work as they do for the run's user, whoever has started this shepherd
        os.environ.update(shepherd.local.run["tool_environment"])
    shepherd.main()
    os._exit(0)  # everything is on disk; taking the interpreter down in order would only cost time
