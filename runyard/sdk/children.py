"""Child runs: made by their parents, offline too, since whoever makes a child gives it its id.

Writes records; reads from GET /runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from runyard import names
from runyard.errors import InputError

from . import metrics, values

if TYPE_CHECKING:
    from .recording import Recorder
    from .run import Run

_latest_ms = 0

MOST_CHILDREN = 100  # that one call makes
CHILD = "child"


def child_run(parent: Run, name: str | None = None, run_id: str | None = None) -> Run:
    """A new child, which runs. Raises InputError for an id that is none."""
    child = _create(parent, name or "", run_id)
    child.start()
    return child


def create_children(
    parent: Run, count: int | None = None, tag_key: str | None = None, tag_values: Sequence[str] | None = None
) -> list[Run]:
    """New children, not started: `count` of them, or one for each of `tag_values` with the tag `tag_key`."""
    if (count is None) == (tag_key is None or tag_values is None):
        raise InputError("create_children takes either count, or both tag_key and tag_values")
    if count is not None and (isinstance(count, bool) or not hasattr(count, "__index__")):
        raise InputError(f"create_children: count is a whole number; {count!r} was given")
    if count is None and (isinstance(tag_values, str) or not isinstance(tag_values, Iterable)):
        raise InputError(f"create_children: tag_values is a list; {type(tag_values).__name__} was given")
    wanted = range(count) if count is not None else list(tag_values or ())
    if not 1 <= len(wanted) <= MOST_CHILDREN:
        raise InputError(f"create_children makes 1 to {MOST_CHILDREN} children; {len(wanted)} were asked for")
    made = []
    for value in wanted:
        child = _create(parent, "", None)
        if tag_key is not None:
            child.tag(tag_key, str(value))
        made.append(child)
    return made


def get_children(
    parent: Run,
    recursive: bool = False,
    tags: Mapping[str, str] | Sequence[str] | str | None = None,
    properties: Mapping[str, str] | Sequence[str] | str | None = None,
    type: str | None = None,
    status: str | None = None,
) -> Iterator[Run]:
    """Its children, newest first, as they are asked for. Blocks."""
    from . import reading

    yield from reading.children(parent, recursive, tags, properties, type, status)


def parent_of(run: Run) -> Run | None:
    """The run that it is a child of; None where it is none's. Blocks where that is not known here."""
    if run._parent is not None:
        return run._parent
    from . import reading

    return reading.parent(run)


def child_of(parent: Run, run_id: str) -> Run:
    """The child `run_id` of a run, recorded by the same recorder."""
    return _related(parent, run_id, parent._recorder, parent)


def above(run: Run, run_id: str) -> Run:
    """The parent `run_id` of a run, whose recorder takes nothing of it: of a run that was fetched it has a recorder of its own,
    and in a process of the run what is recorded of it raises InputError."""
    from .requesting import RequestRecorder
    from .run import Run

    if isinstance(run._recorder, RequestRecorder):
        return Run(run.experiment, run_id)
    return _related(run, run_id, _NotTaken(run, run_id), None)


class _NotTaken:
    """The recorder of a run above the one that this process belongs to."""

    blobs_dir = ""

    def __init__(self, run: Run, run_id: str) -> None:
        self._of = run._recorder
        self._why = (
            f"run {run_id} is the parent of run {run.id}, whose processes record only what is of that run and its children;"
            f" record it there, or from outside with Run(experiment, {run_id!r})"
        )

    def write(self, record: Sequence[object]) -> None:
        """Raises InputError: the collector would refuse it, unseen."""
        raise InputError(self._why)

    def settle(self, timeout_s: float) -> bool:
        """What the process has recorded of its own run; nothing is recorded here."""
        return self._of.settle(timeout_s)

    def left(self) -> str:
        """As of its own run."""
        return self._of.left()


def _related(run: Run, run_id: str, recorder: Recorder, parent: Run | None) -> Run:
    from .run import Run

    made = Run._made(run_id, run._experiment_name, run._connection, recorder, record_key=run_id)
    made._experiment, made._parent = run._experiment, parent
    return made


def _create(parent: Run, name: str, run_id: str | None) -> Run:
    wanted = run_id or f"{parent.id}_{os.urandom(4).hex()}"
    why = names.why_bad_run_id(wanted)
    if why:
        raise InputError(f"the child's id {wanted!r} {why}")
    if name:
        values.check_name(name, "a run")
    child = child_of(parent, wanted)
    child._is_recorded = True
    parent._recorder.write(["c", wanted, parent._record_key, name, CHILD, "", _next_ms()])
    return child


def _next_ms() -> int:
    """Unix time, later each time: lists tell what is newer by it."""
    global _latest_ms
    made = _latest_ms = max(metrics.now_ms(), _latest_ms + 1)
    return made
