"""The JSON bodies and query parameters of the API: what may be in them, and what is said where something else is.

Pure. A `__post_init__` raises ValueError with a clause that completes "the body cannot be used: …".
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from runyard.names import MAX_NAME_BYTES, MAX_RUN_ID_LENGTH, why_bad_run_id, why_bad_stream_name

T = TypeVar("T")

MAX_INT = 2**63 - 1
MAX_PER_REQUEST = 1000
_NO_NUL = r"^[^\x00]*$"  # PostgreSQL keeps no NUL in a text
_RUN_ID_PATTERN = r"^[A-Za-z0-9](\.?[A-Za-z0-9_-])*\.?$"
_NODE_ID = re.compile(r"[0-9a-z_-]{8,64}")
_NAME_PATTERN = (
    r"^([^/.\x00][^/\x00]*|\.[^/.\x00][^/\x00]*|\.\.[^/\x00]+)(/([^/.\x00][^/\x00]*|\.[^/.\x00][^/\x00]*|\.\.[^/\x00]+))*$"
)

Text = Annotated[str, Meta(max_length=4096, pattern=_NO_NUL)]
Argument = Annotated[str, Meta(max_length=131072, pattern=_NO_NUL)]
RunId = Annotated[str, Meta(max_length=MAX_RUN_ID_LENGTH, min_length=1, extra_json_schema={"pattern": _RUN_ID_PATTERN})]
NodeId = Annotated[str, Meta(min_length=8, max_length=64, extra_json_schema={"pattern": "^[0-9a-z_-]{8,64}$"})]
StreamName = Annotated[str, Meta(max_length=MAX_NAME_BYTES, min_length=1, extra_json_schema={"pattern": _NAME_PATTERN})]
Hex32 = Annotated[str, Meta(min_length=32, max_length=32, pattern="^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
Small = Annotated[int, Meta(ge=0, le=2**31 - 1)]
StreamId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Code = Annotated[int, Meta(ge=-(2**31), le=2**32 - 1)]
Flag = Annotated[int, Meta(ge=0, le=1)]
PageSize = Annotated[int, Meta(ge=1, le=1000)]

NodeStatus = Literal["NotStarted", "Running", "Finalizing", "Completed", "Failed", "Canceled"]
RunStatus = Literal["NotStarted", "Running", "Finalizing", "Completed", "Failed", "Canceled", "NotResponding"]
ProcessStatus = Literal["Started", "Completed", "Failed", "Terminated"]


class _Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


def _check_run_id(field: str, text: str) -> None:
    reason = why_bad_run_id(text)
    if reason:
        raise ValueError(f"{field} {text[:200]!r} {reason}")


def _check_node_id(text: str) -> None:
    if not _NODE_ID.fullmatch(text):
        raise ValueError(f"node_id {text[:100]!r} is not made of 8 to 64 of the characters 0-9, a-z, '_' and '-'")


class CreateRun(_Body, frozen=True, kw_only=True):
    """Describes a new run."""

    run_id: RunId
    experiment: RunId
    key: Hex32
    run_token_sha256: Sha256
    created_ns: Count
    command: Annotated[list[Argument], Meta(max_length=100_000)]
    name: Text = ""
    tags: dict[Annotated[str, Meta(min_length=1, max_length=256, pattern=_NO_NUL)], Text] = {}
    cwd: Text = ""
    user: Text = ""
    hostname: Text = ""
    timeout_s: Annotated[float, Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        _check_run_id("run_id", self.run_id)
        _check_run_id("experiment", self.experiment)


class RegisterNode(_Body, frozen=True, kw_only=True):
    """A node of a run says who it is."""

    node_id: NodeId
    ip: Annotated[str, Meta(max_length=45, extra_json_schema={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})]
    hostname: Text

    def __post_init__(self) -> None:
        _check_node_id(self.node_id)
        if "%" in self.ip:
            raise ValueError(f"ip {self.ip!r} has a zone; leave it out")
        ipaddress.ip_address(self.ip)


class Process(_Body, frozen=True, kw_only=True):
    """One driver process, as its node tells of it."""

    rank: Small
    name: Text = ""
    pid: Count | None = None
    status: ProcessStatus
    exit_code: Code | None = None
    signal: Code | None = None
    started_ns: Count | None = None
    ended_ns: Count | None = None
    log: Text = ""


class NodeState(_Body, frozen=True, kw_only=True):
    """What a node says about its part of the run."""

    seq: Count
    status: NodeStatus
    exit_code: Code | None = None
    signal: Code | None = None
    cause: Text = ""
    started_ns: Count | None = None
    ended_ns: Count | None = None
    is_complete: bool = False
    processes: Annotated[list[Process], Meta(max_length=10_000)] = []

    def __post_init__(self) -> None:
        ranks = [process.rank for process in self.processes]
        if len(set(ranks)) != len(ranks):
            raise ValueError("two processes have the same rank")


class StreamToOpen(_Body, frozen=True, kw_only=True):
    """One stream that a node wants to send."""

    name: StreamName
    generation: Small = 0
    source_id: Annotated[str, Meta(max_length=256, pattern=_NO_NUL)] = ""

    def __post_init__(self) -> None:
        reason = why_bad_stream_name(self.name)
        if reason:
            raise ValueError(f"the name {self.name[:200]!r} {reason}")


class OpenStreams(_Body, frozen=True, kw_only=True):
    """Opens streams of one node."""

    node_id: NodeId
    attempt: Small = 0
    streams: Annotated[list[StreamToOpen], Meta(max_length=MAX_PER_REQUEST)]

    def __post_init__(self) -> None:
        _check_node_id(self.node_id)


class Segment(_Body, frozen=True, kw_only=True):
    """The digest of the bytes [start, end)."""

    start: Count
    end: Count
    sha256: Sha256


class Seal(_Body, frozen=True, kw_only=True):
    """The node's word on a whole stream."""

    stream: StreamId
    length: Count
    segments: Annotated[list[Segment], Meta(max_length=100_000)]

    def __post_init__(self) -> None:
        position = 0
        for segment in self.segments:
            if segment.start != position or segment.end < position:
                raise ValueError(f"the segments of stream {self.stream} leave a hole or overlap at byte {position}")
            position = segment.end
        if position != self.length:
            raise ValueError(f"the segments of stream {self.stream} end at byte {position}, its length is {self.length}")


