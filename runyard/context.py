"""Context managers around a run's driver: the plug-in interface. Standard library only.

A manager is entered on the node in job preparation and left in job release, after the driver has ended, however it ended.
It is named in run.toml by an entry point of the group `runyard.context_managers` or as `module:Class`:

    class Tunnel(ContextManager):
        def __init__(self, job: Job, *, host: str) -> None: ...
        def __enter__(self) -> "Tunnel": ...
        def __exit__(self, *raised: object) -> None: ...

Any class that takes the job and its options so and has these two methods will do. The same object is entered and left, also
where a stop or its time limit cuts it off in the middle of `__enter__`; only where it raises by itself it has to undo what it
did. Where its process has died, a new object is made, is given the `state` that the first one had, and is only left: the one
from after `__enter__`, or, before that, from after the constructor. What has to be undone should therefore be in `state`, which
has to be fit for JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENTRY_POINTS = "runyard.context_managers"


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder or file of the node that the driver's container sees at `target`."""

    source: str
    target: str
    read_only: bool = False


@dataclass(slots=True)
class Job:
    """What a manager is told of the run, and what it may add to it. One object for all managers of a run; not copied."""

    run_id: str
    experiment: str
    node_id: str
    work_dir: Path  # this run's own; removed in release
    data_dir: Path  # where datastores lie
    code_dir: Path | None  # where the snapshot lies; None: there is none
    outputs_dir: Path  # what is in it is sent when the run ends
    logs_dir: Path  # what is in it is sent as it grows
    processes_dir: Path  # .runyard/proc: the drivers' pids
    is_container: bool  # whether the driver runs in one
    say: Callable[[str], None]  # one line to the log of the phase
    secrets: Callable[[Mapping[str, str]], dict[str, str]]  # option -> env:NAME or file:PATH, to their values
    env: dict[str, str] = field(default_factory=dict)  # added to the driver's environment
    volumes: list[Volume] = field(default_factory=list)  # added to the driver's container
    outcome: Mapping[str, Any] = field(default_factory=dict)  # in release: `status`, `exit_code`; empty: no driver was started


class ContextManager:
    """A base for managers: keeps the job, and the state that survives the death of the process that enters it."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.state: dict[str, Any] = {}

    def __enter__(self) -> ContextManager:
        return self

    def __exit__(self, *raised: object) -> None:
        """Undo what was entered. Has to bear with a state that is empty or not whole, and with being called twice."""
