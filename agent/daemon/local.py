"""Which runs of the queue are in this node's spool, and how far they are. Reads run.json and state.json; asks runs to end.

Run and state are read again only where they have changed: an idle node looks at its spool every second.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent.owner import acting_for_owner
from runyard.agent.stop import DEFAULT_GRACE_S, read_stop, request_stop
from runyard.atomic import read_json

from .reconcile import FINAL, FINALIZING, STARTING, STATUSES, Key, LocalRun

_Mark = tuple[int, int, int]
# Runs whose folders are gone that are remembered: the collector counts none of them for longer than a moment.
MOST_GONE = 1000


class LocalRuns:
    """`look` before anything else; belongs to one thread. `is_given_up`: whether nothing of a run can be shipped any more;
    `is_clean`: whether the node is free of a run that has ended."""

    def __init__(self, spool_dir: Path, is_given_up: Callable[[Path], bool], is_clean: Callable[[Path], bool]) -> None:
        self._spool_dir = spool_dir
        self._is_given_up = is_given_up
        self._is_clean = is_clean
        self._runs: dict[str, dict[str, Any] | None] = {}  # by folder; None: not of the queue
        self._states: dict[str, tuple[_Mark, dict[str, Any]]] = {}
        self._over: dict[str, LocalRun] = {}
        self._last: dict[Key, LocalRun] = {}
        self._gone: dict[Key, LocalRun] = {}  # their folders were removed
        self._stopping: set[str] = set()
        self._folders: dict[Key, Path] = {}

    def look(self) -> list[LocalRun]:
        """All runs of the queue that are here, by folder. Raises OSError where the spool cannot be read."""
        with os.scandir(self._spool_dir) as entries:
            there = sorted(one.name for one in entries if one.is_dir(follow_symlinks=False) and not one.name.startswith("."))
        for name in set(self._runs) - set(there):
            self._forget(name)
        found = list(self._gone.values())
        for name in there:
            run = self._known(name)
            if run is not None:
                found.append(self._over.get(name) or self._look_at(name, run))
        self._last = {run.key: run for run in found}
        return found

    def stop(self, key: Key, reason: str) -> None:
        """Ask the run to end, as somebody who cancels it. Raises OSError."""
        folder = self._folders[key]
        run = self._runs[folder.name] or {}
        with acting_for_owner(folder):
            request_stop(str(folder), signal.SIGTERM, _grace_s(run), reason)
        self._stopping.add(folder.name)

    def folders(self) -> dict[Key, Path]:
        """Where each of them is; a copy."""
        return dict(self._folders)

    def _known(self, name: str) -> dict[str, Any] | None:
        if name in self._runs:
            return self._runs[name]
        folder = self._spool_dir / name
        try:
            with acting_for_owner(folder):
                run = read_json(str(folder / names.RUN_FILE))
        except OSError:
            return None  # gone meanwhile, or not to be read now: looked at again
        if not isinstance(run, dict):
            return None
        if not isinstance(run.get("placement"), dict):
            self._runs[name] = None
            return None
        self._runs[name] = run
        self._folders[names.attempt_of_dir(name)] = folder
        return run

    def _look_at(self, name: str, run: dict[str, Any]) -> LocalRun:
        folder = self._spool_dir / name
        try:
            with acting_for_owner(folder):
                state = self._state(name, folder)
                is_shipped = bool(state.get("ended_ns")) and (folder / names.SHIPPED_FILE).exists()
                if name not in self._stopping and read_stop(str(folder)) is not None:
                    self._stopping.add(name)
        except OSError:  # for a moment, or for good; it is here all the same
            state, is_shipped = self._states.get(name, ((0, 0, 0), {}))[1], False
        is_ended = bool(state.get("ended_ns"))
        is_over = is_ended and (is_shipped or self._is_given_up(folder)) and self._is_clean(folder)
        status = state["status"] if state.get("status") in STATUSES else STARTING
        run_id, attempt = names.attempt_of_dir(name)
        found = LocalRun(
            run_id=run_id,
            attempt=attempt,
            status=FINALIZING if status in FINAL and not is_over else status,
            is_ended=is_ended,
            is_over=is_over,
            is_stopping=name in self._stopping,
            gpus=_gpus(run),
        )
        if is_over:
            self._over[name] = found
        return found

    def _state(self, name: str, folder: Path) -> dict[str, Any]:
        try:
            status = (folder / names.STATE_FILE).stat()
        except FileNotFoundError:
            return {}
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._states.get(name)
        if known is not None and known[0] == mark:
            return known[1]
        value = read_json(str(folder / names.STATE_FILE))
        state = {key: value.get(key) for key in ("status", "ended_ns")} if isinstance(value, dict) else {}
        self._states[name] = (mark, state)
        return state

    def _forget(self, name: str) -> None:
        """A folder has gone. As long as this agent lives, its run is over, and is not started once more."""
        self._runs.pop(name)
        self._states.pop(name, None)
        self._over.pop(name, None)
        self._stopping.discard(name)
        for key in [key for key, folder in self._folders.items() if folder.name == name]:
            del self._folders[key]
            if key in self._last:
                self._gone[key] = replace(self._last[key], is_ended=True, is_over=True, gpus=())
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]


# What a run's folder says is its user's word: it may be anything, and stays that run's matter.


def _grace_s(run: dict[str, Any]) -> float:
    found = run.get("grace_s")
    return float(found) if isinstance(found, (int, float)) and found > 0 else DEFAULT_GRACE_S


def _gpus(run: dict[str, Any]) -> tuple[int, ...]:
    found = run["placement"].get("gpus")
    return tuple(gpu for gpu in found if isinstance(gpu, int)) if isinstance(found, list) else ()
