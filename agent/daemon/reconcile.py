"""What is there and what is to be: which runs of the queue a node has to start, to end, and to tell of. Pure.

The collector tells the whole of what the node is to have, the spool says what it has; nothing depends on having seen a change.
So an answer that was lost, and any kill, cost nothing but time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STARTING, FINALIZING = "Starting", "Finalizing"
FINAL = ("Completed", "Failed", "Canceled")
IDLE, PREPARING, RUNNING, LEAVING, UNUSABLE = "Idle", "Preparing", "Running", "Leaving", "Unusable"
# What a node with nothing but such runs is: Preparing.
_EARLY = ("Queued", STARTING, "Preparing", "Provisioning")

# All that a run on a node may be.
STATUSES = (*_EARLY, "Running", "CancelRequested", FINALIZING, *FINAL)

# A run's attempt.
Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class LocalRun:
    """A run of the queue in this node's spool. `is_ended`: the node's last word on it is written. `is_over`: nothing of it is
    left to do here. `is_stopping`: it was asked to end. `gpus`: which of the node's it was given."""

    run_id: str
    attempt: int
    status: str
    is_ended: bool = False
    is_over: bool = False
    is_stopping: bool = False
    gpus: tuple[int, ...] = ()

    @property
    def key(self) -> Key:
        return self.run_id, self.attempt


@dataclass(frozen=True, slots=True)
class Work:
    """What the collector wants this node to have: each assignment as it came, by run and attempt. `epoch`: which memory of its
    own it speaks from; empty: it is of an earlier version, which does not tell."""

    version: int
    is_drained: bool
    assignments: Mapping[Key, Mapping[str, Any]]
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What this node keeps of the collector's memory: the epoch that was told last, empty where none was, and the runs here
    that the collector has forgotten, since it was restored from a backup: they go on to their own end."""

    epoch: str = ""
    forgotten: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Steps:
    """What is to be done: assignments to start, runs to end and why."""

    start: tuple[Mapping[str, Any], ...] = ()
    stop: tuple[tuple[Key, str], ...] = ()


def work_of(answer: Mapping[str, Any]) -> Work:
    """The collector's answer as a value. Raises KeyError, TypeError or ValueError where it is none."""
    assignments = {(str(one["run_id"]), int(one["attempt"])): one for one in answer["assignments"]}
    return Work(int(answer["version"]), bool(answer["is_drained"]), assignments, str(answer.get("epoch") or ""))


def remembered(memory: Memory, local: Sequence[LocalRun], work: Work | None) -> Memory:
    """What is to be kept now. With another epoch all that is here and not in `work` is forgotten, not taken; a run that the
    collector has told of since then is its own again. One that is not in `local` may only not be readable now."""
    if work is None or not work.epoch:
        return memory
    forgotten = memory.forgotten - {run.key for run in local if run.is_over}
    if memory.epoch and memory.epoch != work.epoch:
        forgotten |= {run.key for run in local if not run.is_ended}
    return Memory(work.epoch, forgotten - work.assignments.keys())


def steps(
    local: Sequence[LocalRun], work: Work | None, refused: Mapping[Key, str], forgotten: Collection[Key] = frozenset()
) -> Steps:
    """What leads from `local` to `work`; nothing while the collector has not told any. `refused` cannot be started here;
    `forgotten` go on though they are not in `work`, unless a newer attempt is."""
    if work is None:
        return Steps()
    there = {run.key for run in local}
    start = tuple(
        assignment
        for key, assignment in work.assignments.items()
        if key not in there and key not in refused and not assignment.get("stop")
    )
    live = [run for run in local if not run.is_ended and not run.is_stopping]
    stop = tuple((run.key, why) for run in live if (why := _why_stop(run, work, forgotten)))
    return Steps(start, stop)


def _why_stop(run: LocalRun, work: Work, forgotten: Collection[Key]) -> str:
    """Why the run is to end on this node; empty where it is to go on."""
    assignment = work.assignments.get(run.key)
    if assignment is not None:
        return str(assignment.get("stop") or "")
    newer = [attempt for run_id, attempt in work.assignments if run_id == run.run_id and attempt > run.attempt]
    if newer:
        return f"attempt {max(newer)} of the run has taken its place"
    return "" if run.key in forgotten else "the collector has taken the run from this node"


def told(local: Sequence[LocalRun], work: Work | None) -> list[dict[str, Any]]:
    """The runs as the heartbeat lists them: all that are not over, and of the others those that the collector still counts."""
    return [
        {"run_id": run.run_id, "attempt": run.attempt, "status": run.status} | ({"is_over": True} if run.is_over else {})
        for run in local
        if not run.is_over or work is None or run.key in work.assignments
    ]


def status(local: Sequence[LocalRun], unusable: str) -> tuple[str, str]:
    """What the node does, and the reason where it can do nothing."""
    if unusable:
        return UNUSABLE, unusable
    statuses = [run.status for run in local if not run.is_over]
    if not statuses:
        return IDLE, ""
    return (PREPARING if all(one in _EARLY for one in statuses) else RUNNING), ""


def is_exclusive(request: Mapping[str, Any]) -> bool:
    """Whether the run shares its nodes with no other."""
    return not request.get("cpus") and not request.get("memory_bytes")


def held_by(local: Sequence[LocalRun], forgotten: Collection[Key]) -> tuple[str, ...]:
    """Runs that keep others from starting here: the collector, which gives each run its share, does not know of theirs."""
    return tuple(run.run_id for run in local if run.key in forgotten and not run.is_over)


def free_gpus(count: int, local: Sequence[LocalRun], wanted: int) -> tuple[int, ...] | None:
    """Which GPUs a run that wants so many is given; None where so many are not free yet: an earlier run still leaves."""
    taken = {gpu for run in local if not run.is_ended for gpu in run.gpus}
    free = [gpu for gpu in range(count) if gpu not in taken]
    return tuple(free[:wanted]) if len(free) >= wanted else None
