"""Which failure of a run on several nodes came first, as far as its nodes' own words tell, and when the others are to end.

Reads from the tables `runs`, `nodes` and `processes`. Ends are put in order on the collector's time line: a node's monotonic
clock with the offset that it has measured, or else when the collector was told. Wall clocks of nodes have no say: one that is
off must not be blamed. What ends because the collector said that another one failed is told later than that one was.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from . import state
from .report import NodeState
from .schema import nodes, processes

FAIL_FAST = "fail-fast"
UNKNOWN = "nothing is known of how"

# On the collector's time line, and among the processes of one node on that node's own clock.
_Moment = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FirstFailure:
    """What failed first: a process, or (rank None) a node in another way."""

    node_id: str
    ip: str
    rank: int | None
    exit_code: int | None
    signal: int | None
    why: str

    @property
    def sentence(self) -> str:
        """As the run's cause tells it."""
        return f"rank {self.rank} on {self.ip} failed: {self.why}" if self.rank is not None else f"node {self.ip}: {self.why}"

    @property
    def clause(self) -> str:
        """The same within another sentence."""
        return f"{'node' if self.rank is None else f'rank {self.rank} on'} {self.ip} failed ({self.why})"


def first(connection: Connection, run_id: str, attempt: int) -> FirstFailure | None:
    """The failure of this attempt that came first; None where nothing has failed."""
    fields = ("node_id", "ip", "status", "exit_code", "signal", "cause", "failure", "clock", "failed_ns")
    of_attempt = (nodes.c.run_id == run_id) & (nodes.c.attempt == attempt)
    query = sa.select(*(nodes.c[field] for field in fields)).where(of_attempt & nodes.c.failed_ns.is_not(None))
    with_failures = connection.execute(query).all()
    if not with_failures:
        return None
    ended_badly = (processes.c.run_id == run_id) & processes.c.status.in_(("Failed", "Terminated"))
    of_node: dict[str, list[Any]] = {}
    for process in connection.execute(sa.select(processes).where(ended_badly)):
        of_node.setdefault(process.node_id, []).append(process)
    found = [_of_node(node, of_node.get(node.node_id, [])) for node in with_failures]
    known = [one for one in found if one is not None]
    return min(known, key=lambda one: (one[0], one[1].node_id))[1] if known else None


def _of_node(node: Any, ended: list[Any]) -> tuple[_Moment, FirstFailure] | None:
    """When this node's first failure came, and which it was."""
    moments = {process.rank: _moment(node, process) for process in ended}
    failed = [one for one in ended if one.status == "Failed" and not (one.evidence and one.evidence.stopped_by)]
    if failed:
        one = min(failed, key=lambda process: moments[process.rank])
        why = _how(one.exit_code, one.signal) or node.cause or UNKNOWN
        return moments[one.rank], FirstFailure(node.node_id, node.ip, one.rank, one.exit_code, one.signal, why)
    if node.status != "Failed" and node.failure is None:
        return None
    told = f"{node.failure.phase} failed: {node.failure.cause}" if node.failure else _how(node.exit_code, node.signal)
    why = node.cause or told or UNKNOWN
    moment = min(moments.values(), default=(node.failed_ns, 0))
    return moment, FirstFailure(node.node_id, node.ip, None, node.exit_code, node.signal, why)


def _moment(node: Any, process: Any) -> _Moment:
    mono_ns = int(process.ended_mono_ns or 0)
    return (mono_ns + node.clock.offset_ns if mono_ns and node.clock is not None else int(node.failed_ns)), mono_ns


def _how(exit_code: int | None, number: int | None) -> str:
    if number:
        with suppress(ValueError):
            return f"killed by {signal.Signals(number).name}"
        return f"killed by signal {number}"
    return "" if exit_code is None else f"exit code {exit_code}"


def is_one(told: NodeState) -> bool:
    """Whether a node tells of a failure."""
    return told.status == "Failed" or told.failure is not None or any(one.status == "Failed" for one in told.processes)


def stop_for(connection: Connection, run: Any, node_id: str) -> dict[str, Any] | None:
    """What a node that asks is told to do: to end, where somebody has canceled the run (its row), or where it is fail-fast and
    has failed on another node and the grace is over, or was canceled there."""
    if run.cancel_ns is None and (run.node_count == 1 or run.on_failure != FAIL_FAST):
        return None
    this_node = (nodes.c.run_id == run.run_id) & (nodes.c.node_id == node_id)
    node = connection.execute(sa.select(nodes.c.status, nodes.c.attempt).where(this_node)).first()
    if node is None or node.status in state.FINAL or node.status == "Finalizing":
        return None
    if run.cancel_ns is not None:
        return stop(run.cancel_reason, is_failure=False)
    if node.attempt < run.attempt:  # its failure is forgotten, and the node is waited for
        return stop(f"attempt {run.attempt} of the run has begun on another node", is_failure=True)
    if run.failed_ns is None:
        reason = canceled(connection, run.run_id, node_id)
        return stop(reason, is_failure=False) if reason else None
    failure = first(connection, run.run_id, run.attempt)
    if failure is None or failure.node_id == node_id or time.time_ns() < run.failed_ns + run.failure_grace_s * 1e9:
        return None
    return stop(f"{failure.clause[:1000]}; the run ends (fail-fast)", is_failure=True)


def canceled(connection: Connection, run_id: str, node_id: str = "") -> str:
    """On which node but this one the run was canceled; empty: on none."""
    elsewhere = (nodes.c.run_id == run_id) & (nodes.c.node_id != node_id)
    query = sa.select(nodes.c.ip, nodes.c.cause).where(elsewhere & nodes.c.status.in_(("CancelRequested", "Canceled")))
    node = connection.execute(query.order_by(nodes.c.ip)).first()
    if node is None:
        return ""
    return f"the run was canceled on node {node.ip}{f': {node.cause[:1000]}' if node.cause else ''}"


def stop(reason: str, *, is_failure: bool) -> dict[str, Any]:
    """The word that ends a node's processes."""
    return {"signal": int(signal.SIGTERM), "grace_s": None, "reason": reason, "is_failure": is_failure}
