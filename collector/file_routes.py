"""The routes by which people read: files, their bytes, following a run, and verifying it.

Each reads a checked request, finds streams, and answers from the store.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from runyard import names

from . import catalog, cursor, listing
from .answers import File, FileList, Verification, VerifiedFile
from .download import Content, download
from .follow import Follower
from .hub import Subscription
from .messages import FilesQuery, FollowQuery
from .problems import Problem, invalid, removed
from .route import Call, json_response, raw_tail
from .store import NotStored
from .streams import Stream
from .wish import indexes_of, make_wish, public_path, start_of

_TEXT_SUFFIXES = (".txt", ".log", ".out", ".err", ".json", ".jsonl", ".csv", ".md", ".yaml", ".yml")
# None of them can hold a script: what is shown is other people's.
_PICTURES = {"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp"}


async def list_files(call: Call) -> web.Response:
    """GET /runs/{run_id}/files"""
    query: FilesQuery = call.query
    streams, is_single = await _streams_and_form(call)
    paths = {public_path(stream.row, is_single=is_single): stream for stream in streams}
    behind = listing.position_of(query.page_token, tuple[str])[0] if query.page_token is not None else ""
    chosen = sorted(
        path for path, stream in paths.items() if path > behind and path.startswith(query.prefix) and _is_asked(stream, query)
    )
    page = chosen[: query.page_size]
    files = await asyncio.to_thread(lambda: [_file(call, path, paths[path]) for path in page])
    token = listing.page_token([page[-1]]) if len(chosen) > len(page) else msgspec.UNSET
    return json_response(FileList(files=files, next_page_token=token))


def _is_asked(stream: Stream, query: FilesQuery) -> bool:
    is_of_node = query.node is None or query.node in (stream.row.node_id, stream.row.folder)
    return is_of_node and (bool(query.private) or not names.is_private(stream.row.name))


def _file(call: Call, path: str, stream: Stream) -> File:
    row = stream.row
    return File(
        path=path,
        node_id=row.node_id,
        name=row.path,
        folder=row.folder,
        bytes=stream.offset,
        is_sealed=stream.is_sealed,
        sha256=row.sha256,
        modified_ns=0 if stream.is_removed else call.parts.store.modified_ns(stream.key),
        gaps=list(stream.gaps),
        removed_ns=row.removed_ns,
    )


async def _streams_and_form(call: Call) -> tuple[list[Stream], bool]:
    """The run's streams, and whether it has one node only; raises a 404."""
    row = await call.parts.database.read(catalog.run, call.run_id)
    return await call.parts.streams.of_run(call.run_id), len(row.heard) <= 1 and row.row.node_count <= 1


async def get_file(call: Call) -> web.StreamResponse:
    """GET and HEAD /runs/{run_id}/files/{path}"""
    path = raw_tail(call.request, "path")
    streams, is_single = await _streams_and_form(call)
    stream = named(streams, path, is_single=is_single)
    if stream is None:
        raise Problem(404, "no-such-file", f"run {call.run_id} has no file {path[:200]!r}")
    if stream.is_removed:
        run = (await call.parts.database.read(catalog.run, call.run_id)).row
        raise removed(call.run_id, run.removed_ns, run.removed_why)
    size = stream.offset
    etag = f'"{stream.id:x}-{size:x}-{len(stream.gaps):x}"'
    content_type = type_of(path)
    return await download(call.request, call.parts.store, Content(stream.key, size, etag, content_type))


def named(streams: list[Stream], path: str, *, is_single: bool) -> Stream | None:
    """The stream that `path` names, with its node's folder or without; None where none does, or several."""
    in_folder = [stream for stream in streams if stream.row.full_path == path]
    plain = [stream for stream in streams if stream.row.path == path]
    found = (plain or in_folder) if is_single else (in_folder or plain)
    return found[0] if len(found) == 1 else None


