"""Removes from the node what nobody needs any more: spools of runs that the collector has whole, and caches that are not used.

Reads the spool, the caches and how much room the disk has; removes folders. Spools go oldest first, at an age, or at once while
the disk has less room than it should. A venv or snapshot that a run begins to use, or that one of this node's runs has in use,
is marked as used by the time of a file; removing takes the lock that its builders take.
What survives a crash: a spool is renamed before its first file goes, and what has such a name is removed by the next look.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runyard import names
from runyard.settings import Settings

from .cache_retention import Caches
from .mounts import mounted_below
from .orphans import is_free
from .owner import acting_for_owner
from .spool import SpoolLock

# When the collector will have told what this node is to have.
FIRST_LOOK_S = 2.0
LOOK_S = 30.0
# A cache costs a walk over all that is in it.
CACHE_LOOK_S = 3600.0
REMOVED = ".removed."


@dataclass(frozen=True, slots=True)
class Spool:
    """A run's folder of which the collector has everything."""

    run_dir: Path
    shipped_s: float


class Retention:
    """Belongs to one thread. `may_go`: whether nobody on the node has anything to do with the run any more; `forget` is told
    of each folder that is gone."""

    def __init__(
        self,
        spool_dir: Path,
        settings: Settings,
        log: Any,
        *,
        may_go: Callable[[Path], bool] = lambda run_dir: True,
        forget: Callable[[Path], None] = lambda run_dir: None,
    ) -> None:
        self._spool_dir = spool_dir
        self._settings = settings.agent
        self._log = log
        self._may_go = may_go
        self._forget = forget
        self._caches = Caches(spool_dir, settings, log)
        self._next_caches_s = 0.0
        self._said: dict[str, str] = {}

    def run(self, stop: Any) -> None:
        """Looks now and then until `stop` (an event) is set."""
        stop.wait(FIRST_LOOK_S)
        while not stop.is_set():
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - whatever it is, the runs go on
                self._say("", f"old runs cannot be looked for: {type(error).__name__}: {error}")
            stop.wait(LOOK_S)

    def look(self) -> None:
        """One look; removes what is to go now."""
        self._finish()
        spools = sorted(_shipped(self._spool_dir), key=lambda spool: (spool.shipped_s, spool.run_dir))
        now_s, keep_s = time.time(), self._settings.keep_shipped_s
        for spool in spools:
            if now_s - spool.shipped_s > keep_s:
                self._remove(spool, "it was shipped long enough ago")
            elif self._is_short():
                self._remove(spool, "the disk has too little room")
        if time.monotonic() >= self._next_caches_s:
            self._next_caches_s = time.monotonic() + CACHE_LOOK_S
            self._caches.look()

    def _is_short(self) -> bool:
        found = os.statvfs(self._spool_dir)
        return found.f_bavail * found.f_frsize < self._settings.keep_free_bytes

    def _remove(self, spool: Spool, why: str) -> None:
        run_dir = spool.run_dir
        if not self._may_go(run_dir):
            return
        try:
            with acting_for_owner(run_dir):
                is_ours = is_free(run_dir / names.SHEPHERD_LOCK)
                lock = SpoolLock(run_dir)
                if not is_ours or not lock.acquire():
                    return  # somebody is still at it
            try:
                trouble = self._removed(run_dir)
            finally:
                lock.release()
        except OSError as error:
            trouble = f"{run_dir} cannot be removed: {error.strerror}"
        if trouble:
            self._say(run_dir.name, trouble)
        else:
            self._log.info("the spool of a run is removed", run=run_dir.name, why=why)
            self._forget(run_dir)

    def _removed(self, run_dir: Path) -> str:
        """Why it cannot be removed; empty where it is."""
        mounts = mounted_below(run_dir)
        if mounts:  # to remove what is mounted would remove it from where it comes
            return f"{run_dir} is not removed: {mounts[0]} is mounted in it"
        doomed = run_dir.with_name(REMOVED + run_dir.name)
        run_dir.rename(doomed)
        return _gone(doomed)

    def _finish(self) -> None:
        """What a kill has left in the middle."""
        for doomed in self._spool_dir.glob(f"{REMOVED}*"):
            if doomed.is_dir() and not doomed.is_symlink() and not mounted_below(doomed) and (trouble := _gone(doomed)):
                self._say(doomed.name, trouble)

    def _say(self, about: str, trouble: str) -> None:
        if self._said.get(about) != trouble:
            self._said[about] = trouble
            self._log.warning(trouble)


def _gone(doomed: Path) -> str:
    with suppress(OSError):
        (doomed / names.RUN_FILE).unlink()  # first: without it the folder is no run
    try:
        shutil.rmtree(doomed)
    except OSError as error:
        return f"{doomed} cannot be removed whole: {error.strerror}; it is tried again"
    return ""


def _shipped(spool_dir: Path) -> Iterator[Spool]:
    """The spools of which everything is sealed and told; of a run with several attempts all or none."""
    attempts: dict[str, list[Path]] = {}
    for folder in _folders(spool_dir):
        attempts.setdefault(names.attempt_of_dir(folder.name)[0], []).append(folder)
    for folders in attempts.values():
        times: list[float] = []
        for folder in folders:
            with suppress(OSError), acting_for_owner(folder):
                times.append((folder / names.SHIPPED_FILE).lstat().st_mtime)
        if len(times) == len(folders):
            yield from (Spool(folder, max(times)) for folder in folders)


def _folders(spool_dir: Path) -> Iterator[Path]:
    with os.scandir(spool_dir) as entries:
        found = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    for folder in found:
        if folder.name.startswith("."):
            continue
        is_run = False
        with suppress(OSError), acting_for_owner(folder):
            is_run = (folder / names.RUN_FILE).exists()
        if is_run:
            yield folder
