"""The store of blobs: the bytes of artifacts that no node has shipped, each kept once under its SHA-256.

Reads from and writes to a content store over <data_dir>/blobs and the table `blobs`.
"""

from __future__ import annotations

from pathlib import Path

from runyard.collector.content_store import MOST_AT_ONCE, ContentStore, Numbers
from runyard.collector.database import Database
from runyard.collector.digests import Digester
from runyard.collector.file_store import FileStore
from runyard.collector.messages import MAX_INT
from runyard.collector.metrics import Metrics
from runyard.collector.schema import blobs


def make_blobs(data_dir: Path, database: Database, digester: Digester, metrics: Metrics) -> ContentStore:
    """The store; a blob may be as large as the disk takes."""
    numbers = Numbers(metrics.blob_uploads, metrics.blob_bytes)
    store = FileStore(data_dir / "blobs", MOST_AT_ONCE)
    return ContentStore(store, database, digester, blobs, numbers, what="blob", max_bytes=MAX_INT)
