"""Says at once when a file appears or is renamed: watchdog's inotify observer, limited to that, so that appends cost nothing.

Reads the kernel's events; writes nothing. Events are a hint, no more: their queue overflows and their watches run out, so
whoever uses this also scans the folders now and then.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Sequence

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

_WANTED: list[type[FileSystemEvent]] = [FileCreatedEvent, FileMovedEvent, DirCreatedEvent, DirMovedEvent]
# A folder that is made while a watch begins is met twice, by watchdog's walk and by its event. No harm, and nothing for the
# terminal of whoever started the run.
warnings.filterwarnings("ignore", "Callback with id .* already exists", RuntimeWarning)
# Beyond so many names a scan is cheaper.
MAX_NAMES = 2000


class Arrivals(FileSystemEventHandler):
    """`wake` is set when there is something to take. Events come in watchdog's thread, all else belongs to one thread."""

    def __init__(self, run_dir: str, say: Callable[[str], None]) -> None:
        self.wake = threading.Event()
        self.is_blind = False
        self._run_dir = run_dir
        self._say = say
        self._names: set[str] = set()
        self._needs_scan = False
        self._lock = threading.Lock()
        self._watches: dict[str, tuple[int, ObservedWatch]] = {}
        self._observer: BaseObserver | None = None

    def watch(self, roots: Sequence[str]) -> None:
        """Watch those of the folders that exist; call it now and then, they come and go."""
        for root in roots:
            try:
                inode = os.lstat(f"{self._run_dir}/{root}").st_ino
            except OSError:
                continue
            known = self._watches.get(root)
            if self.is_blind or (known is not None and known[0] == inode):
                continue
            try:
                self._watch(root, inode)
            except OSError as error:
                self.blind(f"inotify cannot be used ({error.strerror})")

    def take(self) -> tuple[set[str], bool]:
        """(names of files that came or were renamed since the last call, whether a scan is needed to find more)."""
        self.wake.clear()
        with self._lock:
            result = self._names, self._needs_scan
            self._names, self._needs_scan = set(), False
        return result

    def blind(self, why: str) -> None:
        """Events cannot be relied on; new files are found by scanning. Said once."""
        if not self.is_blind:
            self.is_blind = True
            self._say(f"{why}; new files are found by scanning the folders, a little later")

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called by watchdog."""
        prefix = f"{self._run_dir}/"
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        with self._lock:
            if event.is_directory or len(self._names) > MAX_NAMES:
                self._needs_scan = True
            else:
                self._names.update(path.removeprefix(prefix) for path in paths)
        self.wake.set()

    def _watch(self, root: str, inode: int) -> None:
        if self._observer is None:
            self._observer = Observer()
            self._observer.start()
        known = self._watches.pop(root, None)
        if known is not None:
            self._observer.unschedule(known[1])
        watch = self._observer.schedule(self, f"{self._run_dir}/{root}", recursive=True, event_filter=_WANTED)
        self._watches[root] = (inode, watch)
