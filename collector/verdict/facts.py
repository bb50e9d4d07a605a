"""What the decision is made from: a run, its nodes and its processes, times already on the collector's time line. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field

from runyard.collector.report import Failure

from .log_words import Words


@dataclass(frozen=True, slots=True)
class RankFacts:
    """One process. Times are the collector's; `clock_error_ns` is what the node's clock may be off by, None: not known."""

    rank: int
    node_id: str = ""
    node_ip: str = ""
    status: str = "Started"
    exit_code: int | None = None
    signal: int | None = None
    ended_ns: int | None = None
    exception_ns: int | None = None
    stopped_ns: int | None = None
    clock_error_ns: int | None = 0
    cause: str = ""
    exception: str = ""
    exception_first: str = ""
    error_file: str = ""
    oom: str = ""
    stopped_by: str = ""
    log: str = ""  # the path by which the API and `runyard logs` know it
    words: Words = Words()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One node. `is_lost`: it has not ended, and nothing is heard from it."""

    node_id: str
    ip: str = ""
    status: str = "Running"
    is_lost: bool = False
    heard_ns: int | None = None
    ended_ns: int | None = None
    exit_code: int | None = None
    cause: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run. `missing` are the ranks that no node has told of. `is_interactive`: its process was there before it, and says
    how it ends."""

    status: str
    world_size: int = 1
    cause: str = ""
    nodes: tuple[NodeFacts, ...] = ()
    ranks: tuple[RankFacts, ...] = ()
    missing: tuple[int, ...] = field(default=())
    is_interactive: bool = False

    @property
    def is_alone(self) -> bool:
        """Whether there is only one process, which nobody else can have torn along."""
        return self.world_size <= 1
