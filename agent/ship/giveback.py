"""Gives acknowledged bytes of the drivers' logs back to the disk when the run's quota is half used.

Reads from the logs; writes .runyard/reclaimed.jsonl, then punches holes. What survives a crash: the line with the digest is
durable before the first byte is freed, so the seal can still be told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from runyard.agent.reclaim import BLOCK_BYTES, punch_hole

from .files import Files
from .ledger import Ledger
from .seal import Hasher
from .tail import Tail

# Smaller pieces are not worth a line and a hole; larger ones would keep live lines waiting.
LEAST_BYTES = 64 << 10
MOST_BYTES = 16 << 20


class GiveBack:
    """Belongs to the shipper's thread; `logs` are the names of the drivers' logs, which only ever grow."""

    def __init__(
        self, run_dir: str, quota_bytes: int, logs: Sequence[str], ledger: Ledger, hasher: Hasher, say: Callable[[str], None]
    ) -> None:
        self._run_dir = run_dir
        self._threshold_bytes = quota_bytes // 2
        self._logs = logs
        self._ledger = ledger
        self._hasher = hasher
        self._say = say
        self._can_punch = quota_bytes > 0

    def is_wanted(self) -> bool:
        """Whether the logs take more than half of the quota."""
        return self._can_punch and sum(map(self._used_bytes, self._logs)) > self._threshold_bytes

    def step(self, files: Files) -> int:
        """Give back a piece of each log as far as it is durable at the collector; the bytes given back."""
        return sum(self._give(files, files.by_name[name]) for name in self._logs if name in files.by_name)

    def _used_bytes(self, name: str) -> int:
        try:
            return Path(self._run_dir, name).stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def _give(self, files: Files, tail: Tail) -> int:
        kept_from = self._ledger.kept_from(tail.name)
        start = -(-kept_from // BLOCK_BYTES) * BLOCK_BYTES
        end = min(tail.durable // BLOCK_BYTES * BLOCK_BYTES, start + MOST_BYTES)
        if (
            end - start < LEAST_BYTES
            or tail.is_gone
            or tail.is_leaving
            or tail.untold
            or tail.is_lost
            or tail.name in files.rewritten
        ):
            return 0
        if not files.descriptors.open(tail):
            return 0
        digest = self._hasher.range(tail.fd, start, end)
        if digest is None:
            return 0
        # While it was read, the shepherd may have dropped a part of the range (then the digest is of NULs), or the driver
        # may have truncated the log.
        files.take_losses(*self._ledger.refresh())
        if self._ledger.kept_from(tail.name) != kept_from or tail.durable < end:
            return 0
        return self._punch(tail, start, end, digest)

    def _punch(self, tail: Tail, start: int, end: int, digest: str) -> int:
        writable = os.open(f"{self._run_dir}/{tail.name}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if os.fstat(writable).st_ino != os.fstat(tail.fd).st_ino:
                return 0
            self._ledger.append_reclaimed(tail.name, start, end, digest)
            if not punch_hole(writable, start, end - start):
                self._can_punch = False
                self._say(
                    "this file system cannot free a part of a file: what the collector has stays on the disk until the end"
                )
                return 0
        finally:
            os.close(writable)
        return end - start
