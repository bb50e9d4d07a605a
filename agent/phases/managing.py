"""Entering and leaving a run's context managers, each within its time limit, with a ledger of where every one of them stands.

Reads from and appends to .runyard/phase/preparation/managers.jsonl. What survives a kill -9: the ledger, from which the next
process leaves what was entered, each with the state that it had then.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent.json_lines import append_line, read_lines
from runyard.agent.managers import BUILT_IN
from runyard.context import ENTRY_POINTS, Job
from runyard.errors import PhaseError, RunyardError
from runyard.spec import Manager

from .time_limit import TooLate, time_limit

# How often a manager is left anew whose process died over it.
MOST_LEAVES = 2
LEDGER_FILE = f"{names.phase_dir('preparation')}/managers.jsonl"


class Managers:
    """The context managers of one run, in the process that enters or leaves them. `on_hang` has to end this process."""

    def __init__(self, wanted: list[Manager], job: Job, run_dir: Path, on_hang: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._job = job
        self._ledger = str(run_dir / LEDGER_FILE)
        self._on_hang = on_hang
        self._live: dict[int, AbstractContextManager[Any]] = {}

    def enter(self) -> None:
        """Enter all, in order. Where one cannot be, those before it are left again and PhaseError is raised."""
        self.leave()  # what a process that died here has entered
        try:
            for at, wanted in enumerate(self._wanted):
                self._enter(at, wanted)
        except BaseException:  # also where the run is canceled: these objects know best how to undo what they did
            self.leave()
            raise

    def leave(self) -> list[str]:
        """Leave what is entered, the last one first; what could not be left, as sentences. One that fails stops no other."""
        troubles = []
        for at, state, tries in reversed(self._entered()):
            wanted = self._wanted[at]
            if tries >= MOST_LEAVES:
                troubles.append(f"the context manager {wanted.use} could not be left: its process died over it {tries} times")
                self._note(at, "left", cause=troubles[-1])
                continue
            trouble = self._leave(at, wanted, state)
            if trouble:
                troubles.append(trouble)
                self._job.say(f"{trouble}; going on with the others")
        return troubles

    def troubles(self) -> list[str]:
        """What the ledger says could not be left, by whatever process."""
        return [line["cause"] for line in read_lines(self._ledger) if line["event"] == "left" and line.get("cause")]

    def _enter(self, at: int, wanted: Manager) -> None:
        self._note(at, "entering")
        what = f"the context manager {wanted.use}"
        self._job.say(f"Entering {wanted.use}.")
        try:
            with time_limit(wanted.timeout_s, lambda: self._hang(at, wanted, "entered")):
                manager = load(wanted.use)(self._job, **wanted.options)
                manager.__enter__()
        except TooLate:
            self._note(at, "left")
            raise PhaseError(f"{what} was not entered within its time limit of {wanted.timeout_s:g} s") from None
        except RunyardError as error:
            self._note(at, "left")
            raise PhaseError(f"{what} cannot be entered: {error}") from error
        except Exception as error:  # whatever a plug-in raises, it is the run's cause and no crash of ours
            traceback.print_exc()
            self._note(at, "left")
            raise PhaseError(f"{what} cannot be entered: {type(error).__name__}: {error}") from error
        self._live[at] = manager
        self._note(at, "entered", state=_fit(getattr(manager, "state", {})))

    def _leave(self, at: int, wanted: Manager, state: dict[str, Any]) -> str:
        """Leave one; what went wrong, as a sentence, or nothing."""
        self._note(at, "leaving")
        self._job.say(f"Leaving {wanted.use}.")
        trouble = ""
        try:
            with time_limit(wanted.timeout_s, lambda: self._hang(at, wanted, "left")):
                self._revived(at, wanted, state).__exit__(None, None, None)
        except TooLate:
            trouble = f"the context manager {wanted.use} was not left within its time limit of {wanted.timeout_s:g} s"
        except RunyardError as error:
            trouble = f"the context manager {wanted.use} could not be left: {error}"
        except Exception as error:  # noqa: BLE001 - whatever a plug-in raises, the others are left all the same
            traceback.print_exc()
            trouble = f"the context manager {wanted.use} could not be left: {type(error).__name__}: {error}"
        self._note(at, "left", cause=trouble)
        return trouble

    def _revived(self, at: int, wanted: Manager, state: dict[str, Any]) -> AbstractContextManager[Any]:
        live = self._live.pop(at, None)
        if live is not None:
            return live
        manager: Any = load(wanted.use)(self._job, **wanted.options)
        if state:
            manager.state = state
        revived: AbstractContextManager[Any] = manager
        return revived

    def _hang(self, at: int, wanted: Manager, how: str) -> None:
        # In another thread; the main one hangs and cannot be ended.
        cause = f"the context manager {wanted.use} hangs: it was not {how} within {wanted.timeout_s:g} s and cannot be ended"
        self._note(at, "left", cause=cause)
        self._on_hang(cause)

    def _entered(self) -> list[tuple[int, dict[str, Any], int]]:
        """(index, state, how often leaving has begun) of each that is not left, in order."""
        found: dict[int, tuple[dict[str, Any], int]] = {}
        for line in read_lines(self._ledger):
            at, event = line["at"], line["event"]
            state, tries = found.get(at, ({}, 0))
            if event == "left":
                found.pop(at, None)
            elif event == "leaving":
                found[at] = (state, tries + 1)
            else:
                found[at] = (line.get("state") or {}, 0)
        return [(at, *found[at]) for at in sorted(found) if at < len(self._wanted)]

    def _note(self, at: int, event: str, **values: Any) -> None:
        append_line(self._ledger, {"at": at, "event": event} | values)


def load(use: str) -> Any:
    """The class that `use` names: one of ours, an entry point, or module:Class. Raises PhaseError."""
    target = BUILT_IN.get(use, use)
    if ":" not in target:
        points = importlib.metadata.entry_points(group=ENTRY_POINTS)
        if target not in points.names:
            known = ", ".join(sorted({*BUILT_IN, *points.names}))
            raise PhaseError(f"there is no such context manager; it has to be module:Class or one of {known}")
        return points[target].load()
    module_name, _, class_name = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ModuleNotFoundError as error:
        raise PhaseError(f"the module {error.name!r} cannot be found; looked in {os.pathsep.join(sys.path[:2])}, …") from error
    except AttributeError as error:
        raise PhaseError(f"the module {module_name!r} has no {class_name!r}") from error


def _fit(state: Any) -> dict[str, Any]:
    """The state as JSON keeps it; raises PhaseError where it cannot."""
    try:
        kept: dict[str, Any] = json.loads(json.dumps(state or {}))
    except (TypeError, ValueError) as error:
        raise PhaseError(f"its state is not fit for JSON: {error}") from error
    return kept
