"""Liveness, readiness and metrics.

Reads from the database, the store and the counters; touches nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from aiohttp import web
from sqlalchemy.engine import Connection

from . import listing, metrics
from .answers import Alive, Readiness
from .cluster import registry
from .cluster.node_routes import node_answer
from .database import newest_revision
from .route import Call, json_response
from .store import StoreError, StoreFull

# Below this, writes of the next second may fail.
LEAST_FREE_BYTES = 1 << 20


async def livez(call: Call) -> web.Response:
    """GET /livez"""
    return json_response(Alive(status="ok"))


async def readyz(call: Call) -> web.Response:
    """GET /readyz"""
    checks = {
        "database": await _outcome(lambda: call.parts.database.read(_answers)),
        "migrations": await _outcome(lambda: call.parts.database.read(_is_migrated)),
        "disk": await _outcome(lambda: asyncio.to_thread(_has_room, call)),
    }
    is_ok = all(outcome == "ok" for outcome in checks.values())
    return json_response(Readiness(status="ok" if is_ok else "failing", checks=checks), 200 if is_ok else 503)


async def _outcome(check: Callable[[], Awaitable[None]]) -> str:
    try:
        await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        return str(error) or type(error).__name__
    return "ok"


def _answers(connection: Connection) -> None:
    connection.execute(sa.select(sa.literal(1)))


def _is_migrated(connection: Connection) -> None:
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if found != newest_revision():
        raise StoreError(f"the database is at revision {found}, this program needs {newest_revision()}")


def _has_room(call: Call) -> None:
    if call.parts.store.free_bytes() < LEAST_FREE_BYTES:
        raise StoreFull("the disk is full")


async def show_metrics(call: Call) -> web.Response:
    """GET /metrics"""
    parts = call.parts
    for status, count in (await parts.database.read(listing.count_by_status)).items():
        parts.metrics.runs.labels(status).set(count)
    nodes = [node_answer(row, parts.dispatch) for row in await parts.database.read(registry.nodes)]
    parts.metrics.nodes.tell(nodes, await parts.database.read(registry.runs_by_stage))
    parts.metrics.open_streams.set(len(parts.streams))
    parts.metrics.disk_free_bytes.set(await asyncio.to_thread(parts.store.free_bytes))
    return web.Response(body=parts.metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})
