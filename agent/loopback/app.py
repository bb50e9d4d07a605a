"""The loopback server as an application of aiohttp: who may ask, and how errors are answered."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from runyard.mlflow.errors import INTERNAL_ERROR, UNAUTHENTICATED, MlflowError, code_of, error_body

from . import routes
from .asking import SERVER, NotOursError
from .elsewhere import NO_ANSWER
from .server import Server

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Of a request that is read whole: MLflow's own clients send at most 1 MB, but for datasets' profiles.
MOST_BODY_BYTES = 32 << 20
# What MLflow's clients would send again for minutes is told them with a status that they take for an answer.
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})
_log = structlog.get_logger("runyard.loopback")


def application(server: Server) -> web.Application:
    """All routes over the state of one run."""
    app = web.Application(middlewares=[_edge], client_max_size=MOST_BODY_BYTES)
    app[SERVER] = server
    routes.add_to(app)

    async def close(app: web.Application) -> None:
        await app[SERVER].close()

    app.on_cleanup.append(close)
    return app


@web.middleware
async def _edge(request: web.Request, handler: _Handler) -> web.StreamResponse:
    server = request.app[SERVER]
    if request.path != "/health" and not _may(request, server.token):
        return _error(401, UNAUTHENTICATED, "The token is missing, or it is not this run's (MLFLOW_TRACKING_TOKEN)")
    try:
        return await handler(request)
    except NotOursError as error:
        return await server.elsewhere.ask(request, error.what)
    except MlflowError as error:
        return _error(error.status, error.code, error.message)
    except web.HTTPException as error:
        return _error(error.status, code_of(error.status), f"{error.reason}: {error.text or ''}"[:1000])
    except ConnectionError:
        raise  # whoever asked has gone
    except Exception:  # noqa: BLE001 - the training goes on, whatever is wrong here; the log says what
        _log.exception("a request could not be answered", method=request.method, path=request.path)
        return _error(
            500, INTERNAL_ERROR, "The tracking server of this node has failed; its log is the run's .runyard/shepherd.err"
        )


def _error(status: int, code: str, message: str) -> web.Response:
    status = NO_ANSWER if status in _RETRIED else status
    return web.Response(status=status, body=error_body(code, message), content_type="application/json")


def _may(request: web.Request, token: str) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode())
