"""Which runs are merged, and what is to be known of one. Reads from the tables `runs`, `nodes`, `streams`, `seals`; blocks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard import names, quick_json
from runyard.collector import state
from runyard.collector.placement import RUN_LEVEL
from runyard.collector.schema import nodes, runs, seals, streams

from .talk import NodeNews


@dataclass(frozen=True, slots=True)
class Overview:
    """A run as the merge has to know it. `last_line` ends its process_status.json, once it is over."""

    node_count: int
    nodes: dict[str, NodeNews]
    is_complete: bool
    last_line: str
    is_sealed: bool

    @property
    def is_to_merge(self) -> bool:
        """Whether it has several nodes, and is not merged yet."""
        return (self.node_count > 1 or len(self.nodes) > 1) and not self.is_sealed


def overview(connection: Connection, run_id: str) -> Overview | None:
    """One run; None where there is none."""
    columns = (runs.c.node_count, runs.c.status, runs.c.is_complete, runs.c.ended_ns)
    run = connection.execute(sa.select(*columns).where(runs.c.run_id == run_id)).first()
    if run is None:
        return None
    of_node = (nodes.c.node_id, nodes.c.folder, nodes.c.clock, nodes.c.status, nodes.c.is_complete)
    found = {}
    for row in connection.execute(sa.select(*of_node).where(nodes.c.run_id == run_id)):
        clock = row.clock
        is_over = row.is_complete and row.status in state.FINAL
        found[row.node_id] = NodeNews(
            row.node_id, row.folder, 0, clock.offset_ns if clock else None, clock.error_ns if clock else 0, is_over
        )
    is_complete = run.is_complete and run.status in state.FINAL
    line = last_line(run.status, run.ended_ns or time.time_ns()) if is_complete else ""
    is_sealed = connection.execute(_sealed().where(streams.c.run_id == run_id)).first() is not None
    return Overview(run.node_count, found, is_complete, line, is_sealed)


def last_line(status: str, ended_ns: int) -> str:
    """The line that ends a run's process_status.json, as a node's is ended."""
    seconds, rest = divmod(ended_ns, 10**9)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"
    word = {"Completed": "Completed", "Canceled": "Terminated"}.get(status, "Failed")
    return quick_json.dumps({"process_name": "*", "timestamp": moment, "status": word})


def _sealed() -> sa.Select[tuple[str]]:
    of_run = (streams.c.node_id == RUN_LEVEL) & (streams.c.name == names.STDOUT_LOGS)
    return sa.select(streams.c.run_id).join(seals, seals.c.stream_id == streams.c.id).where(of_run)


def merged(connection: Connection, run_ids: Sequence[str]) -> set[str]:
    """Those of the runs whose run-level files are sealed, which they are all at once."""
    if not run_ids:
        return set()
    return {row.run_id for row in connection.execute(_sealed().where(streams.c.run_id.in_(run_ids)))}


def to_merge(connection: Connection) -> list[str]:
    """The runs on several nodes whose run-level files are not sealed yet."""
    several = sa.select(nodes.c.run_id).group_by(nodes.c.run_id).having(sa.func.count() > 1)
    wanted = ((runs.c.node_count > 1) | runs.c.run_id.in_(several)) & runs.c.run_id.not_in(_sealed())
    return [row.run_id for row in connection.execute(sa.select(runs.c.run_id).where(wanted))]
