"""Names that are in use: what filters and columns of the table of runs may be about.

Reads from the tables `runs`, `experiments`, `series`, `params`, `tags`, `nodes` and `queue`. Blocks; gets the connection of its
transaction.
"""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from aiohttp import web
from msgspec import Meta
from sqlalchemy.engine import Connection

from runyard.collector import messages
from runyard.collector.messages import Body
from runyard.collector.route import JSON_TYPE, Call
from runyard.collector.schema import experiments, nodes, params, queue, runs, series, tags

NEWEST = 1000  # runs that are looked at, so that it takes no longer the more there are
MOST_VALUES = 50  # of one key
_MOST_CHARACTERS = 200


class KnownNamesQuery(Body, frozen=True, kw_only=True):
    """Of which experiment; none: of all."""

    experiment: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*$")] | None = None


class KnownNames(Body, frozen=True, kw_only=True):
    """What the newest runs have, in alphabetical order: metrics that are numbers, parameters and tags with some of their
    values, users, kinds, clusters, and host names of nodes."""

    metrics: list[str]
    params: dict[str, list[str]]
    tags: dict[str, list[str]]
    users: list[str]
    kinds: list[str]
    clusters: list[str]
    nodes: list[str]


async def list_known_names(call: Call) -> web.Response:
    """GET /known-names"""
    body = await call.parts.database.read(_read, call.query.experiment)
    return web.Response(body=body, content_type=JSON_TYPE)


def _read(connection: Connection, experiment: str | None) -> bytes:
    newest = sa.select(runs.c.run_id, runs.c.user, runs.c.kind).where(runs.c.deleted_ms.is_(None))
    if experiment is not None:
        folder = sa.select(experiments.c.folder).where(experiments.c.name == experiment)
        newest = newest.where(runs.c.experiment == folder.scalar_subquery())
    rows = connection.execute(newest.order_by(runs.c.created_ns.desc(), runs.c.run_id.desc()).limit(NEWEST)).all()
    ids = [row.run_id for row in rows]
    numbers = series.c.run_id.in_(ids) & (series.c.number_count > 0)
    return messages.encode(
        KnownNames(
            metrics=_of(connection, series.c.name, numbers),
            params=_with_values(connection, params, ids),
            tags=_with_values(connection, tags, ids),
            users=sorted({row.user for row in rows} - {""}),
            kinds=sorted({row.kind for row in rows} - {""}),
            clusters=_of(connection, queue.c.cluster, queue.c.run_id.in_(ids)),
            nodes=_of(connection, nodes.c.hostname, nodes.c.run_id.in_(ids)),
        )
    )


def _of(connection: Connection, column: Any, condition: Any) -> list[str]:
    return sorted(connection.execute(sa.select(column).where(condition).distinct()).scalars())


def _with_values(connection: Connection, table: Any, ids: list[str]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    query = sa.select(table.c.key, table.c.value).where(table.c.run_id.in_(ids)).distinct()
    for key, value in connection.execute(query):
        values = found.setdefault(key, set())
        if len(value) <= _MOST_CHARACTERS:
            values.add(value)
    return {key: sorted(found[key])[:MOST_VALUES] for key in sorted(found)}
