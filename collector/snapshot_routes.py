"""The routes of code snapshots.

Each checks the id in the path, asks snapshots.py, and answers.
"""

from __future__ import annotations

import re

from aiohttp import web

from .download import Content, download
from .problems import Problem, invalid
from .route import TAR_TYPE, Call, check_content_type, json_response

_ID = re.compile(r"[0-9a-f]{64}")


def _id_of(call: Call) -> str:
    snapshot_id = call.request.match_info["snapshot_id"]
    if not _ID.fullmatch(snapshot_id):
        raise invalid(f"the snapshot's id {snapshot_id[:100]!r} is no SHA-256 in 64 hexadecimal digits (0-9, a-f)")
    return snapshot_id


async def put_snapshot(call: Call) -> web.Response:
    """PUT /snapshots/{snapshot_id}"""
    snapshot_id, request = _id_of(call), call.request
    check_content_type(request, TAR_TYPE)
    snapshot, is_new = await call.parts.snapshots.take(snapshot_id, request.content, request.content_length)
    return json_response(snapshot, 201 if is_new else 200)


async def get_snapshot(call: Call) -> web.StreamResponse:
    """GET and HEAD /snapshots/{snapshot_id}"""
    snapshot_id = _id_of(call)
    found = await call.parts.snapshots.find(snapshot_id)
    if found is None:
        raise Problem(404, "no-such-snapshot", f"there is no snapshot {snapshot_id}")
    content = Content(snapshot_id, found.size_bytes, f'"{snapshot_id}"', TAR_TYPE)
    return await download(call.request, call.parts.snapshots.store, content)
