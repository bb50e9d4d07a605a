"""What this node keeps of the collector's memory, in the agent's state folder: in a run's folder its user could write it.

Reads from and writes to `<state_dir>/memory.json` (0600). What survives a crash: what was kept last; what follows from the
collector's word after that is found again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json, write_json
from runyard.errors import SpoolError

from .reconcile import Memory

MEMORY_FILE = "memory.json"


class MemoryStore:
    """Belongs to one thread."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / MEMORY_FILE
        self._kept = Memory()

    def load(self) -> Memory:
        """What is kept; an empty one where there is none. Raises SpoolError."""
        try:
            value = read_json(str(self._path))
        except OSError as error:
            raise SpoolError(f"{self._path} cannot be read: {error.strerror}") from error
        self._kept = _memory(value)
        return self._kept

    def keep(self, memory: Memory) -> None:
        """Durable when this returns; costs nothing where it is kept already. Blocks; raises OSError."""
        if memory == self._kept:
            return
        forgotten = sorted(names.attempt_dir(*key) for key in memory.forgotten)
        write_json(str(self._path), {"epoch": memory.epoch, "forgotten": forgotten})
        self._kept = memory


def _memory(value: Any) -> Memory:
    try:
        return Memory(str(value["epoch"]), frozenset(names.attempt_of_dir(name) for name in value["forgotten"]))
    except (KeyError, TypeError, AttributeError):  # there is none, or it is not whole
        return Memory()
