"""Who of those that wait gets which machines: a run gets all its machines at once or none. Pure.

In order of priority, then age. A run for which there is not enough now does not keep later ones from starting; once it has
waited long enough it keeps machines for itself, those that are free for it first, until it has enough: it cannot starve.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from runyard import sizes

from .messages import Capacity, Request


@dataclass(frozen=True, slots=True)
class Wanted:
    """A run that waits. `keep_off`: machines on which something of it has still to end, before it starts anywhere."""

    run_id: str
    node_count: int
    request: Request
    priority: int
    submitted_ns: int
    queued_ns: int
    keep_off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """A node, with what it has and what is taken of it. One that is not `is_usable` keeps its runs and gets no others."""

    node_id: str
    capacity: Capacity
    taken: tuple[Request, ...] = ()
    is_usable: bool = True

    def is_able(self, request: Request) -> bool:
        """Whether it has enough, were it free."""
        has = self.capacity
        return request.gpus <= has.gpus and request.cpus <= has.cpus and request.memory_bytes <= has.memory_bytes

    def is_free_for(self, request: Request) -> bool:
        """Whether the run can start here now."""
        if not self.taken:
            return self.is_able(request)
        if request.is_exclusive or any(one.is_exclusive for one in self.taken):
            return False
        together = (*self.taken, request)
        return (
            sum(one.gpus for one in together) <= self.capacity.gpus
            and round(sum(one.cpus for one in together), 6) <= self.capacity.cpus
            and sum(one.memory_bytes for one in together) <= self.capacity.memory_bytes
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """Who starts, on which machines by node rank; and why the others do not yet."""

    placed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    waits_for: dict[str, str] = field(default_factory=dict)


def plan(waiting: Iterable[Wanted], machines: Sequence[Machine], now_ns: int, reserve_after_s: float) -> Plan:
    """Gives machines to those that wait."""
    usable = {machine.node_id: machine for machine in machines if machine.is_usable}
    kept: set[str] = set()  # for a run that is earlier in the order
    whole = Plan()
    for run in sorted(waiting, key=in_order):
        if run.keep_off:
            whole.waits_for[run.run_id] = f"what is left of its earlier attempt on {_named(run.keep_off)} has to end first"
            continue
        free = [one for one in usable.values() if one.node_id not in kept and one.is_free_for(run.request)]
        if len(free) >= run.node_count:
            chosen = sorted(free, key=_leaves_least)[: run.node_count]
            whole.placed[run.run_id] = tuple(sorted(one.node_id for one in chosen))
            usable |= {one.node_id: replace(one, taken=(*one.taken, run.request)) for one in chosen}
            continue
        able = [one for one in usable.values() if one.node_id not in kept and one.is_able(run.request)]
        is_patient = now_ns - run.queued_ns < reserve_after_s * 1e9
        keeps = [] if is_patient or len(able) < run.node_count else _soonest(able, run.request)[: run.node_count]
        kept |= {one.node_id for one in keeps}
        whole.waits_for[run.run_id] = _why(run, machines, len(free), is_keeping=bool(keeps))
    return whole


def in_order(run: Wanted) -> tuple[int, int, str]:
    """The place of a run in the queue."""
    return -run.priority, run.submitted_ns, run.run_id


def shortage(cluster: str, node_count: int, request: Request, capacities: Collection[Capacity]) -> str:
    """Why these nodes can never be enough, with what there is; empty where they can."""
    able = sum(Machine("", capacity).is_able(request) for capacity in capacities)
    if able >= node_count:
        return ""
    largest = [max((getattr(one, name) for one in capacities), default=0) for name in ("cpus", "memory_bytes", "gpus")]
    has = f"cluster {cluster!r} has {_nodes(len(capacities))}"
    if capacities and able < len(capacities):
        most = f"the largest have {largest[0]:g} CPUs, {sizes.text(int(largest[1]))} of memory and {largest[2]} GPUs"
        has += f", {able} of them with {words(request)} ({most})"
    asked = f" with {words(request)}" if words(request) else ""
    return f"the run asks for {_nodes(node_count)}{asked}; {has}"


def words(request: Request) -> str:
    """What is wanted of each node; empty where any will do."""
    gpus = f"{request.gpus} GPU{'s' if request.gpus > 1 else ''}" if request.gpus else ""
    cpus = f"{request.cpus:g} CPUs" if request.cpus else ""
    memory = f"{sizes.text(request.memory_bytes)} of memory" if request.memory_bytes else ""
    return ", ".join(part for part in (gpus, cpus, memory) if part)


def _leaves_least(machine: Machine) -> tuple[int, int, float, int, str]:
    """Machines that are shared already first, then the smallest: large ones stay free for those that need them."""
    has = machine.capacity
    return -len(machine.taken), has.gpus, has.cpus, has.memory_bytes, machine.node_id


def _soonest(able: Iterable[Machine], request: Request) -> list[Machine]:
    """Those that are free for it first, then those on which the fewest have to end. A machine that is kept gets nobody new,
    so that the choice can only change to one that is nearer to being free."""
    return sorted(able, key=lambda one: (not one.is_free_for(request), len(one.taken), one.node_id))


def _why(run: Wanted, machines: Sequence[Machine], free: int, *, is_keeping: bool) -> str:
    able = [one for one in machines if one.is_able(run.request)]
    unusable = sum(not one.is_usable for one in able)
    asked = f" with {words(run.request)}" if words(run.request) else ""
    there = f"{free} of {len(able)} free now" if able else "there is none"
    away = f", {unusable} cannot be used" if unusable else ""
    return f"{_nodes(run.node_count)}{asked}: {there}{away}{'; nodes are kept for it' if is_keeping else ''}"


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def _named(node_ids: Sequence[str]) -> str:
    return ", ".join(node_ids[:5]) + (" and others" if len(node_ids) > 5 else "")
