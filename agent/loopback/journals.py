"""The journals of a run on this node, read and written by the loopback server.

Writes to .runyard/tracking/loopback.jsonl, one file whichever process of the server writes it, so that its lines are applied in
the order in which they came about; reads that and every other journal of the run's attempts on this node. A record is in the
kernel when `append` returns: that survives a kill -9 of the server, and of whoever else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from runyard import names
from runyard.tracking import records

NAME = f"loopback{names.TRACKING_SUFFIX}"


class Journals:
    """The folders of the run's attempts; the last one is this attempt's."""

    def __init__(self, run_dir: Path, run_id: str, attempt: int) -> None:
        folders = [run_dir.parent / names.attempt_dir(run_id, number) for number in range(attempt)]
        self.attempts = [*(folder for folder in folders if folder.is_dir()), run_dir]
        self._own = run_dir / names.TRACKING_DIR / NAME
        self._offsets: dict[Path, int] = {}  # up to which each journal was read
        self._descriptor = -1
        self._is_torn = False  # the last line has no end

    def append(self, new: Sequence[records.Record]) -> None:
        """Write the records down. Raises OSError where the disk does not take all of them: those whose lines are whole are
        there, and `news` gives them."""
        data = b"".join(records.encoder.encode(record) + b"\n" for record in new)
        if self._descriptor < 0:
            self._open()
        if self._is_torn:
            os.write(self._descriptor, b"\n")
            self._is_torn = False
        written = os.write(self._descriptor, data)
        if written < len(
            data
        ):  # its last line is cut, and ends before the next one: what was shipped already is never taken back
            self._is_torn = True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._offsets[self._own] = os.fstat(self._descriptor).st_size

    def earlier(self) -> Iterator[records.Record]:
        """What the attempts before this one have recorded on this node."""
        return self._news(self.attempts[:-1])

    def news(self) -> Iterator[records.Record]:
        """What was appended to any of this attempt's journals since the last time, each journal in its order."""
        return self._news(self.attempts[-1:])

    def _news(self, attempts: Sequence[Path]) -> Iterator[records.Record]:
        for path in _paths(attempts):
            known = self._offsets.get(path, 0)
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                continue
            if size <= known:
                continue
            for line in self._lines(path):
                yield from _decoded(line)

    def points(self, run: str, own: str, name: str) -> Iterator[records.Metric]:
        """Every point of a metric in all journals. Blocks: it reads them from their beginning."""
        quoted = (
            msgspec.json.encode(name) if name.isascii() and name.isprintable() else b""
        )  # others are written in several ways
        for path in _paths(self.attempts):
            with path.open("rb") as file:
                for line in file:
                    if quoted not in line or not line.endswith(b"\n"):
                        continue
                    for record in _decoded(line):
                        if isinstance(record, records.Metric) and record.name == name and (record.run or own) == run:
                            yield record

    def _lines(self, path: Path) -> Iterator[bytes]:
        """The whole lines beyond what is known."""
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offsets[path] = self._offsets.get(path, 0) + len(line)
                yield line

    def close(self) -> None:
        """Nothing more is written."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self._own.parent.mkdir(names.DIR_MODE, exist_ok=True)
        self._descriptor = os.open(self._own, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, names.FILE_MODE)
        size = os.fstat(self._descriptor).st_size  # the last server may have been killed within a line
        self._is_torn = bool(size) and os.pread(self._descriptor, 1, size - 1) != b"\n"


def _paths(attempts: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in attempts:
        try:
            found += sorted((folder / names.TRACKING_DIR).glob(f"*{names.TRACKING_SUFFIX}"))
        except OSError:  # an attempt that was removed meanwhile
            continue
    return found


def _decoded(line: bytes) -> list[records.Record]:
    try:
        return [records.decoder.decode(line)]
    except msgspec.MsgspecError:  # whoever wrote it hears of it from the collector
        return []
