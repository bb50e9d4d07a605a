"""What a route is, what a handler is given, and how a request becomes that.

Reads the query and the body; raises Problems where they are not what the route takes. The routes themselves stand in api.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from . import messages
from .artifacts.files import Artifacts
from .auth import Principal
from .cluster.dispatch import Dispatch
from .commit import Committer
from .database import Database
from .digests import Digester
from .file_store import FileStore
from .hub import Hub
from .ingest import Ingest
from .messages import NoQuery
from .metrics import Metrics
from .problems import Problem, invalid
from .pulse import Pulse
from .rendezvous import Meetings
from .repeats import Repeats
from .seals import Sealer
from .snapshots import Snapshots
from .streams import Streams

JSON_TYPE = "application/json"
FRAMES_TYPE = "application/vnd.runyard.frames"
TAR_TYPE = "application/x-tar"
BYTES_TYPE = "application/octet-stream"
MAX_JSON_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running collector, as the handlers need them."""

    database: Database
    store: FileStore
    streams: Streams
    committer: Committer
    hub: Hub
    meetings: Meetings
    pulse: Pulse
    repeats: Repeats
    dispatch: Dispatch
    ingest: Ingest
    sealer: Sealer
    digester: Digester
    snapshots: Snapshots
    artifacts: Artifacts
    metrics: Metrics
    gate: Any
    sessions: Any
    samples: Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks (None where no token is needed), the checked query and body, and the parts of the path."""

    request: web.Request
    parts: Parts
    who: Principal
    query: Any
    body: Any

    @property
    def run_id(self) -> str:
        """The run in the path."""
        return self.request.match_info["run_id"]

    @property
    def has_left(self) -> bool:
        """Whether nobody is there any more who would read the answer."""
        return self.request.transport is None or self.request.transport.is_closing()


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its status, and its JSON's form or its content type."""

    status: int = 200
    kind: type[Any] | None = None
    content_type: str = JSON_TYPE
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """One line of the route table: it registers the route and describes it."""

    method: str
    path: str
    handler: Handler
    summary: str
    kinds: frozenset[str] | None  # None: no token is needed
    answers: tuple[Answer, ...]
    problems: tuple[int, ...] = ()
    query: type[Any] = NoQuery
    body: type[Any] | None = None
    body_type: str | None = None
    headers: tuple[str, ...] = ()

    @property
    def takes_body(self) -> bool:
        """Whether a request has a body."""
        return self.body is not None or self.body_type is not None


def read_query(request: web.Request, kind: type[Any]) -> Any:
    """The query as a `kind`."""
    lists = _list_fields(kind)
    values: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in lists:
            values.setdefault(name, []).append(value)
        elif name in values:
            raise invalid(f"the query parameter {name!r} is given twice")
        else:
            values[name] = value
    try:
        query = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise invalid(f"the query cannot be used: {_clause(error)}") from error
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name in values and getattr(query, field.name) is None:  # msgspec takes the word for no value at all
            raise invalid(f"the query parameter {name!r} cannot be {values[name]!r}; leave it out")
    return query


def _list_fields(kind: type[Any]) -> frozenset[str]:
    found = _LISTS.get(kind)
    if found is None:
        described = msgspec.inspect.type_info(kind)
        assert isinstance(described, msgspec.inspect.StructType)
        lists = (one.encode_name for one in described.fields if isinstance(one.type, msgspec.inspect.ListType))
        found = _LISTS[kind] = frozenset(lists)
    return found


_LISTS: dict[type[Any], frozenset[str]] = {}


async def read_json(request: web.Request, kind: type[Any]) -> Any:
    """The body as a `kind`."""
    check_content_type(request, JSON_TYPE)
    data = await request.read()
    try:
        return messages.decode(data, kind)
    except msgspec.ValidationError as error:
        raise invalid(f"the body cannot be used: {_clause(error)}") from error
    except (ValueError, msgspec.DecodeError, RecursionError) as error:
        raise invalid(f"the body is not JSON: {_clause(error)}") from error


def check_content_type(request: web.Request, expected: str) -> None:
    """Raises a 415 where the body is of another type, or compressed."""
    if request.content_type != expected:
        raise Problem(415, "wrong-type", f"the body has to be of type {expected}, not {request.content_type}")
    encoding = request.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise Problem(415, "wrong-type", f"the body has to come as it is, not as {encoding[:40]}")


def _clause(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def raw_tail(request: web.Request, name: str) -> str:
    """The part `name` at the end of the path, its bytes as they were sent: a file's name need not be UTF-8."""
    resource = request.match_info.route.resource
    assert resource is not None
    prefix, _, _ = resource.canonical.partition("{" + name)
    depth = prefix.count("/")
    raw = request.rel_url.raw_path.split("/", depth)[depth]
    return unquote(raw, errors="surrogateescape")


def json_response(answer: Any, status: int = 200) -> web.Response:
    """An answer as JSON."""
    return web.Response(status=status, body=messages.encode(answer), content_type=JSON_TYPE)