class SealStreams(_Body, frozen=True, kw_only=True):
    """Seals streams."""

    seals: Annotated[list[Seal], Meta(max_length=MAX_PER_REQUEST)]

    def __post_init__(self) -> None:
        if len({seal.stream for seal in self.seals}) != len(self.seals):
            raise ValueError("a stream is named twice")


class MakeToken(_Body, frozen=True, kw_only=True):
    """Asks for a token."""

    kind: Literal["user", "node"]
    subject: Annotated[str, Meta(min_length=1, max_length=256, pattern=_NO_NUL)]

    def __post_init__(self) -> None:
        if self.kind == "node":
            _check_node_id(self.subject)


class NoQuery(_Body, frozen=True, kw_only=True):
    """A route without query parameters."""


class RunsQuery(_Body, frozen=True, kw_only=True):
    """Which runs are listed."""

    experiment: Text | None = None
    status: RunStatus | None = None
    user: Text | None = None
    name: Text | None = None
    node: Text | None = None
    tag: list[Annotated[str, Meta(max_length=8192, pattern=r"^[^\x00=]+=[^\x00]*$")]] = []
    created_after_ns: Count | None = None
    created_before_ns: Count | None = None
    page_size: PageSize = 100
    page_token: Text | None = None


class NodeQuery(_Body, frozen=True, kw_only=True):
    """Whose streams are listed."""

    node_id: NodeId

    def __post_init__(self) -> None:
        _check_node_id(self.node_id)


class IngestQuery(_Body, frozen=True, kw_only=True):
    """Whether to wait for durability, and for which streams besides those in the body."""

    sync: Flag = 0
    stream: Annotated[list[StreamId], Meta(max_length=100_000)] = []


class FilesQuery(_Body, frozen=True, kw_only=True):
    """Which files are listed."""

    prefix: Text = ""
    node: Text | None = None
    page_size: PageSize = 100
    page_token: Text | None = None


class FollowQuery(_Body, frozen=True, kw_only=True):
    """What is followed, and from where on."""

    file: Annotated[list[Text], Meta(max_length=1000)] = []
    node: Text | None = None
    until: Literal["end", "now"] = "end"
    annotate: Flag = 0
    since_ns: Count | None = None
    tail_lines: Count | None = None


class Node(_Body, frozen=True, kw_only=True):
    """A node in an answer."""

    node_id: str
    ip: str
    hostname: str
    folder: str
    heard_ns: int | None
    status: NodeStatus
    exit_code: int | None
    cause: str


