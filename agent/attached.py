"""The driver of an interactive run: a process that we did not start, a notebook or a script that has begun a run by itself.

Watches it by its pid and start ticks, and sends it no signal, ever: it is somebody's own. Reads what the SDK leaves in
.runyard/proc/0 from that process (runyard/sdk/attachment.py): word.json, exit_status, exceptions.jsonl; writes there what a
capture would: started.json, exit.json, evidence.json and captured. There is no capture and no log. What survives a kill -9 of
the shepherd: all of it, the next one looks at the same files. Standard library only; not loaded for other runs.
"""

from __future__ import annotations

import os
import time

from runyard import names
from runyard.atomic import open_plain, read_json, write_bytes, write_json

from . import evidence, proctree
from .drivers import Drivers
from .local_run import LocalRun
from .outcome import MOST_OF_CAUSE
from .process import Process

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_RESULTS = {"Completed": "done", "Failed": "failed", "Canceled": "canceled"}
_PROCESS_WORDS = {"Completed": "Completed", "Failed": "Failed", "Canceled": "Terminated"}
# The exit code of a Python program that an exception has ended.
_EXIT_EXCEPTION = 1


class AttachedProcess(Process):
    """As Process; how its run ended is told in exit.json itself."""

    def __init__(self, run_dir: str, run: dict[str, Any]) -> None:
        super().__init__(run_dir, run, 0)
        self.log = ""  # what it prints goes where it went before

    def status(self, stop: dict[str, Any] | None) -> str:
        """Its status in the words of process_status.json."""
        del stop
        return "Started" if self.exit is None else _PROCESS_WORDS[self.exit["status"]]


class AttachedDriver(Drivers):
    """The stage of the driver phase of an interactive run."""

    def __init__(self, local: LocalRun, lock: int, begun_ns: int, on_change: Callable[[], None]) -> None:
        super().__init__(local, lock, begun_ns, on_change)
        self._process = AttachedProcess(local.run_dir, local.run)
        self.processes = [self._process]

    def step(self) -> None:
        """Look whether its run has ended."""
        process, directory = self._process, self._process.directory
        process.refresh()
        if process.started is None:
            os.makedirs(directory, mode=names.DIR_MODE, exist_ok=True)
            write_json(os.path.join(directory, "started.json"), self._local.run["attached"], durable=False)
        elif process.exit is None:
            end = ended(directory, process.started, self._local.stop())
            if end is not None:
                write_json(os.path.join(directory, "exit.json"), end, durable=False)
        elif not process.is_captured:
            evidence.write(directory, self._local.run_dir, None)
            write_bytes(os.path.join(directory, "captured"), b"", durable=False)
        else:
            self._note(process)
            self._conclude()
            return
        process.refresh()
        self._note(process)
        self._remove_environment()

    @property
    def uncaptured(self) -> list[Process]:
        """No log of its own grows: the quota stops nobody."""
        return []

    @property
    def is_there(self) -> bool:
        """It gets no signal."""
        return False

    def ask_stop(self, number: int) -> None:
        """Its run ends; the process itself is not asked: it may be somebody's notebook."""

    def kill(self) -> None:
        """As ask_stop."""

    def _note(self, process: Process) -> None:
        if process.started and self._journal.started(process.name, process.started, process.log):
            self._local.log.info("the run belongs to a process that was there before it", pid=process.started["pid"])
            self._local.host.say(
                f"The run belongs to process {process.started['pid']}, which was there before it; what that prints is its own."
            )
            self._on_change()
        super()._note(process)

    def _conclude(self) -> None:
        exit_ = self._process.exit or {}
        word = {name: exit_[name] for name in ("status", "exit_code", "signal", "cause")}
        self.result = word | {"result": _RESULTS[exit_["status"]]}


def ended(directory: str, started: dict[str, Any], stop: dict[str, Any] | None) -> dict[str, Any] | None:
    """How the run of the process `started` has ended, as exit.json has it; None as long as it goes on.

    What the process has said goes before how it ended, and that before what somebody has asked.
    """
    is_there = _is_there(started)  # looked at first: what it said before its end is then there, too
    word = read_json(os.path.join(directory, names.ATTACHED_WORD))
    word = word if isinstance(word, dict) else {}  # what its user has put there may be anything
    if isinstance(word.get("status"), str) and word["status"] in _RESULTS:
        code = 0 if word["status"] == "Completed" else None
        return _end(word["status"], code, str(word.get("cause") or ""), word)
    if not is_there:
        return _end_of_gone(directory, started, word)
    if stop is not None:
        return _end("Canceled", None, str(stop["reason"]), {})
    return None


def _is_there(started: dict[str, Any]) -> bool:
    is_same_boot = started["boot_id"] == proctree.boot_id()
    return is_same_boot and proctree.is_running(started["pid"], started["start_ticks"])


def _end_of_gone(directory: str, started: dict[str, Any], word: dict[str, Any]) -> dict[str, Any]:
    """How a process ended that has not said how its run did: by its exit code, where the C library has left it."""
    who = f"process {started['pid']}"
    exception = str(word.get("exception") or "")
    code = _exit_status(directory)
    if code in (None, _EXIT_EXCEPTION) and word.get("is_interrupted"):
        return _end("Canceled", None, f"{who} was interrupted from its keyboard", word)
    if code is None and word.get("is_exit") and not word.get("is_status_told"):
        code = _EXIT_EXCEPTION if exception else 0  # a C library that does not tell
    if code == 0:
        return _end("Completed", 0, "", word)
    if code is not None:
        return _end("Failed", code, exception if exception and code == _EXIT_EXCEPTION else f"exit code {code}", word)
    cause = f"{who} ended without saying how its run ended"
    if started["boot_id"] != proctree.boot_id():
        cause += ": the machine was started again"
    return _end("Failed", None, cause, {})


def _exit_status(directory: str) -> int | None:
    """The exit code that the C library has left at the process's exit (runyard/sdk/exit_status.py); None: it has not."""
    try:
        with open_plain(os.path.join(directory, names.ATTACHED_EXIT_STATUS)) as file:
            told = file.read(2)
    except OSError:
        return None
    return told[0] if len(told) == 2 and told[0] == told[1] else None


def _end(status: str, code: int | None, cause: str, word: dict[str, Any]) -> dict[str, Any]:
    """exit.json; the time is the word's, if it has one."""
    at = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}
    at |= {name: word[name] for name in at if type(word.get(name)) is int and 0 < word[name] < 1 << 63}
    told = cause.replace("\0", "").encode(errors="replace").decode()  # what the collector takes: no NUL, no half character
    return {"status": status, "exit_code": code, "signal": None, "cause": told[:MOST_OF_CAUSE]} | at
