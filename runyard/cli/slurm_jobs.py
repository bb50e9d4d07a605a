"""Jobs of the Slurm that this machine belongs to, as far as they are runs: which there are, how they are, ending them.

Reads from squeue, and from sacct what squeue has forgotten; writes by scancel, and a table or JSON to stdout. A run's job is
called as the run is, and has COMMENT as its comment.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from runyard.errors import InputError, RunyardError

from .slurm_target import partition_of
from .terminal import duration, note, say, say_json, table

COMMENT = "runyard"
LIMIT_S = 30.0
HEAD = ("RUN", "STATUS", "JOB", "PARTITION", "NODES", "USER", "WAITED", "WAITS FOR")
# Slurm's job states -> a run's. What is not here goes on.
STATUSES = {
    "PENDING": "Queued",
    "REQUEUED": "Queued",
    "REQUEUE_HOLD": "Queued",
    "REQUEUE_FED": "Queued",
    "SPECIAL_EXIT": "Queued",
    "CONFIGURING": "Starting",
    "STAGE_OUT": "Finalizing",
    "COMPLETING": "Finalizing",
    "COMPLETED": "Completed",
    "CANCELLED": "Canceled",
    "PREEMPTED": "Canceled",
    "REVOKED": "Canceled",
    "BOOT_FAIL": "Failed",
    "DEADLINE": "Failed",
    "FAILED": "Failed",
    "NODE_FAIL": "Failed",
    "OUT_OF_MEMORY": "Failed",
    "TIMEOUT": "Failed",
}
FINAL = ("Completed", "Canceled", "Failed")
_SQUEUE = "%i|%T|%P|%u|%D|%V|%S|%k|%j|%r"
_SACCT = "JobID,State,Partition,User,NNodes,Submit,Start,Comment,JobName,Reason"


class SlurmError(RunyardError):
    """Slurm's own commands are missing or refuse."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times as Slurm writes them, in this machine's zone."""

    job_id: str
    state: str
    partition: str
    user: str
    node_count: str
    submitted: str
    started: str
    run_id: str
    reason: str

    @property
    def status(self) -> str:
        """The run's status, as far as Slurm knows it."""
        return STATUSES.get(self.state, "Running")

    @property
    def is_over(self) -> bool:
        """Whether Slurm is done with it."""
        return self.status in FINAL

    @property
    def waits_for(self) -> str:
        """Why it has no nodes yet."""
        return f"Slurm: {self.reason}" if self.status == "Queued" and self.reason not in ("", "None") else ""

    @property
    def sentence(self) -> str:
        """What has become of it, for people."""
        why = f" ({self.reason})" if self.reason not in ("", "None") else ""
        return f"Slurm job {self.job_id} is {self.state}{why}"


def find(run_id: str) -> Job | None:
    """The run's newest job; None where there is none, or no Slurm here. Blocks."""
    if shutil.which("squeue") is None:
        return None
    found = _jobs(["squeue", "--noheader", "--states=all", f"--name={run_id}", f"--format={_SQUEUE}"])
    if not found and shutil.which("sacct") is not None:
        wanted = ["--noheader", "--parsable2", "--allocations", f"--name={run_id}", f"--format={_SACCT}"]
        found = _jobs(["sacct", *wanted])
    return max(found, key=lambda job: int(job.job_id.partition("_")[0]), default=None)


def jobs(partition: str) -> list[Job]:
    """The runs that wait or run in a partition (empty: in any), in the order in which squeue lists them. Raises SlurmError."""
    where = [f"--partition={partition}"] if partition else []
    return _parsed(called(["squeue", "--noheader", *where, f"--format={_SQUEUE}"]))


def cancel(job: Job) -> None:
    """Take it out of Slurm's queue, or end it. Raises SlurmError."""
    called(["scancel", job.job_id])


def tell(run_id: str, output: str) -> bool:
    """What Slurm knows of a run that the collector does not know, on stdout; False where it knows nothing."""
    job = find(run_id)
    if job is None:
        return False
    if output == "json":
        say_json(asdict(job) | {"status": job.status})
        return True
    note("the collector does not know it yet" if not job.is_over else "the collector was never told of it")
    say(f"{run_id}  {job.status}: {job.sentence}")
    return True


def show(cluster: str, output: str) -> None:
    """A partition's nodes and its runs, on stdout. Raises SlurmError."""
    partition = partition_of(cluster)
    where = [f"--partition={partition}"] if partition else []
    nodes: dict[str, int] = {}
    for line in called(["sinfo", "--noheader", *where, "--format=%D %T"]).splitlines():
        count, _, state = line.strip().partition(" ")
        nodes[state] = nodes.get(state, 0) + int(count)
    found = jobs(partition)
    if output == "json":
        say_json({"cluster": cluster, "nodes": nodes, "runs": [asdict(job) | {"status": job.status} for job in found]})
        return
    counts = ", ".join(f"{count} {state}" for state, count in sorted(nodes.items())) or "none"
    say(f"{cluster}  nodes: {counts}")
    if found:
        say(table(HEAD, [_row(job) for job in found]))
    else:
        note("no run waits or runs there")


def called(argv: Sequence[str], text: str = "") -> str:
    """What one of Slurm's commands prints; raises SlurmError with its own words where it fails."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=LIMIT_S, check=False, errors="replace")
    except FileNotFoundError:
        raise InputError(f"{argv[0]} is not here: a cluster slurm:… is used on a machine that belongs to it") from None
    except subprocess.TimeoutExpired:
        raise SlurmError(f"{argv[0]} has not answered within {LIMIT_S:g} s") from None
    if done.returncode:
        said = " ".join(done.stderr.split()).removeprefix(f"{argv[0]}: ").removeprefix("error: ")
        raise SlurmError(f"{argv[0]} refused: {said or f'exit code {done.returncode}'}")
    return done.stdout


def _jobs(argv: Sequence[str]) -> list[Job]:
    """None where Slurm does not answer, or keeps no accounts."""
    try:
        return _parsed(called(argv))
    except SlurmError:
        return []


def _parsed(text: str) -> list[Job]:
    found = []
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|", 9)]
        # A state may have a person behind it: CANCELLED by 1000.
        if len(fields) == 10 and fields[7] == COMMENT:
            del fields[7]
            fields[1] = fields[1].split(" ")[0].rstrip("+")
            found.append(Job(*fields))
    return found


def _row(job: Job) -> tuple[str, ...]:
    since, until = _at_s(job.submitted), _at_s(job.started)
    now_s = time.time()
    waited_s = (now_s if until is None or job.status == "Queued" else min(until, now_s)) - (since or now_s)
    waited = "-" if since is None else duration(max(0, round(waited_s * 1e9)))
    return job.run_id, job.status, job.job_id, job.partition, job.node_count, job.user, waited, job.waits_for


def _at_s(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:  # N/A
        return None