def type_of(path: str) -> str:
    """As what a file is shown: as text the logs, and what is named as text; pictures as such; all else as bytes."""
    if is_text(path):
        return "text/plain; charset=utf-8"
    return _PICTURES.get(path.rpartition(".")[2].lower(), "application/octet-stream")


def is_text(path: str) -> bool:
    """Whether a file is named as text."""
    return path.removesuffix("~").lower().endswith(_TEXT_SUFFIXES) or ".txt.~" in path or ".log.~" in path


async def follow(call: Call) -> web.StreamResponse:
    """GET /runs/{run_id}/follow"""
    resumed = None
    if "Last-Event-ID" in call.request.headers:
        resumed = cursor.parse(call.request.headers["Last-Event-ID"])
        if resumed is None:
            raise invalid("the header Last-Event-ID is no id that this route has given")
    subscription = call.parts.hub.subscribe(call.run_id)
    call.parts.metrics.followers.inc()
    try:
        return await _follow(call, subscription, resumed)
    finally:
        call.parts.metrics.followers.dec()
        call.parts.hub.unsubscribe(subscription)


async def _follow(call: Call, subscription: Subscription, resumed: cursor.Cursor | None) -> web.StreamResponse:
    parts, asked = call.parts, call.query
    row = await parts.database.read(catalog.run, call.run_id)
    streams = await parts.streams.of_run(call.run_id)
    nodes = {*row.heard, *(stream.node_id for stream in streams)}

    def is_single() -> bool:
        return row.row.node_count <= 1 and len({*nodes, *subscription.silent_if} - {catalog.NO_NODE}) <= 1

    wish = make_wish(asked, resumed, streams, is_single)
    starts = await asyncio.to_thread(_starts, call, asked, resumed, streams)
    follower = Follower(wish, subscription, parts.store, parts.pulse)
    if row.row.removed_ns is not None:
        subscription.removed = (row.row.removed_ns, row.row.removed_why)
    for stream in streams if subscription.removed is None else ():
        follower.add(stream, starts.get(stream.id, 0), stream.offset if wish.until_now else None)
    response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(call.request)
    try:
        await follower.run(row.state, row.silent_if, response.write, lambda: call.has_left)
        await response.write_eof()
    except ConnectionError:
        pass  # the client has left; whoever comes back brings the cursor
    return response


def _starts(call: Call, asked: FollowQuery, resumed: cursor.Cursor | None, streams: list[Stream]) -> dict[int, int]:
    if resumed is not None:
        return resumed.positions
    if asked.since_ns is None and asked.tail_lines is None:
        return {}
    indexes = indexes_of(streams)
    return {stream.id: start_of(asked, stream, indexes, call.parts.store) for stream in streams}


async def verify(call: Call) -> web.Response:
    """GET /runs/{run_id}/verify"""
    run = await call.parts.database.read(catalog.run, call.run_id)
    streams, is_single = await _streams_and_form(call)
    current = [stream for stream in streams if not stream.row.is_superseded]
    files = [await _verified(call, stream, public_path(stream.row, is_single=is_single)) for stream in current]
    files.sort(key=lambda file: file.path)
    return json_response(Verification(run_id=call.run_id, is_complete=run.is_complete, files=files))


async def _verified(call: Call, stream: Stream, path: str) -> VerifiedFile:
    size = stream.offset
    if stream.is_removed:
        return VerifiedFile(path=path, bytes=size, sha256=stream.row.sha256 or "", result="removed")
    try:
        digests = await call.parts.digester.digest(call.parts.store, stream.key, [(0, size)])
    except NotStored:
        if not stream.is_removed:
            raise
        return await _verified(call, stream, path)  # removed while it was read
    result: Any = "ok"
    if not stream.is_sealed:
        result = "unsealed"
    elif digests is None or size != stream.row.sealed_length or digests.whole != stream.row.sha256:
        result = "mismatch"
    elif stream.gaps:
        result = "gaps"
    return VerifiedFile(path=path, bytes=size, sha256=digests.whole if digests else "", result=result)
