"""Sessions of browsers: a cookie stands for the token with which somebody has logged in.

Reads from and writes to the tables `sessions` and `login_codes`. Cookie and code are 256 bits long; only their SHA-256 is kept,
and neither is ever logged. A session ends by itself, by logging out, or when its token is revoked: that is looked at each time.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from aiohttp import web
from sqlalchemy.engine import Connection

from runyard.collector.auth import ADMIN, USER, Gate, Principal, sha256_of, unauthorized
from runyard.collector.database import Database
from runyard.collector.problems import not_allowed
from runyard.collector.schema import login_codes, sessions

COOKIE = "runyard_session"
SESSION_S = 30 * 24 * 3600
CODE_S = 600
_MOST_KNOWN = 1000
# A page of another site cannot send it without asking first, and is never told yes.
CSRF_HEADER = "X-Runyard-Studio"
_HARMLESS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that was begun: the cookie's value, and whose it is."""

    cookie: str
    who: Principal
    expires_ns: int


class Sessions:
    """Begins and ends sessions, and finds the principal behind a cookie."""

    def __init__(self, database: Database, gate: Gate) -> None:
        self._database = database
        self._gate = gate
        self._known: OrderedDict[str, Any] = OrderedDict()  # rows by the SHA-256 of their cookies: a page asks often
        self._ended = 0  # how often sessions have ended

    async def principal(self, request: web.Request) -> Principal:
        """Raises a 401 where there is no session, and a 403 where a change may come from a page of another site."""
        cookie = request.cookies.get(COOKIE, "")
        row = await self._look(sha256_of(cookie)) if cookie else None
        if row is None or row.expires_ns < time.time_ns():
            raise unauthorized("this route needs the header 'Authorization: Bearer <token>', or a session that has not ended")
        if request.method not in _HARMLESS and request.headers.get(CSRF_HEADER) != "1":
            raise not_allowed(f"a change made with a session's cookie needs the header {CSRF_HEADER}: 1", "cross-site")
        return await self._gate.known(Principal(row.kind, row.subject, row.token_sha256))

    async def _look(self, digest: str) -> Any:
        if digest in self._known:
            return self._known[digest]
        before = self._ended
        row = await self._database.read(_find, digest)
        if row is not None and self._ended == before:  # or else it may have ended while it was looked at
            self._known[digest] = row
        while len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)
        return row

    async def begin(self, who: Principal) -> NewSession:
        """A session of a person's; raises a 403 for tokens that are no person's."""
        who.require_kind(frozenset({ADMIN, USER}))
        cookie, now_ns = secrets.token_urlsafe(32), time.time_ns()
        expires_ns = now_ns + SESSION_S * 10**9
        await self._database.write(_insert, sha256_of(cookie), who, now_ns, expires_ns)
        return NewSession(cookie, who, expires_ns)

    async def end(self, cookie: str) -> None:
        """The cookie stands for nobody any more."""
        await self._database.write(_delete, sha256_of(cookie))
        self._ended += 1
        self._known.pop(sha256_of(cookie), None)

    async def make_code(self, who: Principal) -> tuple[str, int]:
        """A code that is good for one login as `who` for some minutes, and until when."""
        who.require_kind(frozenset({ADMIN, USER}))
        code, expires_ns = secrets.token_urlsafe(32), time.time_ns() + CODE_S * 10**9
        await self._database.write(_insert_code, sha256_of(code), who, expires_ns)
        return code, expires_ns

    async def principal_of_code(self, code: str) -> Principal:
        """Whose code it is; it is used up by that. Raises a 401 where it is not good (any more)."""
        row = await self._database.write(_take_code, sha256_of(code), time.time_ns())
        if row is None:
            raise unauthorized("this link was used already, or is too old; `runyard studio` prints a new one")
        return await self._gate.known(Principal(row.kind, row.subject, row.token_sha256))


def _find(connection: Connection, digest: str) -> Any:
    return connection.execute(sa.select(sessions).where(sessions.c.sha256 == digest)).first()


def _insert(connection: Connection, digest: str, who: Principal, now_ns: int, expires_ns: int) -> None:
    connection.execute(sa.delete(sessions).where(sessions.c.expires_ns < now_ns))
    values = {"sha256": digest, "kind": who.kind, "subject": who.subject, "token_sha256": who.token_sha256}
    connection.execute(sa.insert(sessions).values(values | {"created_ns": now_ns, "expires_ns": expires_ns}))


def _delete(connection: Connection, digest: str) -> None:
    connection.execute(sa.delete(sessions).where(sessions.c.sha256 == digest))


def _insert_code(connection: Connection, digest: str, who: Principal, expires_ns: int) -> None:
    values = {"sha256": digest, "kind": who.kind, "subject": who.subject, "token_sha256": who.token_sha256}
    connection.execute(sa.insert(login_codes).values(values | {"expires_ns": expires_ns}))


def _take_code(connection: Connection, digest: str, now_ns: int) -> Any:
    row = connection.execute(sa.select(login_codes).where(login_codes.c.sha256 == digest)).first()
    connection.execute(sa.delete(login_codes).where((login_codes.c.sha256 == digest) | (login_codes.c.expires_ns < now_ns)))
    return row if row is not None and row.expires_ns >= now_ns else None
