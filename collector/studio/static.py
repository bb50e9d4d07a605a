"""The web page's files: what the build has left in collector/static, held in memory, with what was compressed beside it.

Reads that folder once, at the start; writes answers. Every address of PAGES is the page itself, which finds out from the
address what to show. Nothing is ever loaded from elsewhere, which the policy in each answer's head enforces.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from runyard.collector.byte_range import etag_matches
from runyard.collector.problems import Problem

# Whoever works on the page may have built it elsewhere.
FOLDER = Path(os.environ.get("STUDIO_STATIC") or Path(__file__).parents[1] / "static")
PAGE = "index.html"
# First parts of addresses that are pages of the web page.
PAGES = ("", "login", "experiments", "runs", "compute", "compare", "new")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# The better ones first.
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))
# Not the machine's own list, which differs from system to system: a script of another type is not run.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_WEIGHT = re.compile(r"[01](\.\d{0,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class _File:
    """One file: its bytes as they are and compressed, by encoding."""

    content_type: str
    etag: str
    bodies: dict[str, bytes]


class StaticFiles:
    """Answers with the page's files. Empty where the page was not built."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {path: _read(folder / path) for path in _names(folder)}

    def page(self, request: web.Request) -> web.Response:
        """The page itself; raises a 404 where it was not built."""
        found = self._files.get(PAGE)
        if found is None:
            raise Problem(404, "not-built", "this collector was packed without Studio; `make studio` builds it")
        return _answer(request, found, "no-cache")

    def asset(self, request: web.Request) -> web.Response:
        """A file of the page, whose name holds the hash of its content; raises a 404."""
        found = self._files.get(f"assets/{request.match_info['name']}")
        if found is None:
            raise Problem(404, "no-such-file", "there is no such file of the page; it may be of an earlier version")
        return _answer(request, found, "public, max-age=31536000, immutable")


def add_routes(app: web.Application, files: StaticFiles) -> None:
    """The page's addresses; they need no token, and hold nothing that is anybody's."""

    async def page(request: web.Request) -> web.Response:
        return files.page(request)

    async def asset(request: web.Request) -> web.Response:
        return files.asset(request)

    app.router.add_get("/assets/{name}", asset)
    for first in PAGES:
        app.router.add_get(f"/{first}", page)
        if first:
            app.router.add_get(f"/{first}/{{rest:.*}}", page)


def _names(folder: Path) -> list[str]:
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".br", ".gz")]
    return [path.relative_to(folder).as_posix() for path in found]


def _read(path: Path) -> _File:
    plain = path.read_bytes()
    bodies = {"": plain}
    for encoding, suffix in _ENCODINGS:
        packed = path.with_name(path.name + suffix)
        if packed.is_file():
            bodies[encoding] = packed.read_bytes()
    kind = _TYPES.get(path.suffix, "application/octet-stream")
    return _File(kind, f'"{hashlib.sha256(plain).hexdigest()[:32]}"', bodies)


def _answer(request: web.Request, file: _File, cache: str) -> web.Response:
    headers = HEADERS | {"ETag": file.etag, "Cache-Control": cache, "Vary": "Accept-Encoding"}
    if etag_matches(request.headers.get("If-None-Match"), file.etag):
        return web.Response(status=304, headers=headers)
    encoding = _encoding(request.headers.get("Accept-Encoding", ""), file)
    if encoding:
        headers["Content-Encoding"] = encoding
    return web.Response(body=file.bodies[encoding], headers=headers | {"Content-Type": file.content_type})


def _encoding(header: str, file: _File) -> str:
    """The form that the client likes best of those that there are; empty: as it is."""
    weights = dict(_weight(part) for part in header.lower().split(","))
    of_others = weights.get("*", 0.0)
    liked = [(weights.get(name, of_others), name) for name, _ in _ENCODINGS if name in file.bodies]
    weight, name = max(liked, key=lambda one: one[0], default=(0.0, ""))
    return name if weight > 0 else ""


def _weight(part: str) -> tuple[str, float]:
    """`gzip;q=0.5` as its name and weight; what is no weight is none."""
    name, _, parameter = part.partition(";")
    key, _, value = parameter.partition("=")
    if key.strip() != "q":
        return name.strip(), 1.0
    return name.strip(), float(value) if _WEIGHT.fullmatch(value.strip()) else 0.0
