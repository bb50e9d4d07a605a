"""A real HTTP server for tests, in a process of its own: serves folders with ranges, tags and pages of links, and can fail.

`with running_server() as server:`, then `server.site(folder, Faults(...))` for each folder. `site.requests()` tells what was
asked for: method, path, range.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

STOP_LIMIT_S = 10.0
BLOCK_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Faults:
    """What the server does wrong. All of it is off by default."""

    ignores_range: bool = False
    has_listing: bool = True
    answers_head: bool = True
    token: str = ""  # wanted as a bearer token
    busy_requests: int = 0  # so many requests for files are answered by 503 first
    breaks: int = 0  # so many answers break off after break_bytes, for each file
    break_bytes: int = 0
    bytes_per_s: int = 0
    page: str = ""  # in place of each folder's page of links; {root} in it becomes the site's own path


@dataclass(frozen=True, slots=True)
class HttpSite:
    """One folder at the server."""

    url: str
    log: Path

    def requests(self) -> list[tuple[str, str, str]]:
        """(method, path, range) of each request so far."""
        return [tuple(json.loads(line)) for line in self.log.read_text().splitlines()]

    def fetched(self) -> list[str]:
        """Paths of the files that were asked for by GET, in order."""
        return [path for method, path, _ in self.requests() if method == "GET" and not path.endswith("/")]


class HttpServer:
    """The server's process, which takes up any number of folders."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{self._answer()}"

    def site(self, folder: Path, faults: Faults = Faults()) -> HttpSite:
        """Serve the folder from now on, at a path of its own."""
        log = folder.with_name(f"{folder.name}.requests")
        log.write_text("")
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([str(folder), str(log), asdict(faults)]) + "\n")
        self._process.stdin.flush()
        return HttpSite(f"{self._url}/{self._answer()}", log)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the HTTP server has ended"
        return line


@contextmanager
def running_server() -> Iterator[HttpServer]:
    """The server; it is gone at the end of the block."""
    command = [sys.executable, "-m", "tests.http_site"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield HttpServer(process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=STOP_LIMIT_S)


class _Site:
    def __init__(self, root: str, folder: Path, log: Path, faults: Faults) -> None:
        self._root = root
        self._folder = folder
        self._log = log
        self._faults = faults
        self._busy_left = faults.busy_requests
        self._broken: Counter[str] = Counter()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The one handler."""
        name = request.path.removeprefix(self._root)
        with self._log.open("a") as log:
            log.write(json.dumps([request.method, name, request.headers.get("Range", "")]) + "\n")
        faults = self._faults
        if faults.token and request.headers.get("Authorization") != f"Bearer {faults.token}":
            raise web.HTTPUnauthorized
        if request.method == "HEAD" and not faults.answers_head:
            raise web.HTTPMethodNotAllowed("HEAD", ["GET"])
        path = self._folder / name.lstrip("/")
        if path.is_dir():
            return self._page(request, path)
        if not path.is_file():
            raise web.HTTPNotFound
        if self._busy_left:
            self._busy_left -= 1
            raise web.HTTPServiceUnavailable
        return await self._file(request, path)

    def _page(self, request: web.Request, path: Path) -> web.Response:
        if not request.path.endswith("/"):
            raise web.HTTPMovedPermanently(request.path + "/")
        if not self._faults.has_listing:
            raise web.HTTPForbidden
        names = [f"{child.name}/" if child.is_dir() else child.name for child in sorted(path.iterdir())]
        links = "\n".join(f'<a href="{escape(quote(name))}">{escape(name)}</a>' for name in ["../", *names])
        page = (
            self._faults.page.replace("{root}", self._root)
            or f'<html><body><a href="?C=N;O=D">Name</a><pre>{links}</pre></body></html>'
        )
        return web.Response(text=page, content_type="text/html")

    async def _file(self, request: web.Request, path: Path) -> web.StreamResponse:
        is_breaking = self._broken[request.path] < self._faults.breaks and request.method == "GET"
        if not (self._faults.ignores_range or is_breaking or self._faults.bytes_per_s):
            return web.FileResponse(path)
        answer = web.StreamResponse()
        data = _described(path, answer)
        start = 0
        if "Range" in request.headers and not self._faults.ignores_range:
            start = int(request.headers["Range"].removeprefix("bytes=").partition("-")[0])
            answer.set_status(206)
            answer.headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        answer.content_length = len(data) - start
        await answer.prepare(request)
        if request.method == "HEAD":
            return answer
        end = len(data)
        if is_breaking:
            self._broken[request.path] += 1
            end = min(start + self._faults.break_bytes, len(data))
        for at in range(start, end, BLOCK_BYTES):
            await answer.write(data[at : min(at + BLOCK_BYTES, end)])
            if self._faults.bytes_per_s:
                await asyncio.sleep(BLOCK_BYTES / self._faults.bytes_per_s)
        if end < len(data):
            assert request.transport is not None
            request.transport.close()
        return answer


def _described(path: Path, answer: web.StreamResponse) -> bytes:
    """The file's content; its tag and time as FileResponse gives them: a server without the fault has the same file."""
    status = path.stat()
    answer.etag, answer.last_modified = f"{status.st_mtime_ns:x}-{status.st_size:x}", status.st_mtime
    return path.read_bytes()


async def _serve() -> None:
    sites: dict[str, _Site] = {}
    is_left = asyncio.Event()

    def take_up() -> None:
        line = sys.stdin.readline()
        if not line:  # its test was killed
            is_left.set()
            return
        folder, log, faults = json.loads(line)
        number = str(len(sites))
        sites[number] = _Site(f"/{number}", Path(folder), Path(log), Faults(**faults))
        print(number, flush=True)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await sites[request.match_info["number"]].answer(request)

    app = web.Application()
    app.router.add_route("*", "/{number}{path:(/.*)?}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    asyncio.get_running_loop().add_reader(sys.stdin, take_up)
    print(runner.addresses[0][1], flush=True)
    await is_left.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_serve())
