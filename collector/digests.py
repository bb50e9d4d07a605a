"""SHA-256 of what the collector keeps, read again from its own disk. Reads from the store, in threads of its own."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .store import Store

# Hashing is pure CPU: more threads would take it from ingest.
THREADS = 2
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 of the whole, and of each range that was asked for."""

    whole: str
    ranges: tuple[str, ...]


class Digester:
    """Reads and hashes, for everybody who asks, a few things at a time."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, "digest")

    async def digest(self, store: Store, key: str, ranges: Sequence[tuple[int, int]]) -> Digests | None:
        """The digests of what lies under `key`: ranges side by side, from 0 on. None where there are fewer bytes."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, _digest, store, key, ranges)

    def close(self) -> None:
        """Let the threads go; what is under way is finished first."""
        self._threads.shutdown()


def _digest(store: Store, key: str, ranges: Sequence[tuple[int, int]]) -> Digests | None:
    """In a thread."""
    whole = hashlib.sha256()
    found = []
    for start, end in ranges:
        # With a single range its digest is the whole one's; the bytes are hashed once.
        part = whole if len(ranges) == 1 else hashlib.sha256()
        while start < end:
            data = store.read(key, start, min(READ_BYTES, end - start))
            if not data:
                return None
            part.update(data)
            if part is not whole:
                whole.update(data)
            start += len(data)
        found.append(part.hexdigest())
    return Digests(whole.hexdigest(), tuple(found))
