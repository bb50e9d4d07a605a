"""Copies what one log gains into another: what the sidecar's preparation prints is also a part of 65.

Reads `source`, appends to `target`, keeps what it is about to append in `mark`. What survives a kill -9: every byte, once. An
append is announced before it is made; the next copier looks whether it happened. A thread of its own.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from runyard import names
from runyard.atomic import read_json, write_json

CHUNK_BYTES = 64 << 10
LOOK_S = 0.05


class Copy:
    """Copies from `start` on until `close`; `flush` copies all there is before it returns."""

    def __init__(self, source: Path, target: Path, mark: Path) -> None:
        for path in (source, target):
            path.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        self._source = os.open(source, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        self._target = os.open(target, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        self._mark = str(mark)
        self._position = self._recovered()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Copy what there is now. A full disk keeps the rest back, as it does for every log."""
        with self._lock, suppress(OSError):
            while self._step():
                pass

    def close(self) -> None:
        """Copy what there is, and stop."""
        self._stop.set()
        self._thread.join()
        self.flush()
        os.close(self._source)
        os.close(self._target)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.flush()

    def _step(self) -> bool:
        chunk = os.pread(self._source, CHUNK_BYTES, self._position)
        if not chunk:
            return False
        mark = {"from": self._position, "length": len(chunk), "at": os.fstat(self._target).st_size}
        write_json(self._mark, mark, durable=False)
        view = memoryview(chunk)
        while view:
            view = view[os.write(self._target, view) :]
        self._position += len(chunk)
        return True

    def _recovered(self) -> int:
        mark = read_json(self._mark)
        if not isinstance(mark, dict):
            return 0
        chunk = os.pread(self._source, mark["length"], mark["from"])
        behind = os.pread(self._target, len(chunk) + CHUNK_BYTES, mark["at"])
        if chunk.startswith(behind):  # a kill can cut a write
            return int(mark["from"]) + len(behind)
        # Others append to the target, too: the chunk may lie a little behind where the target's end was.
        return int(mark["from"]) + (len(chunk) if chunk in behind else 0)
