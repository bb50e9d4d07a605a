"""The HTTP application: registers the route table, and is the edge where every request enters and every answer leaves.

Reads from sockets through aiohttp; gives checked calls to the handlers; writes answers, problems and one log line each.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from runyard.mlflow.errors import MlflowError

from .api import ROUTES
from .auth import Principal
from .mlflow import edge as mlflow_edge
from .mlflow.routes import add_routes as add_mlflow_routes
from .problems import Problem, problem_of
from .route import MAX_JSON_BYTES, Call, Parts, Route, read_json, read_query
from .run_routes import create_run, put_state, register_node
from .stream_routes import list_streams, open_streams
from .studio.sessions import COOKIE
from .studio.static import StaticFiles
from .studio.static import add_routes as add_studio_routes

log = structlog.get_logger()
_CLIENT_HAS_LEFT = 499  # in the log only

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOBODY = Principal("", "", "")
_REQUEST_ID_KEY = web.RequestKey("request_id", str)
# Asked by all nodes of a large training at once. So many at a time are worked at; the others wait in a queue, and those whose
# client has lost patience meanwhile cost nothing any more: or else a crowd of clients that come again would never be served.
_IN_TURN = frozenset({create_run, register_node, put_state, open_streams, list_streams})
_AT_ONCE = 16
# Sent many times a second by each node: told of at level debug.
_FREQUENT = frozenset({"/api/v1/ingest", "/livez", "/readyz", "/metrics"})
_FREQUENT_OF_NODES = ("/heartbeat", "/work", "/runs/log-batch", "/runs/log-metric")


def make_app(parts: Parts) -> web.Application:
    """The application that answers with `parts`."""
    app = web.Application(middlewares=[_edge], client_max_size=MAX_JSON_BYTES)
    turns = asyncio.Semaphore(_AT_ONCE)
    for route in ROUTES:
        app.router.add_route(route.method, route.path.replace("{path}", r"{path:[\s\S]+}"), _entry(route, parts, turns))
    add_mlflow_routes(app, parts)
    add_studio_routes(app, StaticFiles())
    app.on_response_prepare.append(_add_request_id)
    return app


def _entry(route: Route, parts: Parts, turns: asyncio.Semaphore) -> Handler:
    async def entry(request: web.Request) -> web.StreamResponse:
        who = _NOBODY
        if route.kinds is not None:
            who = await _principal(request, parts)
            who.require_kind(route.kinds)
            run_id = request.match_info.get("run_id")
            if run_id is not None:
                await parts.gate.require_run(who, run_id)
        query = read_query(request, route.query)
        body = await read_json(request, route.body) if route.body is not None else None
        call = Call(request, parts, who, query, body)
        if route.handler not in _IN_TURN:
            return await route.handler(call)
        async with turns:
            if call.has_left:
                raise ConnectionResetError("the client has left")
            return await route.handler(call)

    return entry


async def _principal(request: web.Request, parts: Parts) -> Principal:
    """Whoever asks: by a token, or in a browser by a session's cookie."""
    authorization = request.headers.get("Authorization")
    if authorization is None and COOKIE in request.cookies:
        who: Principal = await parts.sessions.principal(request)
    else:
        who = await parts.gate.principal(authorization)
    return who


@web.middleware
async def _edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives the request its id, turns every error into a problem document, and logs the outcome."""
    given = request.headers.get("X-Request-Id", "")
    request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    request[_REQUEST_ID_KEY] = request_id
    started_s = time.perf_counter()
    try:
        response = await handler(request)
    except ConnectionError:
        # The client has left, or its answer has begun and cannot be finished: only the connection's end can tell it.
        if request.transport is not None:
            request.transport.abort()
        response = web.Response(status=_CLIENT_HAS_LEFT)
    except Exception as error:  # noqa: BLE001 - the outermost edge: whatever it is, the client gets an answer
        response = _answer_to(error, request, request_id)
    _log(request, response.status, request_id, time.perf_counter() - started_s)
    return response


def _answer_to(error: Exception, request: web.Request, request_id: str) -> web.Response:
    if isinstance(error, MlflowError):
        return mlflow_edge.error_answer(error)
    problem = problem_of(error)
    if problem is None:
        log.error("internal error", request_id=request_id, method=request.method, path=request.path, exc_info=error)
        problem = Problem(500, "internal", "the collector failed to answer; its log says why under this request_id")
    return mlflow_edge.error_answer(problem) if mlflow_edge.is_path(request.path) else problem.response(request_id)


def _log(request: web.Request, status: int, request_id: str, seconds: float) -> None:
    is_frequent = (request.path in _FREQUENT or request.path.endswith(_FREQUENT_OF_NODES)) and status < 400
    write = log.error if status >= 500 else log.debug if is_frequent else log.info
    write("request", request_id=request_id, method=request.method, path=request.path, status=status, seconds=round(seconds, 4))


async def _add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Request-Id"] = request.get(_REQUEST_ID_KEY, "")
