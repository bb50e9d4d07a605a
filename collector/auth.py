"""Who is asking, and what they may do: every permission is decided here.

Reads from and writes to the table `tokens` (`cluster_nodes` says which is a node's own, `runs` whose child a run is), and the
administrator's token file. Tokens are opaque and 256 bits long; only their SHA-256 is kept, and no token is ever logged.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard import atomic
from runyard.errors import ConfigError

from .answers import Token
from .database import Database
from .problems import Problem, not_allowed
from .schema import cluster_nodes, tokens
from .tracking import lineage

ADMIN = "admin"
USER = "user"
NODE = "node"
RUN = "run"
JOIN = "join"

_MAX_CACHED = 10_000
_TOKEN_PREFIX = "ry_"  # noqa: S105 - lets people and secret scanners recognize a token


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever holds a token. `subject` is a node id for kind node, a run id for kind run, a cluster for kind join."""

    kind: str
    subject: str
    token_sha256: str

    def require_kind(self, kinds: frozenset[str]) -> None:
        """Raises a 403 unless the token is of one of `kinds`."""
        if self.kind not in kinds:
            raise not_allowed(f"a token of kind {self.kind} may not do this; it takes {' or '.join(sorted(kinds))}")

    def require_node(self, node_id: str) -> None:
        """Raises a 403 where the token is another node's."""
        if self.kind == NODE and self.subject != node_id:
            raise not_allowed("this token belongs to another node", "not-yours")

    @property
    def reads_all_runs(self) -> bool:
        """Whether every run's files may be read: then it is no secret who has which bytes."""
        return self.kind in (ADMIN, USER)

    def sender_for(self, run_id: str) -> str | None:
        """The run that has to have sent the bytes which a file of `run_id` is made of; None: anybody may have."""
        if self.reads_all_runs:
            return None
        return self.subject if self.kind == RUN else run_id

    def may_write(self, run_id: str, node_id: str) -> bool:
        """Whether the streams of this run and node may be written."""
        if self.kind == RUN:
            return self.subject == run_id
        return self.kind == ADMIN or (self.kind == NODE and self.subject == node_id)


