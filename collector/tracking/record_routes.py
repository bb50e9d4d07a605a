"""The routes of records: taking them by request, and telling how far the journals are applied.

Each reads a checked request, has apply.py do it, and answers.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from runyard.collector import catalog
from runyard.collector.problems import Problem
from runyard.collector.route import Call, check_content_type, json_response
from runyard.tracking.records import Record, decoder

from .answers import Journal, Journals, RecordsAnswer, Refused
from .batches import batch_id, take
from .journals import applied, is_journal
from .lines import NO_RECORD
from .telling import spoken_of, tell

NDJSON_TYPE = "application/x-ndjson"
MOST_RECORDS = 20_000  # of a request: they are applied in one transaction


async def post_records(call: Call) -> web.Response:
    """POST /runs/{run_id}/records"""
    check_content_type(call.request, NDJSON_TYPE)
    body = await call.request.read()
    if body.count(b"\n") > MOST_RECORDS:
        raise Problem(413, "too-large", f"a request holds at most {MOST_RECORDS} records")
    numbers, records, refused = await asyncio.to_thread(_decoded, body)
    batch: str | None = call.query.batch
    name, sender = "" if batch is None else batch_id(call.run_id, batch), call.who.sender_for(call.run_id)
    taken = await take(call.parts.database, call.run_id, records, name, sender)
    await tell(call.parts.database, call.parts.hub, spoken_of(call.run_id, records))
    refused += [Refused(line=numbers[one.position], why=one.sentence) for one in taken.refusals]
    refused.sort(key=lambda one: one.line)
    applied_count = len(records) - taken.repeated - len(taken.refusals)
    return json_response(RecordsAnswer(applied=applied_count, repeated=taken.repeated, refused=refused))


def _decoded(body: bytes) -> tuple[list[int], list[Record], list[Refused]]:
    """The records with the numbers of their lines, and the lines that are none."""
    numbers: list[int] = []
    records: list[Record] = []
    refused: list[Refused] = []
    for number, line in enumerate(body.split(b"\n")):
        if not line.strip():
            continue
        try:
            records.append(decoder.decode(line))
            numbers.append(number)
        except NO_RECORD as error:
            refused.append(Refused(line=number, why=f"this is no record: {error}"))
    return numbers, records, refused


async def list_journals(call: Call) -> web.Response:
    """GET /runs/{run_id}/records"""
    await call.parts.database.read(catalog.require_run, call.run_id)
    streams = [stream for stream in await call.parts.streams.of_run(call.run_id) if is_journal(stream.row.name)]
    done = await call.parts.database.read(applied, [stream.id for stream in streams])
    journals = [
        Journal(
            node_id=stream.node_id,
            name=stream.row.name,
            attempt=stream.row.attempt,
            bytes=stream.offset,
            applied=done[stream.id],
        )
        for stream in streams
    ]
    return json_response(Journals(streams=journals))
