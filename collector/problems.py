"""Errors as they go to a client: RFC 9457 problem documents.

Foreign errors become Problems here, at the edge, and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import ClientError, web
from multidict import CIMultiDict

from runyard.errors import ProtocolError, RunyardError

from .database import DatabaseError, DatabaseFull
from .store import NameTaken, NotStored, StoreError, StoreFull, TooLarge

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 1
RETRY_AFTER_FULL_S = 5


class Problem(RunyardError):  # noqa: N818 - as RFC 9457 calls it
    """An answer of 400 and more: `code` for machines, `detail` for a person, `members` for this route."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.members = dict(members or {})
        self.headers = dict(headers or {})

    def response(self, request_id: str) -> web.Response:
        """The HTTP answer."""
        document = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        headers = CIMultiDict(self.headers)
        headers["Content-Type"] = PROBLEM_TYPE
        return web.Response(status=self.status, body=msgspec.json.encode(document | self.members), headers=headers)


def invalid(detail: str) -> Problem:
    """400: the request cannot be used."""
    return Problem(400, "invalid", detail)


def no_such_run(run_id: str) -> Problem:
    """404 for a run."""
    return Problem(404, "no-such-run", f"there is no run {run_id[:128]!r}")


def removed(run_id: str, removed_ns: int, why: str) -> Problem:
    """410: the run's files were there, and are gone for good."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(removed_ns // 10**9))
    detail = f"the files of run {run_id} were removed at {when}: {why}"
    return Problem(410, "removed", detail, members={"removed_ns": removed_ns, "why": why})


def not_allowed(detail: str, code: str = "forbidden") -> Problem:
    """403: the token may not."""
    return Problem(403, code, detail)


def disk_full(detail: str) -> Problem:
    """507: no room."""
    return Problem(507, "disk-full", detail, headers={"Retry-After": str(RETRY_AFTER_FULL_S)})


def unavailable(code: str, detail: str) -> Problem:
    """503: not now."""
    return Problem(503, code, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def problem_of(error: Exception) -> Problem | None:
    """The Problem that tells `error` to a client; None where it is a fault of ours."""
    match error:
        case Problem():
            return error
        case StoreFull() | DatabaseFull():
            return disk_full(str(error))
        case NotStored():
            return Problem(404, "no-such-file", str(error))
        case NameTaken():
            return Problem(409, "name-taken", str(error))
        case TooLarge():
            return Problem(413, "too-large", str(error))
        case StoreError():
            return unavailable("store", str(error))
        case DatabaseError():
            return unavailable("database", str(error))
        case ProtocolError():
            return Problem(400, "corrupt", str(error))
        case web.HTTPException():
            return _of_router(error)
        case ClientError():
            return invalid(f"the body cannot be read: {error}")
        case _:
            return None


def _of_router(error: web.HTTPException) -> Problem:
    headers = {name: value for name, value in error.headers.items() if name in ("Allow", "Location")}
    if isinstance(error, web.HTTPMethodNotAllowed):
        return Problem(405, "method-not-allowed", f"this route takes {headers.get('Allow', '')}", headers=headers)
    if isinstance(error, web.HTTPNotFound):
        return Problem(404, "no-such-route", "there is no such route")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(413, "too-large", "the body is larger than this route takes")
    return Problem(error.status, "http", error.reason, headers=headers)
