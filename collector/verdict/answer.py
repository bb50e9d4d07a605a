"""The JSON body of the verdict's answer. Pure."""

from __future__ import annotations

from typing import Literal

from runyard.collector.messages import Body

Kind = Literal[
    "",
    "oom",
    "exception",
    "signal",
    "exit-code",
    "timeout",
    "never-started",
    "hang",
    "early-exit",
    "lost-contact",
    "launcher",
    "phase",
]
Confidence = Literal["high", "medium", "low"]


class Exhibit(Body, frozen=True, kw_only=True):
    """A piece of evidence: what it is, its text, and where it stands: the bytes [start, end) of the file `log`."""

    rank: int | None
    node: str
    what: str
    log: str | None
    start: int | None
    end: int | None
    text: str
    wall_ns: int | None


class End(Body, frozen=True, kw_only=True):
    """A process's end on the collector's time line, which may be off by error_ns (null: its node's clock is not known)."""

    rank: int
    node: str
    at_ns: int | None
    error_ns: int | None
    exit_code: int | None
    signal: int | None
    exception: str


class Verdict(Body, frozen=True, kw_only=True):
    """Who failed first, and why. `rank` and `node_id` are null where it is no single process's or node's failure."""

    is_decided: bool
    rank: int | None
    node_id: str | None
    node_ip: str | None
    confidence: Confidence
    kind: Kind
    sentence: str
    evidence: list[Exhibit]
    order: list[End]
