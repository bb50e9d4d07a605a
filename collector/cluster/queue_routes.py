"""The routes of the queue: submitting, listing what is not over, cancelling, pinning.

Each reads a checked request, asks the queue, and answers; who has to know of a change is told by the dispatch.
"""

from __future__ import annotations

import time

import sqlalchemy as sa
from aiohttp import web
from sqlalchemy.engine import Connection

from runyard.collector import catalog, run_routes
from runyard.collector.catalog import RunRow
from runyard.collector.route import Call, json_response
from runyard.collector.schema import runs

from . import cancel, queue, registry, submitting
from .answers import Queue, QueuedRun
from .changes import Changes
from .queue import Waiting


async def submit_run(call: Call) -> web.Response:
    """POST /clusters/{cluster}/runs"""
    cluster = call.request.match_info["cluster"]
    is_new = await call.parts.database.write(submitting.submit, cluster, call.body, call.who)
    if is_new:
        await call.parts.dispatch.applied(Changes(runs=frozenset({call.body.run_id})))
    return await _answer(call, call.body.run_id, 201 if is_new else 200)


async def show_queue(call: Call) -> web.Response:
    """GET /clusters/{cluster}/runs"""
    found = await call.parts.database.read(_queue, call.request.match_info["cluster"])
    return json_response(Queue(runs=[_queued(call, one, row) for one, row in found]))


async def cancel_run(call: Call) -> web.Response:
    """POST /runs/{run_id}/cancel"""
    changes = await call.parts.database.write(cancel.cancel, call.run_id, call.body.reason, call.who, time.time_ns())
    await call.parts.dispatch.applied(changes)
    return await _answer(call, call.run_id)


async def pin_run(call: Call) -> web.Response:
    """POST /runs/{run_id}/pin"""
    await call.parts.database.write(_pin, call.run_id, is_pinned=True)
    return await _answer(call, call.run_id)


async def unpin_run(call: Call) -> web.Response:
    """POST /runs/{run_id}/unpin"""
    await call.parts.database.write(_pin, call.run_id, is_pinned=False)
    return await _answer(call, call.run_id)


async def _answer(call: Call, run_id: str, status: int = 200) -> web.Response:
    row = await call.parts.database.read(catalog.run, run_id)
    return json_response(run_routes.run_answer(row, call.parts.pulse, call.parts.hub), status)


def _pin(connection: Connection, run_id: str, *, is_pinned: bool) -> None:
    catalog.require_run(connection, run_id)
    connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(is_pinned=is_pinned))


def _queue(connection: Connection, cluster: str) -> list[tuple[Waiting, RunRow]]:
    registry.require_cluster(connection, cluster)
    waiting = queue.waiting(connection, cluster)
    rows = connection.execute(sa.select(runs).where(runs.c.run_id.in_([one.row.run_id for one in waiting]))).all()
    found = {row.row.run_id: row for row in catalog.with_details(connection, list(rows))}
    return [(one, found[one.row.run_id]) for one in waiting]


def _queued(call: Call, one: Waiting, row: RunRow) -> QueuedRun:
    fields = ("cluster", "request", "priority", "submitted_ns", "placed_ns", "retries", "waits_for")
    values = {name: getattr(one.row, name) for name in fields}
    run = run_routes.run_answer(row, call.parts.pulse, call.parts.hub)
    return QueuedRun(run=run, nodes=list(one.nodes), **values)
