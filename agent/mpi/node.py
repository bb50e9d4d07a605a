"""Another node's part of an MPI run: the daemon that mpirun's remote-start agent comes to is started, and again where it died.

Writes the daemon's words to the 55 log. What survives a kill -9 of the shepherd: the daemon. Standard library only.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from runyard import names
from runyard.agent.launched import launcher_ended
from runyard.agent.local_run import LocalRun
from runyard.agent.process import Process

from . import node_daemon
from .ended import PLACE, has_ended
from .forked import become_child

# After a death: what cannot live must not take a core.
PAUSE_S = 0.5
MOST_DEATHS = 5
_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
_DAEMON = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from runyard.agent.mpi.node_daemon import main; main(sys.argv[2], int(sys.argv[3]))"
)


class Node:
    """Another node's part: the daemon that mpirun's remote-start agent comes to."""

    is_over = True  # the ranks are waited for, and nothing else
    is_there = False  # a stop is the drivers' matter here

    def __init__(self, local: LocalRun, lock: int) -> None:
        self._local = local
        self._lock = lock
        self._pid = 0
        self._starts = 0
        self._next_s = 0.0

    def step(self) -> None:
        """Start the daemon where none lives and one is needed."""
        if self._pid or time.monotonic() < self._next_s or has_ended(self._local.run_dir):
            return
        lock = node_daemon.take_lock(self._local.run_dir)
        if lock is None:
            return  # one lives that an earlier shepherd has started
        if self._starts > MOST_DEATHS:
            launcher_ended(self._local.run_dir, "mpirun cannot reach this node: its daemon died again and again")
        else:
            self._start(lock)
        os.close(lock)

    def _start(self, lock: int) -> None:
        self._next_s = time.monotonic() + PAUSE_S
        self._starts += 1
        self._pid = os.fork()
        if self._pid:
            return
        try:
            become_child()
            out = os.open(self._local.path(names.execution_log(self._local.node_id)), os.O_WRONLY | os.O_APPEND)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.set_inheritable(lock, True)
            env = dict(os.environ) | {"RUNYARD_RUN_MARK": self._local.run["mark"], "RUNYARD_RANK": PLACE}
            argv = [sys.executable, "-I", "-S", "-c", _DAEMON, _ROOT, self._local.run_dir, str(lock)]
            os.execve(sys.executable, argv, env)  # noqa: S606
        except BaseException:  # noqa: BLE001 - this fork must never go on as a second shepherd
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(127)

    def reaped(self, pid: int) -> bool:
        """Whether `pid`, which has ended, was the daemon."""
        if pid != self._pid:
            return False
        self._pid = 0
        return True

    def ask_stop(self, number: int) -> None:
        """The ranks get it; mpirun sees them end."""

    def kill(self) -> None:
        """The ranks get it; mpirun sees them end."""

    def last_word(self, word: dict[str, Any], processes: list[Process]) -> dict[str, Any]:
        """The ranks' exits say it."""
        del processes
        return word
