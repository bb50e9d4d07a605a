"""Ships all of a node's spool: every run whose lock is free, several at once, each in a thread of its own.

Reads from and writes to the runs' folders through their shippers; says what happens through a structlog logger. Whatever is
wrong with one run's folder is one sentence about that run; the others go on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent.launch import ensure_shepherd, reap
from runyard.agent.owner import acting_for_owner
from runyard.agent.spool import SpoolLock
from runyard.atomic import read_json
from runyard.errors import RunyardError
from runyard.settings import Settings

from .shipper import Shipper

# Runs that are shipped at the same time; each costs a thread, a connection and up to MAX_OPEN descriptors.
WATCHED_AT_ONCE = 64
SHEPHERD_CHECK_S = 1.0
# After something unforeseen in one run's folder.
PAUSE_S = 30.0


class Adopted:
    """A run that this process ships: it holds the spool's lock from `adopt` until its thread has ended."""

    def __init__(self, run_dir: Path, lock: SpoolLock, shipper: Shipper) -> None:
        self.run_dir = run_dir
        self.run_id = run_dir.name
        self.shipper = shipper
        self.failure = ""
        self._lock = lock
        self._thread: threading.Thread | None = None

    def start(self, stop: threading.Event, **how: Any) -> None:
        """Ship in a thread; `how` goes to Shipper.run."""
        self._thread = threading.Thread(target=self._run, args=(stop, how), name=f"ship {self.run_id}", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout_s: float | None = None) -> None:
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self, stop: threading.Event, how: dict[str, Any]) -> None:
        try:
            with acting_for_owner(self.run_dir):
                self.shipper.run(stop, **how)
        except Exception as error:  # noqa: BLE001 - whatever one run's folder holds, the other runs must go on
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            self._lock.release()


def unfinished(spool_dir: Path) -> Iterator[Path]:
    """The folders of runs that are not wholly shipped."""
    return _runs(spool_dir, is_shipped=False)


def finished(spool_dir: Path) -> Iterator[Path]:
    """The folders of runs that are wholly shipped."""
    return _runs(spool_dir, is_shipped=True)


def _runs(spool_dir: Path, *, is_shipped: bool) -> Iterator[Path]:
    """A folder without run.json is no run."""
    try:
        with os.scandir(spool_dir) as entries:
            folders = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for folder in map(Path, folders):
        with suppress(OSError):  # another user's folder, or one that has just vanished
            if (folder / names.RUN_FILE).exists() and (folder / names.SHIPPED_FILE).exists() == is_shipped:
                yield folder


def why_broken(run_dir: Path) -> str:
    """What is wrong with a run's run.json, as a sentence; empty where nothing is."""
    path = run_dir / names.RUN_FILE
    try:
        run = read_json(str(path))
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if not isinstance(run, dict) or not all(isinstance(run.get(key), str) for key in ("run_id", "run_token", "node_id")):
        return f"{path} is not the description of a run; the folder is left alone"
    return ""


def adopt(run_dir: Path, settings: Settings, say: Callable[[str], None], *, token: str = "") -> Adopted | None:
    """Take the run's lock; None where somebody else ships it or it has just been finished. Raises OSError.

    `say` is given the sentences of the shipper's `on_trouble`; `token` is for registering the run, empty: the settings'.
    """
    token = token or settings.token  # before the lock: the token's file may have become unreadable
    lock = SpoolLock(run_dir)
    if not lock.acquire():
        return None
    if (run_dir / names.SHIPPED_FILE).exists():
        lock.release()
        return None
    shipper = Shipper(run_dir, settings.client.collector_url, token, settings.ship, on_trouble=say)
    return Adopted(run_dir, lock, shipper)


class Watch:
    """`run` adopts and ships until it is told to stop. `token` gives what runs are registered with, where not the settings';
    `start` starts a run's shepherd if there is none, and raises OSError where the folder is in the way of that."""

    def __init__(
        self,
        spool_dir: Path,
        settings: Settings,
        log: Any,
        *,
        token: Callable[[], str] = lambda: "",
        start: Callable[[str], object] = ensure_shepherd,
    ) -> None:
        self._spool_dir = spool_dir
        self._settings = settings
        self._log = log
        self._token = token
        self._start = start
        self._active: dict[Path, Adopted] = {}
        self._not_before_s: dict[Path, float] = {}
        self._look = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Blocks. When `stop` is set every shipper finishes its step, and the locks are given up."""
        self._log.info("watching the spool", spool=str(self._spool_dir), collector=self._settings.client.collector_url)
        checked_s = 0.0
        while not stop.is_set():
            self._reap()
            self._adopt_free(stop)
            if time.monotonic() - checked_s >= SHEPHERD_CHECK_S:
                checked_s = time.monotonic()
                for adopted in self._active.values():
                    if not adopted.shipper.is_over:
                        self._ensure_shepherd(adopted)
            self._look.wait(min(SHEPHERD_CHECK_S, self._settings.ship.scan_interval_s))
            self._look.clear()
        for adopted in self._active.values():
            adopted.join()
        self._reap()
        self._log.info("stopped", unfinished=len(list(unfinished(self._spool_dir))))

    def look(self) -> None:
        """Look at once: there is a new spool, or `stop` was set. From any thread."""
        self._look.set()

    def is_given_up(self, run_dir: Path) -> bool:
        """Whether the collector will never take this run, so that nothing is left to be shipped. From any thread."""
        return self._not_before_s.get(run_dir) == float("inf")

    def _adopt_free(self, stop: threading.Event) -> None:
        for run_dir in unfinished(self._spool_dir):
            if run_dir in self._active or len(self._active) >= WATCHED_AT_ONCE:
                continue
            if time.monotonic() < self._not_before_s.get(run_dir, 0.0):
                continue
            adopted = None
            try:
                with acting_for_owner(run_dir):
                    why = why_broken(run_dir)
                    if not why:
                        adopted = adopt(run_dir, self._settings, self._speaker(run_dir.name), token=self._token())
            except OSError as error:
                why = f"{run_dir} cannot be locked: {error.strerror}"
            except RunyardError as error:
                why = str(error)
            if why:
                self._leave(run_dir, why)
            elif adopted is not None:
                self._log.info("shipping", run_id=adopted.run_id)
                self._active[run_dir] = adopted
                self._ensure_shepherd(adopted)
                adopted.start(stop)

    def _speaker(self, run_id: str) -> Callable[[str], None]:
        return lambda sentence: self._log.warning(sentence, run_id=run_id)

    def _ensure_shepherd(self, adopted: Adopted) -> None:
        try:
            self._start(str(adopted.run_dir))
        except Exception as error:  # noqa: BLE001 - one run's broken folder must not end the watch over the others
            self._log.warning(f"the shepherd cannot be started: {error}", run_id=adopted.run_id)

    def _reap(self) -> None:
        reap()
        for run_dir, adopted in list(self._active.items()):
            if adopted.is_running:
                continue
            del self._active[run_dir]
            if adopted.shipper.is_done:
                self._log.info("shipped", run_id=adopted.run_id, bytes=adopted.shipper.progress_bytes)
            elif adopted.shipper.is_refused:
                # Nothing that this process could do will change it; the next start tries once more.
                self._not_before_s[run_dir] = float("inf")
            elif adopted.failure:
                self._leave(run_dir, f"shipping failed: {adopted.failure}")

    def _leave(self, run_dir: Path, why: str) -> None:
        self._not_before_s[run_dir] = time.monotonic() + PAUSE_S
        self._log.error(why, run_id=run_dir.name)
