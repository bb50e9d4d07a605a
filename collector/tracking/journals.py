"""How far journals are applied. Reads from the tables `streams`, `seals` and `applied_records`; blocks."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import applied_records, runs, seals, streams
from runyard.names import TRACKING_DIR

_BATCH = 500  # ids in one query: SQLite and PostgreSQL both limit the parameters
_IS_JOURNAL = streams.c.name.startswith(TRACKING_DIR + "/", autoescape=True)
_APPLIED = sa.func.coalesce(applied_records.c.offset, 0)


def is_journal(name: str) -> bool:
    """Whether a stream of that name holds records."""
    return name.startswith(TRACKING_DIR + "/")


def unapplied(connection: Connection) -> list[int]:
    """The journals that are not sealed and applied to their end."""
    query = (
        sa.select(streams.c.id)
        .join(runs, runs.c.run_id == streams.c.run_id)
        .outerjoin(applied_records, applied_records.c.stream_id == streams.c.id)
        .outerjoin(seals, seals.c.stream_id == streams.c.id)
        .where(_IS_JOURNAL & runs.c.removed_ns.is_(None))
        .where(seals.c.length.is_(None) | (seals.c.length > _APPLIED))
    )
    return list(connection.execute(query).scalars())


def applied(connection: Connection, stream_ids: Sequence[int]) -> dict[int, int]:
    """How far each of these streams is applied."""
    found = dict.fromkeys(stream_ids, 0)
    for start in range(0, len(stream_ids), _BATCH):
        some = applied_records.c.stream_id.in_(stream_ids[start : start + _BATCH])
        found |= {row.stream_id: row.offset for row in connection.execute(sa.select(applied_records).where(some))}
    return found


def unapplied_of(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Those of the runs of which a sealed journal is not applied to its end."""
    if not run_ids:
        return set()
    query = (
        sa.select(streams.c.run_id)
        .join(seals, seals.c.stream_id == streams.c.id)
        .outerjoin(applied_records, applied_records.c.stream_id == streams.c.id)
        .where(streams.c.run_id.in_(run_ids) & _IS_JOURNAL & (seals.c.length > _APPLIED))
    )
    return set(connection.execute(query).scalars())
