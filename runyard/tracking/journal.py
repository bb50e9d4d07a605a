"""Writing a journal: one file for each process, appended to by the process itself. Standard library only.

Writes to <folder>/<pid>-<random>.jsonl. What survives a kill -9 of the process: every record whose `append` has returned, since
it is in the kernel then. Nothing is sent from here; whoever ships the run's spool does that, when the collector is there.
"""

from __future__ import annotations

import os

from runyard.names import DIR_MODE, FILE_MODE, TRACKING_SUFFIX


class Journal:
    """Appends whole lines. May be used from any thread, and after a fork: the child gets a file of its own."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pid = 0
        self._descriptor = -1
        self.path = ""  # empty until the first record

    def append(self, lines: bytes) -> None:
        """Write one or more whole lines; they are in the kernel when this returns. Raises OSError where the disk is full."""
        if self._pid != os.getpid():
            self._open()
        os.write(self._descriptor, lines)

    def _open(self) -> None:
        os.makedirs(self._folder, DIR_MODE, exist_ok=True)
        self._pid = os.getpid()
        self.path = os.path.join(self._folder, f"{self._pid}-{os.urandom(4).hex()}{TRACKING_SUFFIX}")
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
