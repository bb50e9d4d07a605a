"""Starts the watch over a node's ranks (agent/watch_ranks.py), again a few times where it dies, and ends it with the drivers.

Reads and writes .runyard/watch.lock, whose flock the living watch holds and in which its pid stands. Standard library only; not
loaded for a run that asks for no watch.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time

from runyard import names

from . import proctree
from .local_run import LocalRun

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

# How often a watch is started by one shepherd, and how long it waits before the next one.
MOST_STARTS = 5
PAUSE_S = 2.0

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MAIN = "import sys; sys.path.append(sys.argv[1]); from runyard.agent.watch_ranks import main; main(sys.argv[2])"


class WatchStart:
    """The watch, as the shepherd sees it. Whatever becomes of it, the run goes on."""

    def __init__(self, local: LocalRun) -> None:
        self._local = local
        self._pid = 0  # 0: not our child
        self._starts = 0
        self._next_s = 0.0

    def step(self) -> None:
        """Start it where none lives."""
        if self._pid or self._starts >= MOST_STARTS or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + PAUSE_S
        lock = os.open(self._local.path(names.WATCH_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # one that another shepherd has started
            os.close(lock)
            return
        self._starts += 1
        self._pid = os.fork()
        if self._pid == 0:
            self._become_watch(lock)
        os.close(lock)

    def reaped(self, pid: int) -> bool:
        """Whether `pid`, which has ended, was the watch."""
        if pid != self._pid:
            return False
        self._pid = 0
        return True

    def end(self) -> None:
        """End it, with what it has started; it has nothing to lose."""
        self._starts = MOST_STARTS
        if self._pid:  # so young, perhaps, that it has not written down who it is
            proctree.send_group_or_leader(self._pid, signal.SIGKILL)
            return
        try:
            with open(self._local.path(names.WATCH_LOCK)) as file:
                pid, ticks = (int(word) for word in file.read().split())
        except (OSError, ValueError):
            return
        if proctree.is_running(pid, ticks):
            proctree.send_group(pid, signal.SIGKILL)

    def _become_watch(self, lock: int) -> None:
        """In the forked child: become the watch's process. Never returns."""
        try:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.ftruncate(lock, os.pwrite(lock, f"{os.getpid()} {proctree.start_ticks(os.getpid())} ".encode(), 0))
            os.set_inheritable(lock, True)
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 0)
            os.dup2(nowhere, 1)
            argv = [sys.executable, "-I", "-S", "-c", _MAIN, _ROOT, self._local.run_dir]
            os.execve(sys.executable, argv, dict(os.environ))  # noqa: S606
        except BaseException:  # noqa: BLE001 - this fork must never go on as a second shepherd
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(127)
