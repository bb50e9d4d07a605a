"""Ends the drivers of a node: by a signal that asks, which each process gets once however late it starts, or by SIGKILL to all
that they have started; and asks for that where one of several has failed.

Reads what is known of the processes; writes signals and, through local_run.py, stop.json. Nothing else is kept: whichever
shepherd looks comes to the same. Standard library only; not loaded for a run of one process that nobody stops.
"""

from __future__ import annotations

import time

from . import proctree
from .local_run import LocalRun
from .outcome import cause_of, first_failed

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any

    from .process import Process
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms


class Ending:
    """How the drivers of a node are ended."""

    def __init__(self, local: LocalRun, processes: list[Process]) -> None:
        self._local = local
        self._processes = processes
        self._number = 0  # the signal that asks; 0: nobody has
        self._asked: dict[int, int] = {}  # the process that has got it, by rank

    def ask(self, number: int) -> None:
        """Send the signal to every driver's process group, also to those that are yet to be started."""
        self._number = number
        self._asked.clear()
        self.step()

    def step(self) -> None:
        """Ask those that have started since."""
        if not self._number:
            return
        for process in self._processes:
            if process.started and process.is_driver_there and self._asked.get(process.rank) != process.started["pid"]:
                self._asked[process.rank] = process.started["pid"]
                proctree.send_group_or_leader(process.started["pid"], self._number)

    def kill(self) -> None:
        """SIGKILL to every driver and all that it has started."""
        for process in self._processes:
            if process.is_captured:
                continue
            if not process.started:  # what starts it hangs
                proctree.send(proctree.descendants(process.capture_pid) if process.capture_pid else [], signal.SIGKILL)
                continue
            pid = process.started["pid"]
            if process.is_driver_there:
                proctree.send([pid, *proctree.descendants(pid)], signal.SIGKILL)
            members = proctree.with_environment(proctree.marker(self._local.run), f"RUNYARD_RANK={process.rank}")
            proctree.send(members, signal.SIGKILL)
            if process.capture_pid:
                proctree.send(proctree.descendants(process.capture_pid), signal.SIGKILL)

    def fail_fast(self, exits: list[dict[str, Any]]) -> None:
        """Where one process has failed, have the others asked to end, once they have had the time to do so by themselves."""
        distribution: dict[str, Any] = self._local.run.get("distribution") or {}
        bad = first_failed(exits)
        if bad is None or distribution.get("on_failure") == "wait" or self._local.stop() is not None:
            return
        if time.monotonic_ns() < bad["mono_ns"] + distribution.get("failure_grace_s", 0.0) * 1e9:
            return
        cause = cause_of(bad)
        self._local.log.warning("a process has failed: the others are asked to end", cause=cause)
        self._local.host.say(f"Ending the other processes: {cause}.")
        self._local.ask_stop(signal.SIGTERM, cause, is_failure=True)
