"""The route of the verdict: asks the catalog, reads the ends of the logs, decides, and answers with the evidence."""

from __future__ import annotations

import asyncio

from aiohttp import web

from runyard.collector import catalog
from runyard.collector.route import Call, json_response

from . import decide, exhibits, gather
from .answer import Verdict


async def verdict(call: Call) -> web.Response:
    """GET /runs/{run_id}/verdict"""
    parts = call.parts
    row = await parts.database.read(catalog.run, call.run_id)
    nodes = await parts.database.read(catalog.nodes_of, call.run_id)
    processes = await parts.database.read(catalog.processes_of, call.run_id)
    streams = await parts.streams.of_run(call.run_id)
    attempt = max((node.attempt for node in nodes), default=0)

    def made() -> Verdict:
        facts = gather.run_facts(row, nodes, processes, parts.pulse)
        whole = gather.with_logs(facts, streams, parts.store, attempt)
        return exhibits.verdict(whole, decide.decide(whole))

    return json_response(await asyncio.to_thread(made))
