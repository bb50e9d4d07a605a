"""Records that come by a request: applied in pieces that keep other writers waiting only shortly, and each batch only once.

Reads from and writes to the table `applied_batches`, in the transactions that apply the records.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import catalog
from runyard.collector.database import Database
from runyard.collector.schema import applied_batches
from runyard.tracking.records import Record

from .apply import Refusal, apply
from .lines import how_many

# A client that sends a batch again does so within this time.
_KEPT_MS = 2 * 86_400_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch: the refusals of those that were looked at now, and how many had been applied before."""

    refusals: list[Refusal]
    repeated: int


def batch_id(run_id: str, name: str) -> str:
    """What a batch is known by: the client's name for it, within its run."""
    return hashlib.sha256(f"{run_id}/{name}".encode()).hexdigest()


async def take(database: Database, run_id: str, records: Sequence[Record], batch: str = "", sender: str | None = None) -> Taken:
    """Applies the records of one request in order; with a `batch`, those of them that were not applied before. `sender`: the
    run that has to have sent the bytes of files itself.

    Raises a Problem: 404 where there is no such run, 410 where its files were removed.
    """
    refusals: list[Refusal] = []
    position = repeated = 0
    while True:
        end = position + how_many(records[position:])[0]
        now_ms = time.time_ns() // 10**6
        told = await database.write(_take_some, run_id, records[position:end], batch, position, now_ms, sender)
        if isinstance(told, int):
            repeated, position = repeated + told - position, told
        else:
            refusals += [replace(one, position=one.position + position) for one in told]
            position = end
        if position >= len(records):
            return Taken(refusals, repeated)


def _take_some(
    connection: Connection,
    run_id: str,
    records: Sequence[Record],
    batch: str,
    position: int,
    now_ms: int,
    sender: str | None,
) -> list[Refusal] | int:
    """Applies the records that stand at `position` of their batch; how far the batch is, where it is farther already."""
    catalog.require_kept(connection, run_id)
    if batch:
        this_batch = applied_batches.c.batch_id == batch
        done = connection.execute(sa.select(applied_batches.c.count).where(this_batch)).scalar()
        if done is not None and done > position:
            return int(done)
        values = {"count": position + len(records), "at_ms": now_ms}
        if done is None:
            connection.execute(sa.insert(applied_batches).values(batch_id=batch, **values))
        else:
            connection.execute(sa.update(applied_batches).where(this_batch).values(values))
    return apply(connection, run_id, records, now_ms=now_ms, sender=sender)


def forget_old(connection: Connection, now_ms: int) -> None:
    """Batches that nobody sends again are not known any more."""
    connection.execute(sa.delete(applied_batches).where(applied_batches.c.at_ms < now_ms - _KEPT_MS))
