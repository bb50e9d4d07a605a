"""How the processes of a run are spread: over nodes, over the processes of each, and who starts them.

Pure data; standard library only. run.json keeps it as `distribution`; the ranks of one node and the size of the world follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NONE, PYTORCH, TENSORFLOW, MPI = "none", "pytorch", "tensorflow", "mpi"
KINDS = (NONE, PYTORCH, TENSORFLOW, MPI)
# Who starts the driver processes: the shepherd itself, the tasks of a Slurm step, or mpirun.
SHEPHERD, SLURM, MPIRUN = "", "slurm", "mpirun"
FAIL_FAST, WAIT = "fail-fast", "wait"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A run's processes, as one of its nodes sees them."""

    kind: str = NONE  # which variables the processes get
    node_count: int = 1
    node_rank: int = 0
    processes_per_node: int = 1
    parameter_servers: int = 0  # tensorflow: of the processes, the last so many
    launcher: str = SHEPHERD
    launched_ranks: tuple[int, ...] = ()  # the ranks of this node where the launcher has dealt them out
    launched_world_size: int = 0
    rendezvous_s: float = 600.0  # how long the nodes wait for each other
    on_failure: str = FAIL_FAST  # what becomes of the others when a process has failed
    failure_grace_s: float = 30.0  # fail-fast: how long they have to end by themselves
    max_restarts: int = 0  # of the whole run
    stall_after_s: float = 0.0  # a rank that is silent for so long has its stacks taken; 0: never
    mpi_args: tuple[str, ...] = ()  # for mpirun, before the command

    @property
    def world_size(self) -> int:
        """How many processes the whole run has."""
        return self.launched_world_size or self.node_count * self.processes_per_node

    @property
    def ranks(self) -> tuple[int, ...]:
        """The global ranks of this node's processes, by local rank."""
        first = self.node_rank * self.processes_per_node
        return self.launched_ranks or tuple(range(first, first + self.processes_per_node))


def from_json(value: Mapping[str, Any]) -> Distribution:
    """The inverse of dataclasses.asdict over JSON; members that are missing get their defaults."""
    parts = dict(value)
    for name in ("launched_ranks", "mpi_args"):
        parts[name] = tuple(parts.get(name, ()))
    return Distribution(**parts)
