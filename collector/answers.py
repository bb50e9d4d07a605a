"""The JSON bodies of the API's answers. Pure."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from runyard.tracking.records import Goal

from .messages import Body, NodeStatus, RunStatus
from .report import Attempt, Clock, Evidence, Failure, Phase, ProcessStatus, Progress, Transition


class Node(Body, frozen=True, kw_only=True):
    """A node in an answer."""

    node_id: str
    ip: str
    hostname: str
    folder: str
    heard_ns: int | None
    status: NodeStatus
    phase: Phase
    exit_code: int | None
    cause: str
    failure: Failure | None
    transitions: list[Transition]
    attempt: int
    earlier: list[Attempt]
    clock: Clock | None


class ProcessOfRun(Body, frozen=True, kw_only=True):
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
    ended_mono_ns: int | None
    log: str
    evidence: Evidence | None
    progress: Progress | None


class Run(Body, frozen=True, kw_only=True):
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
    phase: Phase
    exit_code: int | None
    signal: int | None
    cause: str
    failure: Failure | None
    created_ns: int
    started_ns: int | None
    ended_ns: int | None
    heard_ns: int | None
    is_complete: bool
    pending: str
    node_count: int
    world_size: int
    attempt: int
    is_pinned: bool
    cluster: str  # in whose queue it was put; empty: in none
    removed_ns: int | None
    removed_why: str
    parent_run_id: str | None
    kind: str
    number: int
    is_client_run: bool
    deleted_ms: int | None


class RunInFull(Run, frozen=True, kw_only=True):
    """A run with how it came to its status, its nodes and its processes, and what it has recorded beside metrics and files."""

    transitions: list[Transition]
    nodes: list[Node]
    processes: list[ProcessOfRun]
    params: dict[str, str]
    properties: dict[str, str]
    goal: Goal | None
    best_run_id: str | None
    best_value: float | None
    hint: str  # what a client has last said of the status of a run that a node has
    warnings: list[str]


class RunList(Body, frozen=True, kw_only=True):
    """A page of runs."""

    runs: list[Run]
    next_page_token: str | UnsetType = UNSET


class RegisteredNode(Body, frozen=True, kw_only=True):
    """Where a node's files lie."""

    node_id: str
    folder: str


class Front(Body, frozen=True, kw_only=True):
    """Steps over all epochs, and of how many one epoch has."""

    done: int
    total: int | None


class StateAnswer(Body, frozen=True, kw_only=True):
    """What a node is asked to do: {"signal", "grace_s", "reason", "is_failure"} to end the driver, or null.

    A `grace_s` of null is the node's own; `is_failure`: the run has failed, it was not canceled.
    """

    stop: dict[str, Any] | None
    now_ns: int  # the wall clock of the collector while it answered
    took_ns: int  # how long it had worked for this answer
    want_stacks: int  # the newest request for the stacks of all processes, counted from 1; 0: none
    front: Front | None  # how far the foremost rank of the run has told that it has come


class Member(Body, frozen=True, kw_only=True):
    """A node that has come to meet the others of its run."""

    node_rank: int
    node_id: str
    ip: str
    hostname: str
    port: int
    processes: int
    ranks: list[int]


class RendezvousAnswer(Body, frozen=True, kw_only=True):
    """Who has come, by node rank, and once all have: the secret that only they know."""

    members: list[Member]
    is_whole: bool
    secret: str


class StacksAnswer(Body, frozen=True, kw_only=True):
    """The number of a request for stacks; what answers it names it, or a higher one."""

    number: int


class OpenedStream(Body, frozen=True, kw_only=True):
    """A stream as its node sees it."""

    id: int
    name: str
    generation: int
    source_id: str
    offset: int
    durable: int
    sealed: bool


class OpenedStreams(Body, frozen=True, kw_only=True):
    """Opened streams, in the order asked."""

    streams: list[OpenedStream]


class Ack(Body, frozen=True, kw_only=True):
    """How far a stream has come."""

    id: int
    offset: int
    durable: int


class Acks(Body, frozen=True, kw_only=True):
    """How far the streams of an ingest request have come, and how long the node pauses before the next one."""

    acks: list[Ack]
    pause_s: float


class SealResult(Body, frozen=True, kw_only=True):
    """Whether the collector holds what the node sent."""

    stream: int
    result: Literal["sealed", "mismatch", "short", "long"]
    offset: int


class SealResults(Body, frozen=True, kw_only=True):
    """The answer to a seals request, in the order asked."""

    seals: list[SealResult]


class File(Body, frozen=True, kw_only=True):
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
    removed_ns: int | None


class FileList(Body, frozen=True, kw_only=True):
    """A page of files."""

    files: list[File]
    next_page_token: str | UnsetType = UNSET


class Snapshot(Body, frozen=True, kw_only=True):
    """A code snapshot that the collector keeps; `id` is the SHA-256 of its bytes."""

    id: str
    size_bytes: int
    created_ns: int


class VerifiedFile(Body, frozen=True, kw_only=True):
    """A file, read again."""

    path: str
    bytes: int
    sha256: str
    result: Literal["ok", "unsealed", "mismatch", "gaps", "removed"]


class Verification(Body, frozen=True, kw_only=True):
    """A run, read again."""

    run_id: str
    is_complete: bool
    files: list[VerifiedFile]


class Token(Body, frozen=True, kw_only=True):
    """A new token; shown this once."""

    token_id: str
    token: str
    kind: Literal["user", "node"]
    subject: str


class Alive(Body, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"]


class Readiness(Body, frozen=True, kw_only=True):
    """Whether what the collector depends on works."""

    status: Literal["ok", "failing"]
    checks: dict[str, str]
