"""The routes of artifacts and their blobs.

Each reads a checked request, asks files.py, and answers from the stores.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import structlog
from aiohttp import web

from runyard.collector import listing
from runyard.collector.content_store import Piece
from runyard.collector.download import Content, download
from runyard.collector.file_routes import type_of
from runyard.collector.problems import Problem, invalid
from runyard.collector.route import BYTES_TYPE, Call, check_content_type, json_response, raw_tail
from runyard.collector.store import StoreError

from . import archive
from .files import Entry, no_such_file
from .messages import ArchiveQuery, ArtifactFile, ArtifactFolder, Blob, ListQuery, PutArtifact, PutBlobQuery

log = structlog.get_logger()

_DIGEST = re.compile(r"[0-9a-f]{64}")
# Deflating is pure CPU: more threads would take it from ingest.
_THREADS = ThreadPoolExecutor(2, "archive")


def _digest_of(call: Call) -> str:
    sha256 = call.request.match_info["sha256"]
    if not _DIGEST.fullmatch(sha256):
        raise invalid(f"the blob's name {sha256[:100]!r} is no SHA-256 in 64 hexadecimal digits (0-9, a-f)")
    return sha256


async def put_blob(call: Call) -> web.Response:
    """PUT /blobs/{sha256}"""
    sha256, request, query = _digest_of(call), call.request, call.query
    assert isinstance(query, PutBlobQuery)
    check_content_type(request, BYTES_TYPE)
    piece = Piece(request.content, query.offset, request.content_length, query.size_bytes, call.who.token_sha256)
    kept, come_bytes, is_new = await call.parts.artifacts.take_blob(call.who, sha256, piece)
    answer = Blob(sha256=sha256, bytes=come_bytes, is_whole=kept is not None)
    return json_response(answer, 202 if kept is None else 201 if is_new else 200)


async def head_blob(call: Call) -> web.Response:
    """HEAD /blobs/{sha256}"""
    come_bytes, is_whole = await call.parts.artifacts.come(call.who, _digest_of(call))
    return web.Response(status=204, headers={"Upload-Offset": str(come_bytes), "Upload-Complete": "?1" if is_whole else "?0"})


async def put_artifact(call: Call) -> web.Response:
    """POST /runs/{run_id}/artifacts"""
    wanted: PutArtifact = call.body
    row = await call.parts.artifacts.enter(call.who, call.run_id, wanted.path, wanted.sha256, wanted.size_bytes)
    made = ArtifactFile(
        path=row.path,
        size_bytes=row.size_bytes,
        come_bytes=row.size_bytes,
        sha256=row.sha256,
        modified_ms=row.created_ms,
        node_id="",
    )
    return json_response(made, 201)


async def list_artifacts(call: Call) -> web.Response:
    """GET /runs/{run_id}/artifacts"""
    query: ListQuery = call.query
    folder = query.path.strip("/")
    entries = await call.parts.artifacts.list(call.run_id, folder)
    found = {(entry.path, False) if query.recursive else _part_of(entry.path, folder): entry for entry in entries}
    behind = listing.position_of(query.page_token, tuple[str, bool]) if query.page_token is not None else ("", False)
    chosen = sorted(part for part in found if part > behind)
    page = chosen[: query.page_size]
    files = [found[part] for part in page if not part[1]]
    answer = ArtifactFolder(
        path=folder,
        folders=[path for path, is_folder in page if is_folder],
        files=await asyncio.to_thread(lambda: [_file(entry) for entry in files]),
        next_page_token=listing.page_token(list(page[-1])) if len(chosen) > len(page) else msgspec.UNSET,
    )
    return json_response(answer)


_Part = tuple[str, bool]


def _part_of(path: str, folder: str) -> _Part:
    """What lies right in `folder`, and whether it is a folder: the file itself, or the folder that it is in."""
    start = len(folder) + 1 if folder else 0
    end = path.find("/", start)
    return (path, False) if end < 0 else (path[:end], True)


def _file(entry: Entry) -> ArtifactFile:
    place = entry.place
    modified_ms = entry.modified_ms or (place.store.modified_ns(place.key) // 10**6 if place else 0)
    return ArtifactFile(
        path=entry.path,
        size_bytes=entry.size_bytes,
        come_bytes=entry.come_bytes,
        sha256=entry.sha256,
        modified_ms=modified_ms,
        node_id=entry.node_id,
    )


async def get_artifact(call: Call) -> web.StreamResponse:
    """GET and HEAD /runs/{run_id}/artifacts/{path}"""
    path = raw_tail(call.request, "path")
    return await send(call.request, await call.parts.artifacts.find(call.run_id, path))


async def send(request: web.Request, entry: Entry) -> web.StreamResponse:
    """A file that is here, or the range of it that is asked for."""
    assert entry.place is not None
    content = Content(entry.place.key, entry.size_bytes, entry.etag, type_of(entry.path))
    return await download(request, entry.place.store, content)


async def delete_artifact(call: Call) -> web.Response:
    """DELETE /runs/{run_id}/artifacts/{path}"""
    await call.parts.artifacts.remove(call.run_id, raw_tail(call.request, "path"))
    return web.Response(status=204)


async def get_archive(call: Call) -> web.StreamResponse:
    """GET /runs/{run_id}/archive"""
    query: ArchiveQuery = call.query
    entries = [one for one in await call.parts.artifacts.list(call.run_id) if one.path.startswith(query.prefix)]
    if query.path:
        by_path = {one.path: one for one in entries}
        for path in query.path:
            if path not in by_path:
                raise no_such_file(call.run_id, path)
        entries = [by_path[path] for path in dict.fromkeys(query.path)]
    if query.prefix and not entries:
        raise Problem(404, "no-such-file", f"run {call.run_id} has no file whose path starts with {query.prefix[:200]!r}")
    return await _send_archive(call, archive.pieces(entries))


async def _send_archive(call: Call, pieces: Iterator[bytes]) -> web.StreamResponse:
    name = f"{call.run_id}.zip"
    response = web.StreamResponse(
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    )
    response.content_type = archive.CONTENT_TYPE
    await response.prepare(call.request)
    loop = asyncio.get_running_loop()
    try:
        while (piece := await loop.run_in_executor(_THREADS, next, pieces, None)) is not None:
            await response.write(piece)
    except StoreError as error:
        # The answer has begun: only a connection that breaks tells the client that it is not whole.
        log.error("an archive cannot be finished", run=call.run_id, error=str(error))
        raise ConnectionResetError(str(error)) from error
    await response.write_eof()
    return response
