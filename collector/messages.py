"""The JSON bodies and query parameters that the API takes: what may be in them, and what is said where something else is.

Pure. A `__post_init__` raises ValueError with a clause that completes "the body cannot be used: …".
"""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

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
Ip = Annotated[str, Meta(max_length=45, extra_json_schema={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})]
StreamName = Annotated[str, Meta(max_length=MAX_NAME_BYTES, min_length=1, extra_json_schema={"pattern": _NAME_PATTERN})]
Hex32 = Annotated[str, Meta(min_length=32, max_length=32, pattern="^[0-9a-f]{32}$")]
Sha256 = Annotated[str, Meta(min_length=64, max_length=64, pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
Small = Annotated[int, Meta(ge=0, le=2**31 - 1)]
StreamId = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Code = Annotated[int, Meta(ge=-(2**31), le=2**32 - 1)]
Flag = Annotated[int, Meta(ge=0, le=1)]
PageSize = Annotated[int, Meta(ge=1, le=1000)]

NodeStatus = Literal[
    "NotStarted",
    "Queued",
    "Starting",
    "Provisioning",
    "Preparing",
    "Running",
    "CancelRequested",
    "Finalizing",
    "Completed",
    "Failed",
    "Canceled",
]
RunStatus = Literal[NodeStatus, "NotResponding"]


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing but its fields may be in it."""


def check_run_id(field: str, text: str) -> None:
    reason = why_bad_run_id(text)
    if reason:
        raise ValueError(f"{field} {text[:200]!r} {reason}")


def check_node_id(text: str) -> None:
    if not _NODE_ID.fullmatch(text):
        raise ValueError(f"node_id {text[:100]!r} is not made of 8 to 64 of the characters 0-9, a-z, '_' and '-'")


def check_ip(text: str) -> None:
    if "%" in text:
        raise ValueError(f"ip {text!r} has a zone; leave it out")
    ipaddress.ip_address(text)


class CreateRun(Body, frozen=True, kw_only=True):
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
    node_count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    world_size: Annotated[int, Meta(ge=1, le=10_000_000)] = 1
    on_failure: Literal["fail-fast", "wait"] = "fail-fast"
    failure_grace_s: Annotated[float, Meta(ge=0)] = 30.0
    node_id: NodeId | None = None
    node_rank: Small | None = None
    attempt: Small = 0  # of a run of a queue: the one that this node was given
    kind: Annotated[str, Meta(max_length=32, pattern=_NO_NUL)] = "script"
    parent_run_id: RunId | None = None

    def __post_init__(self) -> None:
        check_run_id("run_id", self.run_id)
        check_run_id("experiment", self.experiment)
        if self.node_id is not None:
            check_node_id(self.node_id)


class RegisterNode(Body, frozen=True, kw_only=True):
    """A node of a run says who it is."""

    node_id: NodeId
    ip: Ip
    hostname: Text

    def __post_init__(self) -> None:
        check_node_id(self.node_id)
        check_ip(self.ip)


class Rendezvous(Body, frozen=True, kw_only=True):
    """A node is ready to meet the others of its run."""

    node_id: NodeId
    node_rank: Small
    attempt: Small = 0
    ip: Ip
    hostname: Text
    port: Annotated[int, Meta(ge=1, le=65535)]
    processes: Small = 1
    ranks: Annotated[list[Small], Meta(max_length=10_000)] = []

    def __post_init__(self) -> None:
        check_node_id(self.node_id)
        check_ip(self.ip)


class RendezvousQuery(Body, frozen=True, kw_only=True):
    """How long the answer may wait for the others."""

    wait_s: Annotated[float, Meta(ge=0, le=30)] = 0.0


class StreamToOpen(Body, frozen=True, kw_only=True):
    """One stream that a node wants to send."""

    name: StreamName
    generation: Small = 0
    source_id: Annotated[str, Meta(max_length=256, pattern=_NO_NUL)] = ""

    def __post_init__(self) -> None:
        reason = why_bad_stream_name(self.name)
        if reason:
            raise ValueError(f"the name {self.name[:200]!r} {reason}")


class OpenStreams(Body, frozen=True, kw_only=True):
    """Opens streams of one node."""

    node_id: NodeId
    attempt: Small = 0
    streams: Annotated[list[StreamToOpen], Meta(max_length=MAX_PER_REQUEST)]

    def __post_init__(self) -> None:
        check_node_id(self.node_id)


class Segment(Body, frozen=True, kw_only=True):
    """The digest of the bytes [start, end)."""

    start: Count
    end: Count
    sha256: Sha256


class Seal(Body, frozen=True, kw_only=True):
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


class SealStreams(Body, frozen=True, kw_only=True):
    """Seals streams."""

    seals: Annotated[list[Seal], Meta(max_length=MAX_PER_REQUEST)]

    def __post_init__(self) -> None:
        if len({seal.stream for seal in self.seals}) != len(self.seals):
            raise ValueError("a stream is named twice")


class MakeToken(Body, frozen=True, kw_only=True):
    """Asks for a token."""

    kind: Literal["user", "node"]
    subject: Annotated[str, Meta(min_length=1, max_length=256, pattern=_NO_NUL)]

    def __post_init__(self) -> None:
        if self.kind == "node":
            check_node_id(self.subject)


class NoQuery(Body, frozen=True, kw_only=True):
    """A route without query parameters."""


class RunsQuery(Body, frozen=True, kw_only=True):
    """Which runs are listed."""

    experiment: Text | None = None
    status: RunStatus | None = None
    user: Text | None = None
    name: Text | None = None
    node: Text | None = None
    tag: list[Annotated[str, Meta(max_length=8192, pattern=r"^[^\x00=]+=[^\x00]*$")]] = []
    created_after_ns: Count | None = None
    created_before_ns: Count | None = None
    parent: RunId | None = None
    kind: Text | None = None
    include_children: Flag = 0
    include_deleted: Flag = 0
    page_size: PageSize = 100
    page_token: Text | None = None


class NodeQuery(Body, frozen=True, kw_only=True):
    """Whose streams are listed; without an attempt, those of all."""

    node_id: NodeId
    attempt: Small | None = None

    def __post_init__(self) -> None:
        check_node_id(self.node_id)


class IngestQuery(Body, frozen=True, kw_only=True):
    """Whether to wait for durability, and for which streams besides those in the body."""

    sync: Flag = 0
    stream: Annotated[list[StreamId], Meta(max_length=100_000)] = []


class FilesQuery(Body, frozen=True, kw_only=True):
    """Which files are listed; with `private`, what is the project's own (time indexes, records, blobs) as well."""

    prefix: Text = ""
    node: Text | None = None
    private: Flag = 0
    page_size: PageSize = 100
    page_token: Text | None = None


class FollowQuery(Body, frozen=True, kw_only=True):
    """What is followed, and from where on."""

    file: Annotated[list[Text], Meta(max_length=1000)] = []
    node: Text | None = None
    until: Literal["end", "now"] = "end"
    annotate: Flag = 0
    since_ns: Count | None = None
    tail_lines: Count | None = None


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
