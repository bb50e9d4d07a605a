"""What a node says of its part in a run: its state, how it came to it, its processes, and what failed. Pure.

The body of PUT …/state; parts of it are kept as JSON in the catalog and shown as they came.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta

from .messages import MAX_PER_REQUEST, Body, Code, Count, NodeStatus, Small, Text

# In the order in which a run goes through them; "" before the first.
Phase = Literal["", "image", "execution", "preparation", "rendezvous", "driver", "release"]
PHASES: tuple[str, ...] = get_args(Phase)
ProcessStatus = Literal["Started", "Completed", "Failed", "Terminated"]


class Evidence(Body, frozen=True, kw_only=True):
    """What the node knows of a process's end beside its exit code, for the verdict on a run that failed."""

    cause: Text = ""  # why it could not be started, or how it ended where no exit code tells
    exception: Text = ""  # the exception that ended it, in one line
    exception_first: Text = ""  # where that one began: what it was raised from, or while handling
    exception_mono_ns: Count | None = None  # when it came, on the node's monotonic clock
    error_file: Text = ""  # what torch's error file says
    oom: Text = ""  # what the kernel or the control group says of its memory
    stopped_by: Text = ""  # who had asked it to end before it did
    stopped_mono_ns: Count | None = None  # when, on the node's monotonic clock


class Progress(Body, frozen=True, kw_only=True):
    """How far a process has come, as its node finds in its log; and whether it gets on."""

    step: Count | None = None
    total: Count | None = None
    done: Count | None = None  # steps over all epochs
    epoch: Annotated[float, Meta(ge=0)] | None = None
    rate_per_s: Annotated[float, Meta(ge=0)] | None = None
    eta_s: Annotated[float, Meta(ge=0)] | None = None
    at_ns: Count  # of this word
    last_output_ns: Count | None = None
    is_stalled: bool = False
    stalls: Small = 0  # how often it has stalled so far


class Process(Body, frozen=True, kw_only=True):
    """One driver process, as its node tells of it."""

    rank: Small
    name: Text = ""
    pid: Count | None = None
    status: ProcessStatus
    exit_code: Code | None = None
    signal: Code | None = None
    started_ns: Count | None = None
    ended_ns: Count | None = None
    ended_mono_ns: Count | None = None
    log: Text = ""
    evidence: Evidence | None = None
    progress: Progress | None = None


class Clock(Body, frozen=True, kw_only=True):
    """What a node has measured: the collector's wall clock is its own monotonic clock + offset_ns, give or take error_ns."""

    offset_ns: int
    error_ns: Count


class Failure(Body, frozen=True, kw_only=True):
    """Which phase failed, why, and where that is written: the bytes [start, end) of a file. No log, no place."""

    phase: Phase
    cause: Text
    log: Text | None = None
    start: Count | None = None
    end: Count | None = None


class Settled(Body, frozen=True, kw_only=True):
    """How the collector itself ended an attempt at a run of which no node will tell: it never had any, or lost them."""

    attempt: Small
    status: Literal["Failed", "Canceled"]
    cause: Text
    ended_ns: Count


class Transition(Body, frozen=True, kw_only=True):
    """The moment at which a status or a phase was entered."""

    status: NodeStatus
    phase: Phase = ""
    wall_ns: Count


class Attempt(Body, frozen=True, kw_only=True):
    """How an earlier attempt at the run ended on a node."""

    attempt: Small
    status: NodeStatus
    exit_code: Code | None = None
    cause: Text = ""
    started_ns: Count | None = None
    ended_ns: Count | None = None


class NodeState(Body, frozen=True, kw_only=True):
    """What a node says about its part of the run."""

    seq: Count
    attempt: Small = 0
    earlier: Annotated[list[Attempt], Meta(max_length=1000)] = []
    clock: Clock | None = None
    status: NodeStatus
    phase: Phase = ""
    exit_code: Code | None = None
    signal: Code | None = None
    cause: Text = ""
    failure: Failure | None = None
    started_ns: Count | None = None
    ended_ns: Count | None = None
    is_complete: bool = False
    processes: Annotated[list[Process], Meta(max_length=10_000)] = []
    transitions: Annotated[list[Transition], Meta(max_length=MAX_PER_REQUEST)] = []

    def __post_init__(self) -> None:
        ranks = [process.rank for process in self.processes]
        if len(set(ranks)) != len(ranks):
            raise ValueError("two processes have the same rank")
