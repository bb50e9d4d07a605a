"""What a node says of its part in a run: its state, how it came to it, its processes, and what failed. Pure.

The body of PUT …/state; parts of it are kept as JSON in the catalog and shown as they came.
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from msgspec import Meta

from .messages import MAX_PER_REQUEST, Body, Code, Count, NodeStatus, Small, Text

# In the order in which a run goes through them; "" before the first.
Phase = Literal["", "image", "execution", "preparation", "driver", "release"]
PHASES: tuple[str, ...] = get_args(Phase)
ProcessStatus = Literal["Started", "Completed", "Failed", "Terminated"]


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
    log: Text = ""


class Failure(Body, frozen=True, kw_only=True):
    """Which phase failed, why, and where that is written: the bytes [start, end) of a file. No log, no place."""

    phase: Phase
    cause: Text
    log: Text | None = None
    start: Count | None = None
    end: Count | None = None


class Transition(Body, frozen=True, kw_only=True):
    """The moment at which a status or a phase was entered."""

    status: NodeStatus
    phase: Phase = ""
    wall_ns: Count


class NodeState(Body, frozen=True, kw_only=True):
    """What a node says about its part of the run."""

    seq: Count
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
