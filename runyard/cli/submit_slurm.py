"""`runyard submit --cluster slurm:PARTITION`: the run becomes a batch job, whose nodes do what `runyard run` does.

Writes the job's script to sbatch. The run's description travels in it, its code lies at the collector: nothing of this
machine's disk is needed later but the Python that runs us. slurm_jobs.py finds the job again by its name, the run's id.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from base64 import b64encode
from dataclasses import asdict

from runyard.client import CollectorClient
from runyard.errors import InputError
from runyard.queue_order import Wanted
from runyard.settings import Settings
from runyard.spec import Snapshot

from . import slurm_jobs
from .run import ORDER_VARIABLE
from .slurm_target import partition_of
from .terminal import note, say

# The kernel takes no longer one as a variable.
MOST_ORDER_BYTES = 120_000

SCRIPT = """\
#!/bin/bash
# Run {run_id}, by `runyard submit`.
{spool}export {variable}={order}
# A job that Slurm starts again is another run: what the first one wrote stays as it is.
exec srun --ntasks-per-node=1 --kill-on-bad-exit=0 {runyard} run --order \\
    --run-id {run_id}"${{SLURM_RESTART_COUNT:+_r$SLURM_RESTART_COUNT}}" --tag slurm_job="$SLURM_JOB_ID" {flags}
"""
# Homes are shared between nodes, spools must not be.
SPOOL = 'export RUNYARD_SPOOL__DIR="${RUNYARD_SPOOL__DIR:-/tmp/runyard-$(id -un)}"\n'


def submit(
    client: CollectorClient, loaded: Settings, wanted: Wanted, snapshot: Snapshot | None, args: argparse.Namespace
) -> int:
    """Hand the run to sbatch; 0, or with --follow the run's exit code. Raises InputError and SlurmError."""
    _check(wanted)
    said = slurm_jobs.called(["sbatch", "--parsable", *_options(args.cluster, wanted)], script(wanted, snapshot, loaded, args))
    job_id = said.strip().partition(";")[0]
    note(f"run {wanted.run_id} is Slurm job {job_id}")
    if not args.follow:
        say(wanted.run_id)
        return 0
    from .submit_follow import follow

    return follow(client, args, wanted.run_id, _Watch(wanted.run_id))


def script(wanted: Wanted, snapshot: Snapshot | None, loaded: Settings, args: argparse.Namespace) -> str:
    """The job's script. Raises InputError where the description is too long for it. Pure."""
    order = {"spec": wanted.spec.to_json(), "snapshot": asdict(snapshot) if snapshot else None}
    packed = b64encode(json.dumps(order).encode()).decode()
    if len(packed) > MOST_ORDER_BYTES:
        raise InputError(
            f"the run's description has {len(packed)} bytes, and Slurm passes at most {MOST_ORDER_BYTES} on; bring long"
            " texts as files of the code"
        )
    flags = [word for name in ("collector", "config") if getattr(args, name) for word in (f"--{name}", getattr(args, name))]
    flags += [] if wanted.mlflow else ["--no-mlflow"]
    is_spool_set = any((one.section, one.key) == ("spool", "dir") and one.origin != "default" for one in loaded.sources)
    return SCRIPT.format(
        run_id=wanted.run_id,
        spool="" if is_spool_set else SPOOL,
        variable=ORDER_VARIABLE,
        order=packed,
        runyard=shlex.join([sys.executable, "-m", "runyard"]),
        flags=shlex.join(flags),
    )


def _check(wanted: Wanted) -> None:
    if wanted.max_queue_s:
        raise InputError("--max-queue-time is for the queue of a cluster's own; a job in Slurm's waits until `runyard cancel`")
    if wanted.user:
        raise InputError("--user is for the queue of a cluster's own; a Slurm job runs as whoever submits it")


def _options(cluster: str, wanted: Wanted) -> list[str]:
    """sbatch's. What a site asks for beside them is set by sbatch's own variables (SBATCH_ACCOUNT, SBATCH_TIMELIMIT, …)."""
    partition = partition_of(cluster)
    options = [f"--partition={partition}"] if partition else []
    options += [f"--job-name={wanted.run_id}", f"--comment={slurm_jobs.COMMENT}", f"--nodes={wanted.node_count}"]
    options += ["--ntasks-per-node=1", "--requeue" if wanted.retries else "--no-requeue"]
    options += [f"--gpus-per-node={wanted.gpus}"] if wanted.gpus else []
    options += [f"--cpus-per-task={math.ceil(wanted.cpus)}"] if wanted.cpus else []
    options += [f"--mem={math.ceil(wanted.memory_bytes / (1 << 20))}M"] if wanted.memory_bytes else []
    options += [] if wanted.cpus or wanted.memory_bytes else ["--exclusive"]
    return [*options, *([f"--nice={-wanted.priority}"] if wanted.priority else [])]


class _Watch:
    """How a job is whose run the collector does not know: tells what it waits for, and gives the exit code of its end."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._told = ""

    def __call__(self) -> int | None:
        job = slurm_jobs.find(self._run_id)
        if job is None:
            return None
        if job.is_over:
            note(
                f"run {self._run_id} never reached the collector: {job.sentence}; see the job's output, slurm-{job.job_id}.out"
            )
            return 1
        if job.waits_for and job.waits_for != self._told:
            self._told = job.waits_for
            note(f"waiting: {job.waits_for}")
        return None
