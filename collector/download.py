"""Answers with bytes from a store: all of them, a range, or the word that the client has them already.

Reads the headers Range, If-Range and If-None-Match and the store; writes to the response piece by piece, at the client's pace.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiohttp import web

from .byte_range import etag_matches, wanted_range
from .store import Store

# Small enough that a slow client costs little memory.
READ_BYTES = 256 << 10
# What runs have written is other people's, and has the web page's own address: no browser may take it for a page or a script.
_HARMLESS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Content:
    """What is sent: `size` bytes under `key`; `etag` changes whenever they do."""

    key: str
    size: int
    etag: str
    content_type: str


async def download(request: web.Request, store: Store, content: Content) -> web.StreamResponse:
    """The answer to GET and HEAD: 200, 206 or 304; a range outside raises a 416."""
    headers = {"Accept-Ranges": "bytes", "ETag": content.etag} | _HARMLESS
    if etag_matches(request.headers.get("If-None-Match"), content.etag):
        return web.Response(status=304, headers=headers)
    span = wanted_range(request.headers.get("Range"), request.headers.get("If-Range"), content.etag, content.size)
    headers["Content-Type"] = content.content_type
    response = web.StreamResponse(status=206 if span.is_part else 200, headers=headers)
    if span.is_part:
        response.headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{span.size}"
    response.content_length = span.end - span.start
    await response.prepare(request)
    if request.method != "HEAD":
        position = span.start
        while position < span.end:
            data = await asyncio.to_thread(store.read, content.key, position, min(READ_BYTES, span.end - position))
            if not data:  # the disk lost what it had; the short body tells the client
                break
            await response.write(data)
            position += len(data)
        await response.write_eof()
    return response
