"""The routes of metrics: what each comes to, its exact values, and series as charts show them.

Each reads a checked request, reads in a thread, and answers. What is long is made JSON in that thread, too.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web
from msgspec import UNSET
from sqlalchemy.engine import Connection

from runyard.collector import catalog, messages
from runyard.collector.problems import Problem
from runyard.collector.route import JSON_TYPE, Call, json_response

from . import reading, sampling
from .answers import MetricList, MetricSummary, SampledQuery, Value, Values, ValuesQuery


async def list_metrics(call: Call) -> web.Response:
    """GET /runs/{run_id}/metrics"""
    rows = await call.parts.database.read(_metrics, call.run_id, call.query.name)
    return json_response(MetricList(metrics=[summary(row) for row in rows]))


def _metrics(connection: Connection, run_id: str, names: list[str]) -> list[Any]:
    catalog.require_run(connection, run_id)
    return reading.rows(connection, run_id, names)


def summary(row: Any) -> MetricSummary:
    """A series (its row) in an answer."""
    same = (
        "name",
        "kind",
        "count",
        "number_count",
        "nan_count",
        "last_step",
        "last_ms",
        "min",
        "max",
        "latest_step",
        "latest_ms",
    )
    values = {name: row._mapping[name] for name in same}
    values |= {name: reading.kept(row, name) for name in ("first", "last", "latest")}
    return MetricSummary(**values, mean=reading.mean(row))


async def list_values(call: Call) -> web.Response:
    """GET /runs/{run_id}/metrics/values"""
    body = await call.parts.database.read(_values, call.run_id, call.query)
    return web.Response(body=body, content_type=JSON_TYPE)


def _values(connection: Connection, run_id: str, query: ValuesQuery) -> bytes:
    catalog.require_run(connection, run_id)
    part = reading.part(connection, run_id, query.name, query.start, query.limit)
    if part is None:
        raise Problem(404, "no-such-metric", f"run {run_id} has no metric {query.name[:255]!r}")
    points = part.points
    values = [
        Value(
            value=cell,
            step=points.step(place),
            at_ms=points.times_ms[place],
            is_text=isinstance(cell, str) and not points.is_number(place),
        )
        for place, cell in enumerate(reading.cells(points))
    ]
    end = query.start + len(values)
    more = end if values and end < part.count else UNSET
    return messages.encode(Values(name=query.name, kind=part.kind, count=part.count, points=values, next=more))


async def sample_metrics(call: Call) -> web.Response:
    """GET /metrics/sampled"""
    query: SampledQuery = call.query
    for run_id in query.run_id:
        await call.parts.gate.require_run(call.who, run_id)
    body = await call.parts.database.read(_sampled, query, call.parts.samples)
    return web.Response(body=body, content_type=JSON_TYPE)


def _sampled(connection: Connection, query: SampledQuery, kept: sampling.Kept) -> bytes:
    for run_id in query.run_id:
        catalog.require_run(connection, run_id)
    return messages.encode({"series": sampling.sampled(connection, query, kept)})  # a SampledList
