"""From what the nodes of a run say to what the run is. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from .report import PHASES, Failure, Transition

FINAL = frozenset({"Completed", "Failed", "Canceled"})
# Of a run none of whose drivers runs yet: it has come as far as its foremost node.
_BEFORE_RUNNING = ("NotStarted", "Queued", "Starting", "Provisioning", "Preparing")

# A status and a phase.
_Place = tuple[str, str]
_START: _Place = ("NotStarted", "")


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
    phase: str = ""
    failure: Failure | None = None

    @property
    def is_final(self) -> bool:
        """Whether the status will not change any more."""
        return self.status in FINAL


def awaited(nodes: Sequence[State], node_count: int) -> int:
    """How many nodes have never been heard of and are still waited for: none any more once all the others are ending without
    having completed, for what is missing can then change nothing."""
    is_given_up = bool(nodes) and all(node.status in FINAL or node.status == "Finalizing" for node in nodes)
    if is_given_up and any(node.exit_code or node.failure or node.status in ("Failed", "Canceled") for node in nodes):
        return 0
    return max(0, node_count - len(nodes))


def of_run(nodes: Sequence[State], node_count: int = 1, failed: State | None = None) -> State:
    """A run's state: its only node's; of several, it has failed if one has, and has ended when all have. `failed` is the part
    that failed first, where that is known better than by the nodes' own wall clocks."""
    if not nodes:
        return State()
    if node_count == len(nodes) == 1:
        return nodes[0]
    is_missing = awaited(nodes, node_count) > 0
    if is_missing:
        nodes = [*nodes, State()]
    status = _status({node.status for node in nodes})
    decisive = _first_ended([node for node in nodes if node.status == status]) if status in FINAL else None
    if status == "Failed" and failed is not None:
        decisive = failed
    explained = [failed] if failed is not None and failed.failure else [node for node in nodes if node.failure]
    explaining = decisive or _first_ended(explained)
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
        phase=decisive.phase if decisive else _phase({(node.status, node.phase) for node in nodes}, status),
        failure=explaining.failure if explaining else None,
    )


def at_least(status: str, known: str) -> str:
    """The further one of two statuses, of which `known` comes before Running."""
    return known if status in _BEFORE_RUNNING[: _BEFORE_RUNNING.index(known)] else status


def transitions_of_run(nodes: Sequence[Sequence[Transition]]) -> list[Transition]:
    """How a run came to its status, from how each of its nodes did: what `of_run` says after each of their transitions, in
    the order of time; where it says the same again, nothing. A node whose clock went back keeps its order."""
    count_at = Counter({_START: len(nodes)})
    place_of = [_START] * len(nodes)
    ended_in: dict[str, str] = {}  # for each final status the phase of the first node that ended so
    told: list[Transition] = []
    for wall_ns, node, moment in _in_order_of_time(nodes):
        count_at[place_of[node]] -= 1
        place_of[node] = (moment.status, moment.phase)
        count_at[place_of[node]] += 1
        if moment.status in FINAL:
            ended_in.setdefault(moment.status, moment.phase)
        places = {place for place, count in count_at.items() if count}
        status = _status({status for status, _ in places})
        phase = ended_in[status] if status in FINAL else _phase(places, status)
        if not told or (told[-1].status, told[-1].phase) != (status, phase):
            # Both are words of the nodes, whose types were checked when they came.
            told.append(Transition(status=status, phase=phase, wall_ns=wall_ns))  # type: ignore[arg-type]
    return told


def _in_order_of_time(nodes: Sequence[Sequence[Transition]]) -> list[tuple[int, int, Transition]]:
    moments: list[tuple[int, int, Transition]] = []
    for node, transitions in enumerate(nodes):
        times = accumulate((moment.wall_ns for moment in transitions), max)
        moments += [(wall_ns, node, moment) for wall_ns, moment in zip(times, transitions, strict=True)]
    return sorted(moments, key=lambda moment: moment[0])


def _status(statuses: Collection[str]) -> str:
    if FINAL.issuperset(statuses):
        return next((status for status in ("Failed", "Canceled") if status in statuses), "Completed")
    if "CancelRequested" in statuses:
        return "CancelRequested"
    if all(status in FINAL or status == "Finalizing" for status in statuses):
        return "Finalizing"
    if all(status in _BEFORE_RUNNING for status in statuses):
        return max(statuses, key=_BEFORE_RUNNING.index)
    return "Running"


def _phase(places: Iterable[_Place], status: str) -> str:
    """The phase of a run that goes on: the one in which the hindmost of the nodes in its status is; where there is none (some
    have finished, others have not begun), the hindmost of those that have not ended."""
    living = [place for place in places if place[0] not in FINAL]
    same = [place for place in living if place[0] == status]
    return min((phase for _, phase in same or living), key=PHASES.index)


def _first_ended(nodes: Sequence[State]) -> State | None:
    """The node whose end explains the run's."""
    return min(nodes, key=lambda node: (node.ended_ns is None, node.ended_ns or 0), default=None)
