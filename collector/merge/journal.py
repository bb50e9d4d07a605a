"""What has been merged, so that after a kill -9 every line is there exactly once.

Reads from and writes to <data_dir>/merge/<run id>.journal: records, each its length, its CRC-32, MessagePack. A batch's bytes
are appended to the run-level files first and its record here second: bytes that no record tells of are cut off before anybody
sees them, and their lines are merged again. A record holds only what the batch changed.
After kill -9 the page cache keeps that order. After a power cut nothing keeps it: the first record names the boot in which it
was written, and a journal of an earlier boot counts for nothing; the run is merged anew from its streams, which are durable.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

import msgspec

from runyard.collector.store import Store

_HEAD = struct.Struct("<II")
# A journal that has grown so long, and many times as long as what it says, is written anew.
LONG_BYTES = 8 << 20


class Output(msgspec.Struct, array_like=True):
    """A run-level file: its key, its size, and the youngest time in it."""

    key: str
    size: int = 0
    last_ns: int = 0


class State(msgspec.Struct):
    """How far a run has been merged. `written` is, for each stream, up to where each of its lanes is in the files."""

    boot_id: str = ""
    outputs: dict[str, Output] = {}
    written: dict[int, list[int]] = {}
    is_over: bool = False


class Journal:
    """The journal of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = State()
        self._file = -1
        self._size = 0

    def load(self) -> bool:
        """Reads it; False where there is none that counts."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return False
        position, state = 0, State()
        while (record := _record(data, position)) is not None:
            position += _HEAD.size + len(record)
            _fold(state, msgspec.msgpack.decode(record, type=State))
        if state.boot_id != boot_id() or not state.outputs:
            self.state = State(outputs={kind: Output(output.key) for kind, output in state.outputs.items()})
            return False
        self.state, self._size = state, position
        return True

    def begin(self, outputs: dict[str, str]) -> None:
        """Starts at nothing."""
        self.state = State(boot_id(), {kind: Output(key) for kind, key in outputs.items()})
        self._rewrite()

    def add(self, changed: State) -> None:
        """A batch is in the files: `changed` holds what is new. Raises OSError."""
        _fold(self.state, changed)
        if self._size > LONG_BYTES + 64 * len(self.state.written):
            self._rewrite()
            return
        if self._file < 0:
            self._file = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            os.ftruncate(self._file, self._size)
        record = _packed(changed)
        if os.pwrite(self._file, record, self._size) != len(record):  # what is told behind a torn record is never read
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        self._size += len(record)

    def _rewrite(self) -> None:
        record = _packed(self.state)
        new = self.path.with_suffix(".new")
        self.close()
        with new.open("wb") as file:
            file.write(record)
        new.replace(self.path)
        self._size = len(record)

    def close(self) -> None:
        """Close its file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def cut(self, store: Store) -> int:
        """Cuts the files to what is told here; how many bytes were too many. Raises StoreError."""
        untold_bytes = 0
        for output in self.state.outputs.values():
            size = store.size(output.key)
            if size > output.size:
                store.cut(output.key, output.size)
                untold_bytes += size - output.size
        return untold_bytes


def _packed(state: State) -> bytes:
    data = msgspec.msgpack.encode(state)
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def _record(data: bytes, position: int) -> bytes | None:
    if position + _HEAD.size > len(data):
        return None
    length, crc = _HEAD.unpack_from(data, position)
    record = data[position + _HEAD.size : position + _HEAD.size + length]
    return record if len(record) == length and zlib.crc32(record) == crc else None


def _fold(state: State, changed: State) -> None:
    state.boot_id = changed.boot_id or state.boot_id
    state.outputs.update(changed.outputs)
    state.written.update(changed.written)
    state.is_over = state.is_over or changed.is_over


def boot_id() -> str:
    """Names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
