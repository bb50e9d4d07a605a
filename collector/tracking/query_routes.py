"""The route of the table of runs; see run_query.py. The JSON is made in the thread that reads."""

from __future__ import annotations

from aiohttp import web
from sqlalchemy.engine import Connection

from runyard.collector import messages
from runyard.collector.auth import RUN
from runyard.collector.problems import not_allowed
from runyard.collector.route import JSON_TYPE, Call
from runyard.collector.run_routes import shown_status

from .answers import QueryRuns
from .run_query import StatusOf, query_runs


async def query(call: Call) -> web.Response:
    """POST /runs/query"""
    wanted: QueryRuns = call.body
    if call.who.kind == RUN and wanted.parent is None:
        raise not_allowed("a run's token lists the children of its run only: name the parent")
    if wanted.parent is not None:
        await call.parts.gate.require_run(call.who, wanted.parent)
    pulse = call.parts.pulse
    body = await call.parts.database.read(_read, wanted, lambda row: shown_status(row, pulse))
    return web.Response(body=body, content_type=JSON_TYPE)


def _read(connection: Connection, wanted: QueryRuns, status_of: StatusOf) -> bytes:
    return messages.encode(query_runs(connection, wanted, status_of))
