"""Removes snapshots and built venvs that no run has used for long from the node's caches.

Reads the settings and, for caches of other users, the runs in the spool; removes files of the caches. A cache may be shared by
several nodes: what one of this node's runs has in use is marked as used at each look, whoever else would remove it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json
from runyard.settings import Settings

from .owner import acting_for_owner

SNAPSHOTS, SNAPSHOT_SUFFIX = "snapshots", ".tar"
VENVS, VENV_MARK = "venvs", "complete.json"
_IMAGE_RESULT = names.phase_dir("image") + "/result.json"


class Caches:
    """Belongs to one thread."""

    def __init__(self, spool_dir: Path, settings: Settings, log: Any) -> None:
        self._spool_dir = spool_dir
        self._own = Path(settings.environment.cache_dir).expanduser().absolute()
        self._keep_s = settings.agent.keep_cache_s
        self._log = log

    def look(self) -> None:
        """Mark what is in use, and remove what was not used for long."""
        roots = {}  # each cache and the folder whose owner's it is, as far as that user may
        for run_dir, run in _runs(self._spool_dir):
            roots[Path(run["cache_dir"])] = run_dir
            with suppress(OSError, ValueError, TypeError, AttributeError), acting_for_owner(run_dir):
                _mark_used(run_dir, run)
        with suppress(OSError):  # users' parts of a cache that all share
            own = [path for path in self._own.iterdir() if (path / SNAPSHOTS).is_dir() or (path / VENVS).is_dir()]
            roots |= {path: path for path in own}
        roots[self._own] = self._own
        for root, of_owner in sorted(roots.items()):
            try:
                with acting_for_owner(of_owner):
                    self._clear(root)
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                self._log.warning(f"the cache {root} cannot be cleared of what is not used: {error}")

    def _clear(self, root: Path) -> None:
        for archive in sorted((root / SNAPSHOTS).glob(f"*{SNAPSHOT_SUFFIX}")):
            lock = archive.with_name(f".{archive.name[:2]}.lock")  # as phases/snapshot.py takes it
            if self._is_old(archive):
                with _held(lock) as is_held:
                    if is_held and self._is_old(archive):
                        archive.unlink()
                        self._log.info("a snapshot is removed from the cache", file=str(archive))
        for venv in sorted(path for path in (root / VENVS).glob("*/") if not path.is_symlink()):
            if self._is_old(venv / VENV_MARK, venv):
                with _held(venv.with_suffix(".lock")) as is_held:  # as phases/venv.py takes it
                    if is_held and self._is_old(venv / VENV_MARK, venv):
                        (venv / VENV_MARK).unlink(missing_ok=True)  # first: without it the rest is no venv to anybody
                        shutil.rmtree(venv)
                        self._log.info("a venv is removed from the cache", folder=str(venv))

    def _is_old(self, *marks: Path) -> bool:
        """By the first of them that is there."""
        for mark in marks:
            with suppress(FileNotFoundError):
                return time.time() - mark.lstat().st_mtime > self._keep_s
        return False


def _runs(spool_dir: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The runs in the spool that have a cache."""
    with os.scandir(spool_dir) as entries:
        folders = [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    for folder in folders:
        run = None
        with suppress(OSError), acting_for_owner(folder):
            run = read_json(str(folder / names.RUN_FILE))
        if isinstance(run, dict) and Path(str(run.get("cache_dir") or "")).is_absolute():
            yield folder, run


def _mark_used(run_dir: Path, run: dict[str, Any]) -> None:
    """Where the run has not ended: its venv, which its processes load modules from at any moment."""
    state = read_json(str(run_dir / names.STATE_FILE))
    if isinstance(state, dict) and state.get("ended_ns"):
        return
    result = read_json(str(run_dir / _IMAGE_RESULT))
    env = ((result or {}).get("data") or {}).get("env") or {}
    venv = Path(str(env.get("VIRTUAL_ENV") or "/"))
    if venv.parent == Path(run["cache_dir"]) / VENVS:
        os.utime(venv / VENV_MARK)


@contextmanager
def _held(lock: Path) -> Iterator[bool]:
    """Whether the lock was free; it is held in the block."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
