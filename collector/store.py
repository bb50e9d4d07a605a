"""Where the bytes of streams lie: a small interface, and what can be in the way.

Reads and writes nothing itself; file_store.py does, on plain files. A key is `<experiment>/<run id>/<folder>/<name>`; the size
of what lies under it is the offset that its stream expects next: there is no second truth that could differ after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from runyard.errors import RunyardError


class StoreError(RunyardError):
    """The store cannot be read or written now; trying again may help."""


class StoreFull(StoreError):  # noqa: N818 - the name tells the state
    """No room is left (or the owner's quota is used up)."""


class NameTaken(StoreError):  # noqa: N818
    """A file lies where a folder is needed, or the other way round."""


class NotStored(StoreError):  # noqa: N818
    """Nothing lies under this key."""


class TooLarge(StoreError):  # noqa: N818
    """The file system has no files of that size."""


class Store(Protocol):
    """Appendable bytes by key. `forget`, `write`, `extend`, `blank`, `size`, `read_ready` and `read_recent` belong to the event
    loop's thread and return fast; all others block and may be called from any thread."""

    def place(self, places: Iterable[tuple[str, str | None]]) -> None:
        """For each (key, earlier key): make the key exist, so that it survives a power cut. With an earlier key that does not
        exist yet, what lies under the key gets it first, and the key starts empty. Done again, it changes nothing."""

    def move(self, key: str, to: str) -> None:
        """What lies under `key` lies under `to` from now on, in place of what lay there, and survives a power cut."""

    def remove(self, key: str) -> None:
        """Nothing lies under `key` any more, nor below it (`key`/…); harmless where nothing did."""

    def forget(self, key: str) -> None:
        """What lies under `key` is another thing from now on (belongs to the event loop's thread)."""

    def write(self, key: str, offset: int, piece: memoryview) -> int:
        """Write at `offset`; returns the bytes written, which are fewer only where room ran out in the middle."""

    def extend(self, key: str, size: int) -> None:
        """Make it `size` bytes long; the new ones read as NUL."""

    def blank(self, key: str, start: int, end: int) -> None:
        """Make [start, end), which exists, read as NUL."""

    def cut(self, key: str, size: int) -> None:
        """Forget everything from `size` on."""

    def sync(self, key: str) -> int:
        """Make durable what was written before the call; returns the size that is durable for certain."""

    def sync_all(self) -> bool:
        """Make durable what was written under any key before the call; False where each key has to be synced instead."""

    def size(self, key: str) -> int:
        """Bytes under `key`; 0 where there is nothing."""

    def modified_ns(self, key: str) -> int:
        """Time of the last change; 0 where there is nothing."""

    def read_ready(self, key: str, offset: int, size: int) -> bytes | None:
        """Bytes if they can be had without waiting for the disk, else None."""

    def read_recent(self, key: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes that were written a moment ago, so that the disk is not waited for."""

    def read(self, key: str, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; raises NotStored."""

    def names(self, folder: str) -> list[str]:
        """The names right below a key's beginning (empty: all first ones); none where nothing lies there."""

    def free_bytes(self) -> int:
        """Room that is left."""
