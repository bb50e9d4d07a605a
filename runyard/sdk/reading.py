"""Reading what runs have recorded: metrics, tags, properties, children.

Reads from the collector, or, where a job cannot reach it, from the journals on its node (replay.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Run

Marks = Mapping[str, str] | Sequence[str] | str | None


def get_metrics(
    run: Run, name: str | None, recursive: bool, run_type: str | None, populate: bool, as_lists: bool
) -> dict[str, Any]:
    """The run's metrics."""
    raise NotImplementedError


def marks(run: Run, which: str) -> dict[str, str]:
    """The run's tags or properties."""
    raise NotImplementedError


def children(
    parent: Run, recursive: bool, tags: Marks, properties: Marks, kind: str | None, status: str | None
) -> Iterator[Run]:
    """The run's children."""
    raise NotImplementedError


def parent(run: Run) -> Run | None:
    """The run's parent."""
    raise NotImplementedError
