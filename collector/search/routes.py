"""The routes that search a run's files: they ask which files there are, have them searched, and answer as it is found."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from runyard import names
from runyard.collector import catalog
from runyard.collector.file_routes import is_text, named
from runyard.collector.problems import Problem
from runyard.collector.route import Call, json_response
from runyard.collector.streams import Stream
from runyard.collector.wish import indexes_of, public_path

from . import lines
from .messages import LinesQuery, Place, SearchRun
from .searching import a_turn, searching

CONTENT_TYPE = "application/x-ndjson"


async def search(call: Call) -> web.StreamResponse:
    """POST /runs/{run_id}/search"""
    question = msgspec.to_builtins(call.body) | {"files": await _files(call, call.body)}
    async with a_turn(), searching(question) as found:
        await found.ready()
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = CONTENT_TYPE
        await response.prepare(call.request)
        try:
            async for piece in found.pieces(lambda: call.has_left):
                await response.write(piece)
            await response.write_eof()
        except ConnectionError:
            pass  # the client has left, and with it the search
        return response


async def _files(call: Call, asked: SearchRun) -> list[dict[str, Any]]:
    """The files that are searched, in the order in which they were asked for, or else of their paths."""
    streams, is_single = await _streams(call)
    indexes = indexes_of(streams)
    if asked.files:
        chosen = [(path, named(streams, path, is_single=is_single)) for path in dict.fromkeys(asked.files)]
    else:
        all_files = {public_path(stream.row, is_single=is_single): stream for stream in streams}
        chosen = sorted((path, stream) for path, stream in all_files.items() if _is_searched(path, stream))
    store = call.parts.store
    found = []
    for path, stream in chosen:
        if stream is None or stream.is_removed:
            continue
        row = stream.row
        index = indexes.get((row.node_id, row.attempt, names.index_of(row.name), row.generation))
        found.append(
            {
                "path": path,
                "file": store.path(stream.key),
                "size": stream.offset,
                "index": store.path(index.key) if index is not None and not index.is_removed else "",
                "index_size": index.offset if index is not None else 0,
            }
        )
    return found


def _is_searched(path: str, stream: Stream) -> bool:
    return is_text(path) and not names.is_private(stream.row.name)


async def _streams(call: Call) -> tuple[list[Stream], bool]:
    row = await call.parts.database.read(catalog.run, call.run_id)
    return await call.parts.streams.of_run(call.run_id), len(row.heard) <= 1 and row.row.node_count <= 1


async def find_line(call: Call) -> web.Response:
    """GET /runs/{run_id}/lines"""
    query: LinesQuery = call.query
    streams, is_single = await _streams(call)
    stream = named(streams, query.file, is_single=is_single)
    if stream is None or stream.is_removed:
        raise Problem(404, "no-such-file", f"run {call.run_id} has no file {query.file[:200]!r}")
    key, store, size = stream.key, call.parts.store, stream.offset

    def count() -> Place:
        if query.offset is not None:
            return lines.line_of(lambda at, most: store.read(key, at, most), min(query.offset, size))
        return lines.start_of(lambda at, most: store.read(key, at, most), size, query.line or 1)

    try:
        return json_response(await asyncio.to_thread(count))
    except lines.TooLong as error:
        detail = f"the file is too long to count its lines in {lines.LIMIT_S:g} s"
        raise Problem(422, "too-long", detail) from error
