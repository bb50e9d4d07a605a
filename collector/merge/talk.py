"""What the collector and the process that merges say to each other: a JSON object a line, question and answer in turn."""

from __future__ import annotations

import msgspec


class StreamNews(msgspec.Struct, array_like=True):
    """How far a stream of a node has come. `is_closed`: no byte comes any more."""

    id: int
    node_id: str
    name: str
    attempt: int
    generation: int
    key: str
    offset: int
    is_closed: bool
    gaps: list[tuple[int, int]]


class NodeNews(msgspec.Struct, array_like=True):
    """What is known of a node: when it was heard from, its clock (collector = monotonic + offset), whether it has ended."""

    node_id: str
    folder: str
    heard_ns: int
    offset_ns: int | None
    error_ns: int
    is_over: bool


class RunNews(msgspec.Struct):
    """What is new of a run. `outputs` (the keys of its run-level files) comes first and once; `last_line` when all has come."""

    run_id: str
    outputs: dict[str, str] = {}
    streams: list[StreamNews] = []
    nodes: list[NodeNews] = []
    last_line: str | None = None
    is_anew: bool = False  # forget what was merged and start again


class Tick(msgspec.Struct):
    """A question: merge what can be merged by now."""

    now_ns: int
    runs: list[RunNews]


class RunAnswer(msgspec.Struct):
    """How long the run-level files are; whether there is more to do at once, whether lines wait, and whether all is done."""

    run_id: str
    sizes: dict[str, int] = {}
    has_more: bool = False
    is_waiting: bool = False
    is_over: bool = False
    error: str = ""


class Answers(msgspec.Struct):
    """An answer."""

    runs: list[RunAnswer]
