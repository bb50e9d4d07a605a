"""The routes by which a node sends streams: open, ingest, seal.

Each reads a checked request and hands it to streams.py, ingest.py or seals.py.
"""

from __future__ import annotations

from aiohttp import web

from . import catalog
from .answers import OpenedStream, OpenedStreams, SealResults
from .messages import NodeQuery, OpenStreams, SealStreams
from .placement import RUN_LEVEL
from .problems import Problem, not_allowed
from .route import FRAMES_TYPE, JSON_TYPE, Call, check_content_type, json_response
from .streams import Stream


def _answer(stream: Stream) -> OpenedStream:
    row = stream.row
    return OpenedStream(
        id=row.id,
        name=row.name,
        generation=row.generation,
        source_id=row.source_id,
        offset=stream.offset,
        durable=stream.durable,
        sealed=stream.is_sealed,
    )


async def open_streams(call: Call) -> web.Response:
    """POST /runs/{run_id}/streams"""
    wanted: OpenStreams = call.body
    call.who.require_node(wanted.node_id)
    parts = call.parts
    await parts.database.read(catalog.require_run, call.run_id)
    opened = await parts.streams.open(call.run_id, wanted.node_id, wanted.attempt, wanted.streams)
    parts.hub.grown(opened.superseded)
    for stream in opened.new:
        parts.hub.opened(stream)
    parts.pulse.beat(call.run_id, wanted.node_id)
    return json_response(OpenedStreams(streams=[_answer(stream) for stream in opened.streams]))


async def list_streams(call: Call) -> web.Response:
    """GET /runs/{run_id}/streams"""
    query: NodeQuery = call.query
    call.who.require_node(query.node_id)
    await call.parts.database.read(catalog.require_run, call.run_id)
    streams = await call.parts.streams.of_run(call.run_id, query.node_id)
    attempts = [stream for stream in streams if query.attempt is None or stream.row.attempt == query.attempt]
    current = [_answer(stream) for stream in attempts if not stream.row.is_superseded]
    return json_response(OpenedStreams(streams=current))


async def ingest(call: Call) -> web.Response:
    """POST /ingest"""
    request = call.request
    check_content_type(request, FRAMES_TYPE)
    acks = await call.parts.ingest.take(
        request.content, request.content_length, call.who, sync=bool(call.query.sync), named=call.query.stream
    )
    return web.Response(body=acks, content_type=JSON_TYPE)


async def seal_streams(call: Call) -> web.Response:
    """POST /runs/{run_id}/seals"""
    wanted: SealStreams = call.body
    parts = call.parts
    await parts.database.read(catalog.require_kept, call.run_id)
    chosen = [await _stream_of_run(call, seal.stream) for seal in wanted.seals]
    results = await parts.sealer.seal(list(zip(chosen, wanted.seals, strict=True)))
    for stream in chosen:
        parts.pulse.beat(stream.run_id, stream.row.node_id)
    return json_response(SealResults(seals=results))


async def _stream_of_run(call: Call, stream_id: int) -> Stream:
    stream = await call.parts.streams.find(stream_id)
    if stream is None or stream.run_id != call.run_id:
        raise Problem(404, "no-such-stream", f"run {call.run_id} has no stream {stream_id}", members={"stream": stream_id})
    if stream.node_id == RUN_LEVEL or not call.who.may_write(stream.run_id, stream.node_id):
        raise not_allowed(f"stream {stream_id} belongs to another node", "not-yours")
    return stream
