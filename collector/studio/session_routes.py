"""The routes by which a browser logs in and out: /api/v1/session, and codes for one login.

Each reads a checked request and answers; what is decided is decided in sessions.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from aiohttp import web
from msgspec import Meta

from runyard.collector.messages import Body
from runyard.collector.problems import invalid
from runyard.collector.route import Call, json_response

from .sessions import COOKIE, SESSION_S

_Secret = Annotated[str, Meta(min_length=1, max_length=512)]


class LogIn(Body, frozen=True, kw_only=True):
    """Who logs in: by a token, or by a code that `runyard studio` has printed."""

    token: _Secret | None = None
    code: _Secret | None = None


class Session(Body, frozen=True, kw_only=True):
    """Who has logged in."""

    kind: Literal["admin", "user"]
    subject: str


class LoginCode(Body, frozen=True, kw_only=True):
    """A code that is good for one login."""

    code: str
    expires_ns: int


async def log_in(call: Call) -> web.Response:
    """POST /session"""
    asked: LogIn = call.body
    if (asked.token is None) == (asked.code is None):
        raise invalid("the body has to hold either a token or a code")
    if asked.token is not None:
        who = await call.parts.gate.principal(f"Bearer {asked.token}")
    else:
        who = await call.parts.sessions.principal_of_code(asked.code or "")
    begun = await call.parts.sessions.begin(who)
    response = json_response(Session(kind="admin" if who.kind == "admin" else "user", subject=who.subject), 201)
    secure = _came_by_tls(call.request)
    response.set_cookie(COOKIE, begun.cookie, max_age=SESSION_S, httponly=True, samesite="Strict", secure=secure, path="/")
    return response


def _came_by_tls(request: web.Request) -> bool:
    """Whether the browser speaks TLS, by the word of the proxies before the collector, the browser's own first. Anybody may
    say so: it makes their own cookie stricter, and nothing else."""
    scheme = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
    return request.secure or scheme == "https"


async def show_session(call: Call) -> web.Response:
    """GET /session"""
    return json_response(Session(kind="admin" if call.who.kind == "admin" else "user", subject=call.who.subject))


async def log_out(call: Call) -> web.Response:
    """DELETE /session"""
    cookie = call.request.cookies.get(COOKIE)
    if cookie:
        await call.parts.sessions.end(cookie)
    response = web.Response(status=204)
    response.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict")
    return response


async def make_code(call: Call) -> web.Response:
    """POST /session-codes"""
    code, expires_ns = await call.parts.sessions.make_code(call.who)
    return json_response(LoginCode(code=code, expires_ns=expires_ns), 201)
