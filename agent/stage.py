"""A phase that takes place in a process of its own: started, watched, ended at its time limit, tried again where it died.

Reads from .runyard/phase/<phase>/: the flock of `lock` says whether its process lives, result.json what it has come to; writes
started.json there. What survives a kill -9 of the shepherd: the phase's process, which needs nobody; of the phase's process:
what it had on disk, from which the next one goes on. Standard library only.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from runyard import names
from runyard.atomic import read_json, write_json

from . import proctree
from .local_run import LocalRun

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

# How often a phase is started again that died without a word.
MOST_DEATHS = 2

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MAIN = "import sys; sys.path.append(sys.argv[1]); from runyard.agent.phases.main import main; main(sys.argv[2], sys.argv[3])"


class Stage:
    """One phase of the run, as the shepherd sees it. `result` is None until it is over."""

    def __init__(self, local: LocalRun, phase: str, log: str, *, limit_s: float | None = None) -> None:
        self.phase = phase
        self._limit_s = local.limit_s(phase) if limit_s is None else limit_s
        self.result: dict[str, Any] | None = None
        self._local = local
        self._log = log
        self._directory = local.path(names.phase_dir(phase))
        self._result_path = os.path.join(self._directory, "result.json")
        self._pid = 0  # 0: not our child
        self._started_s = 0.0  # when we started it
        os.makedirs(self._directory, mode=names.DIR_MODE, exist_ok=True)
        self._record: dict[str, Any] = read_json(self._path("started.json")) or {"deaths": 0, "tries": 0}

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def step(self) -> None:
        """Look at it, start it, or take note of its end."""
        self.result = read_json(self._result_path)
        if self.result is not None:
            self._take_result(self.result)
        elif not self._pid and not self.is_alive:
            self._begin_or_fail()
        elif self._is_late():
            self._kill(f"the time limit of {self._limit_s:g} s")

    def reaped(self, pid: int) -> bool:
        """Whether `pid`, which has ended, was this phase's process."""
        if pid != self._pid:
            return False
        self._pid = 0
        return True

    @property
    def is_alive(self) -> bool:
        """Whether its process lives, be it our child or not."""
        try:
            lock = os.open(self._path("lock"), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def ask_stop(self, number: int) -> None:
        """Pass a stop on. Phases look at stop.json themselves; this is for a disk that was too full to hold it."""
        if self._pid:
            proctree.send([self._pid], number)

    def kill(self) -> None:
        """End it, with all it has started, now; it counts as canceled."""
        self._kill("a stop")

    def _kill(self, why: str) -> None:
        if "killed" not in self._record:
            self._local.log.warning(f"the phase is killed at {why}", phase=self.phase)
        if self._pid:
            proctree.send([*proctree.descendants(self._pid), self._pid], signal.SIGKILL)
        self._local.kill_marked(self.phase)
        self._record["killed"] = why

    @property
    def _is_stopped(self) -> bool:
        return self.phase not in ("release", "cleanup") and self._local.stop() is not None

    def _is_late(self) -> bool:
        begun_ns = self._record.get("begun_mono_ns")
        return bool(self._limit_s and begun_ns and time.monotonic_ns() > begun_ns + self._limit_s * 1e9)

    def _take_result(self, result: dict[str, Any]) -> None:
        is_again = (
            result["result"] == "failed"
            and result.get("is_passing")
            and self._record["tries"] <= self._local.retries(self.phase)
        )
        if is_again and not self._is_stopped:
            self._local.log.warning("the phase failed and is tried again", phase=self.phase, cause=result["cause"])
            os.rename(self._result_path, self._path(f"result-{self._record['tries']}.json"))
            self.result = None

    def _begin_or_fail(self) -> None:
        if self._started_s and time.monotonic() < self._started_s + 0.05:
            return  # its lock may be about to be taken by a process that it has started
        why = self._record.get("killed", "")
        is_stopped = self._is_stopped
        tries = self._record["tries"]
        if tries and not os.path.exists(self._path(f"result-{tries}.json")):
            self._record["deaths"] += 1
            self._local.kill_marked(self.phase)  # what it has left running would be in the way of the next one
        if why or is_stopped or self._record["deaths"] > MOST_DEATHS:
            self._give_up("canceled" if is_stopped else "failed", f"ended at {why}" if why else self._last_words())
        else:
            self._begin()

    def _last_words(self) -> str:
        return f"its process died {self._record['deaths']} times without a word (was it killed?); its log is {self._log}"

    def _give_up(self, result: str, cause: str) -> None:
        from .log_place import last_words

        start, end = last_words(self._local.path(self._log))
        self.result = {"result": result, "cause": cause, "log": self._log, "start": start, "end": end, "is_given_up": True}
        write_json(self._result_path, self.result, durable=False)

    def _begin(self) -> None:
        if self._record["deaths"]:
            self._local.log.warning("the phase died and is taken up again", phase=self.phase)
        self._record["tries"] += 1
        if self._record.get("boot_id") != proctree.boot_id():  # another boot's monotonic clock tells nothing
            self._record |= {"boot_id": proctree.boot_id(), "begun_mono_ns": time.monotonic_ns()}
        write_json(self._path("started.json"), self._record, durable=False)
        self._started_s = time.monotonic()
        self._pid = os.fork()
        if self._pid == 0:
            self._become_phase()

    def _become_phase(self) -> None:
        """In the forked child: become the phase's process. Never returns."""
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            out = os.open(self._local.path(self._log), os.O_WRONLY | os.O_APPEND | os.O_CREAT, names.FILE_MODE)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            markers = dict(word.split("=", 1) for word in self._local.markers(self.phase))
            env = dict(os.environ) | markers
            argv = [sys.executable, "-I", "-c", _MAIN, _ROOT, self._local.run_dir, self.phase]
            os.execve(sys.executable, argv, env)  # noqa: S606
        except BaseException:  # noqa: BLE001 - this fork must never go on as a second shepherd
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(127)
