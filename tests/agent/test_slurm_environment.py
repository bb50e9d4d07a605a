"""What a Slurm step's variables make of a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runyard.agent.slurm import default_run_id, distribution_from
from runyard.distribution import SHEPHERD, SLURM, Distribution
from runyard.errors import InputError


def step(nodes: int = 2, tasks: int = 4, node: int = 1, gtids: str = "2,3", **more: str) -> dict[str, str]:
    """The variables of a step's task. srun sets those of the job, too, which may have more nodes than the step."""
    of_step = {"SLURM_STEP_NUM_NODES": str(nodes), "SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_NNODES": "9", "SLURM_NTASKS": "9"}
    return of_step | {"SLURM_JOB_ID": "17", "SLURM_STEP_ID": "3", "SLURM_NODEID": str(node), "SLURM_GTIDS": gtids} | more


def test_several_tasks_per_node_are_a_process_each() -> None:
    found = distribution_from(step(), Distribution(kind="pytorch"))
    assert found is not None
    assert (found.launcher, found.node_count, found.node_rank, found.ranks, found.world_size) == (SLURM, 2, 1, (2, 3), 4)
    assert found.kind == "pytorch"


def test_tasks_that_are_dealt_unevenly_or_in_turn_keep_their_ranks() -> None:
    uneven = distribution_from(step(tasks=3, gtids="2"), Distribution())
    assert uneven is not None
    assert (uneven.launcher, uneven.ranks, uneven.world_size) == (SLURM, (2,), 3)
    in_turn = distribution_from(step(gtids="1,3"), Distribution())
    assert in_turn is not None
    assert (in_turn.ranks, in_turn.world_size) == ((1, 3), 4)


def test_one_task_per_node_starts_the_processes_itself() -> None:
    found = distribution_from(step(tasks=2, gtids="1"), Distribution(processes_per_node=4))
    assert found is not None
    assert (found.launcher, found.node_count, found.ranks, found.world_size) == (SHEPHERD, 2, (4, 5, 6, 7), 8)


def test_slurm_may_be_asked_for_with_one_task_per_node() -> None:
    found = distribution_from(step(tasks=2, gtids="1"), Distribution(launcher=SLURM))
    assert found is not None
    assert (found.launcher, found.ranks, found.world_size) == (SLURM, (1,), 2)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SLURM_JOB_ID": "17", "SLURM_NNODES": "2", "SLURM_NODEID": "0", "SLURM_GTIDS": "0"},  # a batch script
        step(SLURM_STEP_ID="4294967290"),  # salloc's interactive step
        step(nodes=1, tasks=1, node=0, gtids="0"),
        step(RUNYARD_RUN_MARK="0" * 16),  # a `runyard run` that a training has started
    ],
)
def test_without_several_tasks_nothing_is_taken_from_slurm(environ: dict[str, str]) -> None:
    assert distribution_from(environ, Distribution(processes_per_node=2)) is None


@pytest.mark.parametrize(
    ("environ", "asked", "words"),
    [
        (step(), Distribution(processes_per_node=4), "--nproc-per-node is 4"),
        (step(), Distribution(node_count=3, node_rank=1), "--nnodes is 3, and the Slurm step has 2 nodes"),
        (step(), Distribution(max_restarts=1), "max_restarts"),
        (step(gtids="0-1"), Distribution(), "SLURM_GTIDS is '0-1'"),
        (step(SLURM_NODEID=""), Distribution(), "SLURM_NODEID is ''"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(environ: dict[str, str], asked: Distribution, words: str) -> None:
    with pytest.raises(InputError, match=words):
        distribution_from(environ, asked)


def test_all_tasks_of_a_step_come_to_the_same_run_id_and_a_requeued_job_to_another() -> None:
    ids = {default_run_id(step(node=node, gtids=gtids), "digits") for node, gtids in ((0, "0,1"), (1, "2,3"))}
    assert ids == {"digits_slurm17_3"}
    assert default_run_id(step(SLURM_RESTART_COUNT="0"), "digits") in ids
    assert default_run_id(step(SLURM_RESTART_COUNT="2"), "digits") == "digits_slurm17_3_r2"


def test_what_was_asked_stays() -> None:
    asked = Distribution(kind="tensorflow", parameter_servers=1, on_failure="wait", failure_grace_s=3.0)
    found = distribution_from(step(), asked)
    assert found is not None
    assert (
        replace(found, launcher="", node_count=1, node_rank=0, processes_per_node=1, launched_ranks=(), launched_world_size=0)
        == asked
    )