def sha256_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that is to be added: its id and its SHA-256."""

    token_id: str
    sha256: str


def new_token() -> tuple[str, NewToken]:
    """A token, and what is kept of it."""
    token = _TOKEN_PREFIX + secrets.token_urlsafe(32)
    return token, NewToken(secrets.token_hex(8), sha256_of(token))


class Gate:
    """Finds the principal behind an Authorization header."""

    def __init__(self, database: Database, admin_token: str) -> None:
        self._database = database
        self._admin = Principal(ADMIN, "", sha256_of(admin_token))
        self._known: OrderedDict[str, Principal] = OrderedDict()
        self._voided = 0  # how often tokens have become void
        self._descendants: OrderedDict[tuple[str, str], None] = OrderedDict()  # (run, ancestor); this never changes

    async def principal(self, authorization: str | None) -> Principal:
        """Raises a 401 where there is no token or an unknown one."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthorized("this route needs the header 'Authorization: Bearer <token>'")
        digest = sha256_of(token.strip())
        if hmac.compare_digest(digest, self._admin.token_sha256):
            return self._admin
        before = self._voided
        principal = self._known.get(digest) or await self._look(digest)
        # One that expires is looked at each time; so is one that may have become void while it was looked at.
        if principal.kind != JOIN and self._voided == before:
            self._known[digest] = principal
        while len(self._known) > _MAX_CACHED:
            self._known.popitem(last=False)
        return principal

    async def known(self, who: Principal) -> Principal:
        """`who`, whose token was good once; raises a 401 where it is not any more."""
        if who.kind == ADMIN:
            if hmac.compare_digest(who.token_sha256, self._admin.token_sha256):
                return self._admin
            raise _unknown()
        return self._known.get(who.token_sha256) or await self._look(who.token_sha256)

    async def require_run(self, who: Principal, run_id: str) -> None:
        """Raises a 403 where `who` holds the token of a run that is neither this one nor an ancestor of it."""
        pair = (run_id, who.subject)
        if who.kind != RUN or run_id == who.subject or pair in self._descendants:
            return
        if not await self._database.read(lineage.is_descendant, *pair):
            raise not_allowed("this token belongs to another run", "not-yours")
        self._descendants[pair] = None
        while len(self._descendants) > _MAX_CACHED:
            self._descendants.popitem(last=False)

    async def _look(self, digest: str) -> Principal:
        row = await self._database.read(_find, digest)
        if row is None or not hmac.compare_digest(digest, row.sha256):
            raise _unknown()
        if row.expires_ns is not None and row.expires_ns < time.time_ns():
            at = datetime.fromtimestamp(row.expires_ns // 10**9, UTC).isoformat()
            raise unauthorized(f"this {row.kind} token expired at {at}; have a new one made (`runyard clusters token`)")
        if row.kind == NODE and row.uses_left is not None:
            self.forget(await self._database.write(_take_over, row))
        return Principal(row.kind, row.subject, row.sha256)

    def forget(self, digests: Iterable[str]) -> None:
        """The tokens with these SHA-256 are void."""
        self._voided += 1
        for digest in digests:
            self._known.pop(digest, None)

    async def make(self, kind: str, subject: str) -> Token:
        """A new token of kind user or node."""
        token, new = new_token()
        await self._database.write(insert, new.token_id, new.sha256, kind, subject)
        return Token(token_id=new.token_id, token=token, kind="node" if kind == NODE else "user", subject=subject)

    async def revoke(self, token_id: str) -> None:
        """From now on the token is unknown; raises a 404 where there is none."""
        digest = await self._database.write(_delete, token_id)
        if digest is None:
            raise Problem(404, "no-such-token", f"there is no token {token_id[:64]!r}")
        self.forget([digest])


def unauthorized(detail: str) -> Problem:
    """401: who asks is not known."""
    return Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def _unknown() -> Problem:
    return unauthorized("this token is not known to the collector")


def _find(connection: Connection, digest: str) -> Any:
    return connection.execute(sa.select(tokens).where(tokens.c.sha256 == digest)).first()


def _take_over(connection: Connection, renewal: Any) -> list[str]:
    """A node's new token is used for the first time: from now on it is the node's own, and the one before it is void; the
    SHA-256 of that one. Raises a 401 where it has become void meanwhile."""
    mine = cluster_nodes.c.node_id == renewal.subject
    before = connection.execute(sa.select(cluster_nodes.c.token_id).where(mine)).scalar()
    used = sa.update(tokens).where(tokens.c.token_id == renewal.token_id).values(uses_left=None)
    if connection.execute(used).rowcount == 0:
        raise _unknown()
    if before is None or before == renewal.token_id:
        return []
    connection.execute(sa.update(cluster_nodes).where(mine).values(token_id=renewal.token_id))
    digest = _delete(connection, before)
    return [] if digest is None else [digest]


def require_parent(connection: Connection, who: Principal, parent_run_id: str | None) -> None:
    """Raises a 403 where `who` holds a run's token and makes a run whose parent is neither that run nor a descendant of it."""
    if who.kind != RUN or (parent_run_id is not None and lineage.is_descendant(connection, parent_run_id, who.subject)):
        return
    raise not_allowed("a run's token makes only runs whose parent_run_id is that run, or a descendant of it", "not-yours")


def insert(
    connection: Connection,
    token_id: str,
    digest: str,
    kind: str,
    subject: str,
    *,
    expires_ns: int | None = None,
    uses_left: int | None = None,
) -> None:
    """Adds a token to the catalog. A join token is good until `expires_ns` for `uses_left` nodes; a node's token with
    `uses_left` takes the place of the node's own when it is first used."""
    values = {"token_id": token_id, "sha256": digest, "kind": kind, "subject": subject, "created_ns": time.time_ns()}
    values |= {"expires_ns": expires_ns, "uses_left": uses_left}
    connection.execute(sa.insert(tokens).values(values))


def require_new(connection: Connection, digest: str) -> None:
    """Raises a 409 where a token with this SHA-256 is in the catalog."""
    if connection.execute(sa.select(tokens.c.token_id).where(tokens.c.sha256 == digest)).first() is not None:
        raise Problem(409, "token-taken", "another run or user has this token; make a new one for each run")


def _delete(connection: Connection, token_id: str) -> str | None:
    row = connection.execute(sa.select(tokens.c.sha256).where(tokens.c.token_id == token_id)).first()
    connection.execute(sa.delete(tokens).where(tokens.c.token_id == token_id))
    return row.sha256 if row else None


def admin_token(token_file: str, data_dir: Path) -> tuple[str, Path]:
    """The administrator's token and the file it lies in; made where no file was named and none is there. Blocks."""
    path = Path(token_file).expanduser() if token_file else data_dir / "admin.token"
    try:
        if not token_file and not path.exists():
            atomic.write_bytes(str(path), (_TOKEN_PREFIX + secrets.token_urlsafe(32) + "\n").encode())
        token = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it holds something that is no token"
        raise ConfigError(f"the administrator's token in {path} cannot be read: {reason}") from error
    if len(token) < 16 or len(token.split()) != 1:
        raise ConfigError(f"the administrator's token in {path} has to be one word of at least 16 characters")
    return token, path
