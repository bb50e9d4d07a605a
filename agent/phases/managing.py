"""Entering and leaving a run's context managers, each within its time limit, with a ledger of where every one of them stands.

Reads from and writes to .runyard/phase/preparation/: the ledger, and managers-stacks.txt, which is not empty where a process
was ended over a manager that hung. What survives a kill -9: both, from which the next process goes on.
"""

from __future__ import annotations

import json
import traceback
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.context import Job
from runyard.errors import PhaseError, RunyardError
from runyard.spec import Manager

from .ledger import ENTERED, ENTERING, HUNG, LEAVING, LEFT, Ledger
from .loading import load
from .phase import Canceled
from .time_limit import TooLate, time_limit
from .unbroken import unbroken

# How often a manager is left anew whose process died over it.
MOST_LEAVES = 2
# Where a stop of the run is met in a manager: as the phase's own exception, or as Python's.
STOPS = (Canceled, KeyboardInterrupt)


class Managers:
    """The context managers of one run, in the process that enters or leaves them. For its main thread only."""

    def __init__(self, wanted: list[Manager], job: Job, run_dir: Path) -> None:
        folder = run_dir / names.phase_dir("preparation")
        self._wanted = wanted
        self._job = job
        self._ledger = Ledger(folder)
        self._stacks = folder / "managers-stacks.txt"
        self._live: dict[int, AbstractContextManager[Any]] = {}
        self._troubles: list[str] = []

    def enter(self) -> None:
        """Enter all, in order. Where one cannot be, those before it are left again and PhaseError is raised."""
        self.leave()  # what a process that ended here has entered
        hung = self._ledger.causes(HUNG)
        if hung:  # it would hang again
            raise PhaseError(hung[-1])
        try:
            for at, wanted in enumerate(self._wanted):
                self._enter(at, wanted)
        except BaseException:  # also where the run is canceled: these objects know best how to undo what they did
            self.leave()
            raise

    def leave(self) -> None:
        """Leave what is entered, the last one first. One that fails stops no other; a stop of the run waits for all."""
        with unbroken():
            self._conclude_hang()
            for standing in reversed(self._ledger.standing()):
                if standing.at >= len(self._wanted):
                    continue
                wanted = self._wanted[standing.at]
                if standing.tries >= MOST_LEAVES:
                    cause = (
                        f"the context manager {wanted.use} could not be left: its process died over it {standing.tries} times"
                    )
                else:
                    cause = self._leave(standing.at, wanted, standing.state)
                self._ledger.note_if_possible(standing.at, LEFT, cause=cause)
                if cause:
                    self._troubles.append(cause)
                    self._job.say(f"{cause}; going on with the others")

    def troubles(self) -> list[str]:
        """What could not be left, as sentences: by this process or, as the ledger says, by another."""
        return list(dict.fromkeys([*self._ledger.causes(LEFT), *self._troubles]))

    def _enter(self, at: int, wanted: Manager) -> None:
        self._ledger.note(at, ENTERING)
        self._job.say(f"Entering {wanted.use}.")
        try:
            with time_limit(wanted.timeout_s, self._stacks):
                self._live[at] = self._made(at, wanted)
                self._live[at].__enter__()
            state = _fit(self._live[at])
        except BaseException as error:  # whatever a plug-in leaves by, it is the run's cause and no crash of ours
            # One that was cut off knows what it had begun, and is left; as in Python, one that failed has undone it itself.
            if at not in self._live or not isinstance(error, (*STOPS, TooLate, UnfitStateError)):
                self._live.pop(at, None)
                self._ledger.note_if_possible(at, LEFT)
            if isinstance(error, STOPS):
                raise
            raise PhaseError(_sentence(wanted, error, "entered", "cannot")) from error
        self._ledger.note(at, ENTERED, state=state)

    def _made(self, at: int, wanted: Manager) -> AbstractContextManager[Any]:
        manager: AbstractContextManager[Any] = load(wanted.use)(self._job, **wanted.options)
        if state := _fit(manager):  # what it wants to find again should this process die over entering it
            self._ledger.note(at, ENTERING, state=state)
        return manager

    def _leave(self, at: int, wanted: Manager, state: dict[str, Any]) -> str:
        """Leave one; what went wrong, as a sentence, or nothing."""
        self._ledger.note_if_possible(at, LEAVING)
        self._job.say(f"Leaving {wanted.use}.")
        try:
            with time_limit(wanted.timeout_s, self._stacks):
                self._revived(at, wanted, state).__exit__(None, None, None)
        except BaseException as error:  # noqa: BLE001 - whatever a plug-in leaves by, the others are left all the same
            return _sentence(wanted, error, "left", "could not")
        return ""

    def _revived(self, at: int, wanted: Manager, state: dict[str, Any]) -> AbstractContextManager[Any]:
        live = self._live.pop(at, None)
        if live is not None:
            return live
        manager: Any = load(wanted.use)(self._job, **wanted.options)
        if state or hasattr(manager, "state"):
            manager.state = state  # also an empty one: what the constructor has put there now was never entered
        revived: AbstractContextManager[Any] = manager
        return revived

    def _conclude_hang(self) -> None:
        """Where the process before was ended over a manager that hung: say so and where it hung, and note that."""
        try:
            stacks = self._stacks.read_text(errors="replace")
        except OSError:  # none, mostly
            return
        unfinished = self._ledger.unfinished()
        if stacks and unfinished and unfinished[0] < len(self._wanted):
            at, event = unfinished
            wanted, how = self._wanted[at], "entered" if event == ENTERING else "left"
            cause = f"the context manager {wanted.use} hangs: it was not {how} within {wanted.timeout_s:g} s, nor let go after"
            for line in (f"{cause}; its process was ended, and stood here:", *stacks.splitlines()):
                self._job.say(line)
            self._ledger.note_if_possible(at, HUNG if event == ENTERING else LEFT, cause=cause)
            if event == LEAVING:
                self._troubles.append(cause)
        with suppress(OSError):
            self._stacks.unlink()


class UnfitStateError(PhaseError):
    """The state of a manager cannot be kept."""


def _fit(manager: Any) -> dict[str, Any]:
    """The manager's state as JSON keeps it."""
    try:
        kept: dict[str, Any] = json.loads(json.dumps(getattr(manager, "state", None) or {}))
    except (TypeError, ValueError) as error:
        raise UnfitStateError(f"its state is not fit for JSON: {error}") from error
    return kept


def _sentence(wanted: Manager, error: BaseException, how: str, verb: str) -> str:
    what = f"the context manager {wanted.use}"
    if isinstance(error, TooLate):
        return f"{what} was not {how} within its time limit of {wanted.timeout_s:g} s"
    if isinstance(error, RunyardError):
        return f"{what} {verb} be {how}: {error}"
    with suppress(OSError):  # a full disk
        traceback.print_exception(error)
    text = str(error)
    return f"{what} {verb} be {how}: {type(error).__name__}{': ' if text else ''}{text}"
