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
POLICIES = (FAIL_FAST, WAIT)

# More than any cluster has; a number beyond is a mistake.
MOST_NODES = 100_000
MOST_PROCESSES_PER_NODE = 4096
LONGEST_S = 1e9


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
    launch_s: float = 120.0  # how long the launcher has to start them, once the node is ready
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


def why_wrong(asked: Distribution) -> str:
    """What cannot be, as a sentence that names the flag; empty where all of it can. Each value is of its kind already."""
    return _why_bad_word(asked) or _why_bad_number(asked) or _why_not_together(asked)


def _why_bad_word(asked: Distribution) -> str:
    if asked.kind not in KINDS:
        return f"distribution.kind (--distribution) is {asked.kind!r}; it has to be one of {', '.join(KINDS)}"
    if asked.on_failure not in POLICIES:
        return f"distribution.on_failure (--on-failure) is {asked.on_failure!r}; it has to be {' or '.join(POLICIES)}"
    if asked.launcher not in (SHEPHERD, SLURM, MPIRUN):
        return f"distribution.launcher is {asked.launcher!r}; it has to be empty, slurm or mpirun"
    return ""


def _why_bad_number(asked: Distribution) -> str:
    counts = (
        ("nodes (--nnodes)", asked.node_count, 1, MOST_NODES),
        ("processes_per_node (--nproc-per-node)", asked.processes_per_node, 1, MOST_PROCESSES_PER_NODE),
        ("parameter_servers (--parameter-servers)", asked.parameter_servers, 0, MOST_NODES),
        ("max_restarts (--max-restarts)", asked.max_restarts, 0, 1000),
    )
    for name, count, least, most in counts:
        if not least <= count <= most:
            return f"distribution.{name} is {count}; it has to be a whole number from {least} to {most}"
    spans = (
        ("failure_grace (--failure-grace)", asked.failure_grace_s),
        ("stall_after (--stall-after)", asked.stall_after_s),
        ("rendezvous (--rendezvous)", asked.rendezvous_s),
    )
    for name, span_s in spans:
        if not 0 <= span_s <= LONGEST_S:
            return f"distribution.{name} is {span_s}; it has to be from 0 to {LONGEST_S:.0f} seconds"
    if not asked.rendezvous_s:
        return "distribution.rendezvous (--rendezvous) is 0; the nodes need some time to meet, as in 10m"
    return ""


def _why_not_together(asked: Distribution) -> str:
    if not 0 <= asked.node_rank < asked.node_count:
        last = asked.node_count - 1
        ranks = (
            f"the ranks of {asked.node_count} nodes are 0 to {last}" if last else "with one node (--nnodes 1) it has to be 0"
        )
        return f"the node rank (--node-rank) is {asked.node_rank}; {ranks}"
    if asked.parameter_servers and asked.kind != TENSORFLOW:
        return (
            f"parameter servers (--parameter-servers) are TensorFlow's, and the distribution is {asked.kind!r};"
            " take --distribution tensorflow, or none of them"
        )
    if asked.parameter_servers >= asked.world_size:
        return (
            f"there are {asked.parameter_servers} parameter servers among {asked.world_size} processes, which leaves no"
            " worker; ask for fewer, or for more processes (--nproc-per-node)"
        )
    if asked.mpi_args and asked.kind != MPI:
        return f"--mpi-arg is for mpirun, and the distribution is {asked.kind!r}; take --distribution mpi, or leave it out"
    return ""
