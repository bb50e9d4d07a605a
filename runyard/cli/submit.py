"""`runyard submit --cluster C -- CMD`: puts a run into a cluster's queue, prints its id, and with -f follows it to its end.

Reads from the flags, the run's description and its code; writes the packed code to the cache and to the collector, and the run
to POST clusters/{cluster}/runs, or to Slurm (submit_slurm.py).
"""

from __future__ import annotations

import argparse

from runyard import configuration, queue_order, settings
from runyard.queue_order import Wanted
from runyard.spec import Snapshot

from . import run as run_verb
from .connection import client_of
from .slurm_target import is_slurm
from .submit_wanted import wanted_of
from .terminal import note, say

# Flags of `runyard run` that a queue knows better, or that mean something else here.
OWN_FLAGS = ("--gpus", "--cpus", "--memory", "--retries", "--nnodes", "--node-rank", "--launcher", "--max-restarts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard submit`."""
    parser.usage = "runyard submit --cluster C [options] [-- CMD [ARG ...]]"
    group = parser.add_argument_group("queue")
    group.add_argument("--cluster", metavar="C", required=True, help="where it is to run: a cluster's name, or slurm:PARTITION")
    group.add_argument("--nodes", "--nnodes", dest="nnodes", metavar="N", help="nodes that it gets at once; default: 1")
    group.add_argument("--gpus", metavar="N", help="GPUs of each node; default: 0")
    group.add_argument("--cpus", metavar="N", help="CPUs of each node; with neither --cpus nor --memory it gets whole nodes")
    group.add_argument("--memory", metavar="M", help="memory of each node, as in 512m or 8g")
    group.add_argument("--priority", metavar="P", default="0", help="from -1000 to 1000, higher ones first; default: 0")
    group.add_argument("--max-queue-time", metavar="T", default="0", help="it fails when it has waited so long; 0: never")
    group.add_argument(
        "--retries",
        metavar="N",
        action="append",
        help="how often it is given to other nodes after one was lost; default: 0. Or PHASE=N, as of `runyard run`",
    )
    group.add_argument("--user", metavar="U", default="", help="as whom it runs on the nodes; default: as their agents are set")
    group.add_argument("-f", "--follow", action="store_true", help="show its log to its end, and end with its exit code")
    run_verb.add_flags(parser, without=OWN_FLAGS)


def run(args: argparse.Namespace) -> int:
    """Submit the run; 0 where it is queued, or with --follow the run's exit code."""
    loaded = configuration.load(config_file=args.config, flags={("client", "collector_url"): args.collector})
    client = client_of(args)
    wanted = wanted_of(args, loaded)
    snapshot = _sent_code(wanted, loaded)
    if is_slurm(args.cluster):
        from . import submit_slurm

        return submit_slurm.submit(client, loaded, wanted, snapshot, args)
    queue_order.put(client, args.cluster, wanted, snapshot)
    if not args.follow:
        say(wanted.run_id)
        return 0
    from .submit_follow import follow

    note(f"run {wanted.run_id} is in the queue of cluster {args.cluster}")
    return follow(client, args, wanted.run_id)


def _sent_code(wanted: Wanted, loaded: settings.Settings) -> Snapshot | None:
    """The code, at the collector; None where the run has none."""
    if not wanted.spec.code:
        return None
    from runyard.code_cache import pack_code, send_code

    snapshot = pack_code(wanted.spec.code, loaded, note)
    send_code(snapshot, loaded)
    return snapshot
