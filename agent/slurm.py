"""What a Slurm step says of the task that we are: how the run is spread over its nodes, and what the run is called.

Reads the variables that Slurm sets for every task (srun(1)); writes nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from runyard.distribution import SHEPHERD, SLURM, Distribution
from runyard.errors import InputError

# Steps that srun has not made: a batch script, an interactive shell, what is beside a job (slurm.h). There is one task then.
_FIRST_OWN_STEP = 0xFFFFFFF0
# Set for every process of a run: what a training starts is no task of the step, although it sees its variables.
_INSIDE_A_RUN = "RUNYARD_RUN_MARK"


def is_task(environ: Mapping[str, str]) -> bool:
    """Whether we are a task that srun has started."""
    step = environ.get("SLURM_STEP_ID", "")
    return step.isdigit() and int(step) < _FIRST_OWN_STEP and _INSIDE_A_RUN not in environ


def distribution_from(environ: Mapping[str, str], asked: Distribution) -> Distribution | None:
    """The run as this task's node has it, from the step and what was asked; None where the step is one task, or there is none.

    One task per node: its shepherd starts the processes. Several: each is one process of the run. Raises InputError.
    """
    if not is_task(environ):
        return None
    nodes = _either(environ, "SLURM_STEP_NUM_NODES", "SLURM_NNODES")
    tasks = _either(environ, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")
    if nodes == tasks == 1:
        return None
    _check_agreed(asked, nodes, tasks)
    found = replace(asked, node_count=nodes, node_rank=_number(environ, "SLURM_NODEID"))
    if tasks == nodes and asked.launcher != SLURM:
        return replace(found, launcher=SHEPHERD)
    ranks = _ranks(environ)
    return replace(found, launcher=SLURM, processes_per_node=len(ranks), launched_ranks=ranks, launched_world_size=tasks)


def default_run_id(environ: Mapping[str, str], experiment: str) -> str:
    """The same for all tasks of a step, without their talking; another one when Slurm starts a job again."""
    job, step = _number(environ, "SLURM_JOB_ID"), _number(environ, "SLURM_STEP_ID")
    restarts = environ.get("SLURM_RESTART_COUNT", "0")
    return f"{experiment}_slurm{job}_{step}" + ("" if restarts == "0" else f"_r{restarts}")


def is_leader(environ: Mapping[str, str]) -> bool:
    """Whether this task makes its node's part of the run; the node's other tasks join it."""
    return _number(environ, "SLURM_LOCALID") == 0


def own_rank(environ: Mapping[str, str]) -> int:
    """The rank that this task is."""
    return _number(environ, "SLURM_PROCID")


def _check_agreed(asked: Distribution, nodes: int, tasks: int) -> None:
    if asked.node_count not in (1, nodes):
        raise InputError(f"--nnodes is {asked.node_count}, and the Slurm step has {nodes} nodes; leave --nnodes out under srun")
    if tasks > nodes and asked.processes_per_node != 1:
        raise InputError(
            f"--nproc-per-node is {asked.processes_per_node}, and the Slurm step has {tasks} tasks on {nodes} nodes, each of"
            " which is one process; leave --nproc-per-node out, or start one task per node (srun --ntasks-per-node=1)"
        )
    if tasks > nodes and asked.max_restarts:
        raise InputError(
            "max_restarts is set, and the Slurm step has several tasks per node, which only Slurm itself starts again; leave it"
            " out, or start one task per node (srun --ntasks-per-node=1)"
        )
    if tasks < nodes:
        raise InputError(f"the Slurm step has {tasks} tasks on {nodes} nodes; each node needs one (srun --ntasks-per-node=1)")


def _ranks(environ: Mapping[str, str]) -> tuple[int, ...]:
    """The global task ids of this node, in the order of the local ones."""
    text = environ.get("SLURM_GTIDS", "")
    words = text.split(",")
    if not all(word.isdigit() for word in words):
        raise InputError(f"SLURM_GTIDS is {text!r}; srun sets it to this node's task ids, as in 0,1")
    return tuple(map(int, words))


def _either(environ: Mapping[str, str], of_step: str, of_job: str) -> int:
    return _number(environ, of_step if of_step in environ else of_job)


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not text.isdigit():
        raise InputError(f"{name} is {text!r} in a Slurm step, where srun sets it to a number; --launcher none passes it over")
    return int(text)
