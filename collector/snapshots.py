"""Code snapshots, each kept once under the SHA-256 of its bytes, however many nodes ask for it.

Reads from and writes to a content store over <data_dir>/snapshots and the table `snapshots`.
"""

from __future__ import annotations

from .answers import Snapshot
from .body import Body
from .content_store import ContentStore, Numbers
from .content_table import Kept
from .database import Database
from .digests import Digester
from .metrics import Metrics
from .schema import snapshots
from .store import Store


class Snapshots:
    """Takes and finds snapshots. Belongs to the event loop's thread."""

    def __init__(self, store: Store, database: Database, digester: Digester, metrics: Metrics, max_bytes: int) -> None:
        self.store = store
        numbers = Numbers(metrics.snapshot_uploads, metrics.snapshot_bytes)
        self._content = ContentStore(store, database, digester, snapshots, numbers, what="snapshot", max_bytes=max_bytes)

    async def recover(self) -> None:
        """Removes what a crash has left. No upload may be under way."""
        await self._content.recover()

    async def find(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot, if all its bytes are there: an administrator may have taken them away."""
        known = await self._content.find(snapshot_id)
        return None if known is None else _snapshot(known)

    async def take(self, snapshot_id: str, body: Body, length: int | None) -> tuple[Snapshot, bool]:
        """The snapshot, and whether it is new; the body of one that is known is not read. Of two uploads at once each brings
        its bytes, and the first that is whole is kept. Raises a 400 `mismatch`, 413, 503 or 507, and then keeps nothing."""
        kept, is_new = await self._content.take(snapshot_id, body, length)
        return _snapshot(kept), is_new


def _snapshot(kept: Kept) -> Snapshot:
    return Snapshot(id=kept.sha256, size_bytes=kept.size_bytes, created_ns=kept.created_ns)
