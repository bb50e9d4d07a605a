"""What every route of the loopback server needs: the request as a message, the run that it names, the bytes of the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web

from runyard.mlflow import answers, messages

from .book import KnownRun
from .server import Server

T = TypeVar("T", bound=messages.Request)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Route = tuple[str, str, Handler]  # method, path below /api/2.0, handler

SERVER: web.AppKey[Server] = web.AppKey("server", Server)
NOTHING = answers.Answer()


class NotOursError(Exception):
    """The request is about something that this server does not have: the collector may."""

    def __init__(self, what: str) -> None:
        self.what = what


async def asked_of(request: web.Request, kind: type[T]) -> T:
    if request.method == "GET":
        return messages.from_query({name: request.query.getall(name) for name in request.query}, kind)
    return messages.decode(await request.read(), kind)


def answer(answer: answers.Answer) -> web.Response:
    return web.Response(body=answers.encode(answer), content_type="application/json")


def run_of(server: Server, run_id: str) -> KnownRun:
    run = server.known.run(run_id)
    if run is None:
        server.catch_up()
        run = server.known.run(run_id)
    if run is None:
        raise NotOursError(f"the run {run_id[:300]!r}")
    return run
