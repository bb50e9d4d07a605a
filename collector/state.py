"""From what the nodes of a run say to what the run is. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FINAL = frozenset({"Completed", "Failed", "Canceled"})


@dataclass(frozen=True, slots=True)
class State:
    """The state of a run, or of one node's part in it."""

    status: str = "NotStarted"
    exit_code: int | None = None
    signal: int | None = None
    cause: str = ""
    started_ns: int | None = None
    ended_ns: int | None = None
    is_complete: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the status will not change any more."""
        return self.status in FINAL


def of_run(nodes: Sequence[State]) -> State:
    """A run's state: its only node's; of several, it has failed if one has, and has ended when all have."""
    if not nodes:
        return State()
    if len(nodes) == 1:
        return nodes[0]
    status = _status([node.status for node in nodes])
    decisive = _decisive(nodes, status)
    started = [node.started_ns for node in nodes if node.started_ns is not None]
    ended = [node.ended_ns for node in nodes if node.ended_ns is not None]
    return State(
        status=status,
        exit_code=decisive.exit_code if decisive else None,
        signal=decisive.signal if decisive else None,
        cause=decisive.cause if decisive else "",
        started_ns=min(started, default=None),
        ended_ns=max(ended, default=None) if status in FINAL else None,
        is_complete=all(node.is_complete for node in nodes),
    )


def _status(statuses: Sequence[str]) -> str:
    if all(status in FINAL for status in statuses):
        return next((status for status in ("Failed", "Canceled") if status in statuses), "Completed")
    if all(status == "NotStarted" for status in statuses):
        return "NotStarted"
    if all(status in FINAL or status == "Finalizing" for status in statuses):
        return "Finalizing"
    return "Running"


def _decisive(nodes: Sequence[State], status: str) -> State | None:
    """The node whose end explains the run's: the first that ended so."""
    if status not in FINAL:
        return None
    same = [node for node in nodes if node.status == status]
    return min(same, key=lambda node: (node.ended_ns is None, node.ended_ns or 0))
