"""`runyard cancel RUN …`: cancels runs, in whatever state they are: waiting in a queue, running anywhere, under Slurm.

Writes to POST runs/{run_id}/cancel, or by scancel; what has become of each run goes to stdout.
"""

from __future__ import annotations

import argparse

from runyard import reader
from runyard.client import CollectorClient
from runyard.errors import CollectorRefused, RunyardError

from .connection import add_connection_arguments, add_output_argument, client_of
from .terminal import note, say, say_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard cancel`."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the run's id")
    parser.add_argument("--reason", metavar="WHY", default="", help="kept with the run, and told by its cause")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Cancel the runs; 0 where all of them are cancelled or will be, otherwise the exit code of the first that cannot be."""
    client = client_of(args)
    statuses: dict[str, str] = {}
    failed = 0
    for run_id in args.runs:
        try:
            statuses[run_id] = _cancel(client, run_id, args.reason)
        except RunyardError as error:
            if len(args.runs) == 1:
                raise
            note(str(error))
            failed = failed or error.exit_code
    if args.output == "json":
        say_json({"runs": statuses})
    else:
        for run_id, status in statuses.items():
            say(f"{run_id} {status}")
    return failed


def _cancel(client: CollectorClient, run_id: str, reason: str) -> str:
    """The run's status then."""
    try:
        return _at_collector(client, run_id, reason)
    except CollectorRefused as error:
        if error.status != 404:
            raise
    from . import slurm_jobs

    job = slurm_jobs.find(run_id)  # one that waits in Slurm's queue is not known to the collector yet
    if job is not None and not job.is_over:
        slurm_jobs.cancel(job)
        return "CancelRequested"
    reader.run(client, run_id)  # tells which id was meant; or the run has come to the collector in the meantime
    return _at_collector(client, run_id, reason)


def _at_collector(client: CollectorClient, run_id: str, reason: str) -> str:
    return str(client.json("POST", f"{reader.run_path(run_id)}/cancel", {"reason": reason})["status"])
