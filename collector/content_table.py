"""Which bytes a content store keeps: a table of (SHA-256, size_bytes, created_ns), such as `snapshots` and `blobs`.

Reads from and writes to that table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes that are there, whole."""

    sha256: str
    size_bytes: int
    created_ns: int


class ContentTable:
    """The rows of one table. Every method blocks and gets the connection of its transaction."""

    def __init__(self, table: sa.Table) -> None:
        self._table = table
        self._digest = next(iter(table.primary_key.columns))

    def all(self, connection: Connection) -> set[str]:
        """The digests of all that is kept."""
        return set(connection.execute(sa.select(self._digest)).scalars())

    def find(self, connection: Connection, sha256: str) -> Kept | None:
        """What is said to be kept."""
        columns = (self._table.c.size_bytes, self._table.c.created_ns)
        row = connection.execute(sa.select(*columns).where(self._digest == sha256)).first()
        return Kept(sha256, row.size_bytes, row.created_ns) if row else None

    def insert(self, connection: Connection, made: Kept) -> None:
        """The bytes are kept from now on."""
        # A row whose bytes were taken away by hand may be there still.
        connection.execute(sa.delete(self._table).where(self._digest == made.sha256))
        values = {self._digest.name: made.sha256, "size_bytes": made.size_bytes, "created_ns": made.created_ns}
        connection.execute(sa.insert(self._table).values(values))

    def touch(self, connection: Connection, sha256: str, created_ns: int) -> None:
        """They count as if they had come then."""
        connection.execute(sa.update(self._table).where(self._digest == sha256).values(created_ns=created_ns))

    def delete_if(self, connection: Connection, sha256: str, may_go: Callable[[Connection, str], bool]) -> bool:
        """They are not kept any more, if `may_go` says so; whether it did."""
        if not may_go(connection, sha256):
            return False
        connection.execute(sa.delete(self._table).where(self._digest == sha256))
        return True