class ProcessOfRun(_Body, frozen=True, kw_only=True):
    """A process in an answer."""

    node_id: str
    rank: int
    name: str
    pid: int | None
    status: ProcessStatus
    exit_code: int | None
    signal: int | None
    started_ns: int | None
    ended_ns: int | None
    log: str


class Run(_Body, frozen=True, kw_only=True):
    """A run in an answer."""

    run_id: str
    experiment: str
    name: str
    tags: dict[str, str]
    command: list[str]
    cwd: str
    user: str
    hostname: str
    timeout_s: float | None
    status: RunStatus
    exit_code: int | None
    signal: int | None
    cause: str
    created_ns: int
    started_ns: int | None
    ended_ns: int | None
    heard_ns: int | None
    is_complete: bool


class RunInFull(Run, frozen=True, kw_only=True):
    """A run with its nodes and processes."""

    nodes: list[Node]
    processes: list[ProcessOfRun]


class RunList(_Body, frozen=True, kw_only=True):
    """A page of runs."""

    runs: list[Run]
    next_page_token: str | UnsetType = UNSET


class RegisteredNode(_Body, frozen=True, kw_only=True):
    """Where a node's files lie."""

    node_id: str
    folder: str


class StateAnswer(_Body, frozen=True, kw_only=True):
    """What a node is asked to do: {"signal", "grace_s", "reason"} to end the driver, or null."""

    stop: dict[str, Any] | None


class OpenedStream(_Body, frozen=True, kw_only=True):
    """A stream as its node sees it."""

    id: int
    name: str
    generation: int
    source_id: str
    offset: int
    durable: int
    sealed: bool


class OpenedStreams(_Body, frozen=True, kw_only=True):
    """Opened streams, in the order asked."""

    streams: list[OpenedStream]


class Ack(_Body, frozen=True, kw_only=True):
    """How far a stream has come."""

    id: int
    offset: int
    durable: int


class Acks(_Body, frozen=True, kw_only=True):
    """How far the streams of an ingest request have come."""

    acks: list[Ack]


class SealResult(_Body, frozen=True, kw_only=True):
    """Whether the collector holds what the node sent."""

    stream: int
    result: Literal["sealed", "mismatch", "short", "long"]
    offset: int


class SealResults(_Body, frozen=True, kw_only=True):
    """The answer to a seals request, in the order asked."""

    seals: list[SealResult]


class File(_Body, frozen=True, kw_only=True):
    """A file of a run."""

    path: str
    node_id: str
    name: str
    folder: str
    bytes: int
    is_sealed: bool
    sha256: str | None
    modified_ns: int
    gaps: list[tuple[int, int]]


class FileList(_Body, frozen=True, kw_only=True):
    """A page of files."""

    files: list[File]
    next_page_token: str | UnsetType = UNSET


class VerifiedFile(_Body, frozen=True, kw_only=True):
    """A file, read again."""

    path: str
    bytes: int
    sha256: str
    result: Literal["ok", "unsealed", "mismatch", "gaps"]


class Verification(_Body, frozen=True, kw_only=True):
    """A run, read again."""

    run_id: str
    is_complete: bool
    files: list[VerifiedFile]


class Token(_Body, frozen=True, kw_only=True):
    """A new token; shown this once."""

    token_id: str
    token: str
    kind: Literal["user", "node"]
    subject: str


class Alive(_Body, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(_Body, frozen=True, kw_only=True):
    """Whether what the collector depends on works."""

    status: Literal["ok", "failing"]
    checks: dict[str, str]


def is_node_id(text: str) -> bool:
    """Whether `text` may be a node's id."""
    return bool(_NODE_ID.fullmatch(text))


def decode(body: bytes, kind: type[T]) -> T:
    """The body as a `kind`; raises msgspec.ValidationError, or ValueError where it is no JSON."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        # msgspec knows no half characters, and a name that is not UTF-8 on the node's disk is written with them.
        if b"\\ud" not in body and b"\\uD" not in body:
            raise
    return msgspec.convert(json.loads(body), kind)


def encode(answer: Any) -> bytes:
    """An answer as JSON."""
    try:
        return msgspec.json.encode(answer)
    except UnicodeEncodeError:  # a name that is not UTF-8; the other way round as in `decode`
        return json.dumps(msgspec.to_builtins(answer)).encode()
