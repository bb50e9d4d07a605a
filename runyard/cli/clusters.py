"""`runyard clusters`: the clusters, one of them with its nodes and its queue, and tokens with which nodes join one.

Reads from GET clusters, clusters/{cluster}, clusters/{cluster}/runs and nodes, or from Slurm; writes to stdout, and for a token
to POST clusters/{cluster}/join-tokens.
"""

from __future__ import annotations

import argparse
import time

from runyard import spans
from runyard.client import CollectorClient
from runyard.errors import InputError
from runyard.reader import Document

from . import cluster_reader
from .connection import add_connection_arguments, add_output_argument, client_of
from .slurm_target import is_slurm
from .terminal import clean, duration, moment, note, say, say_json, size, table

HEAD = ("CLUSTER", "NODES", "CPUS", "MEMORY", "GPUS", "QUEUED", "ACTIVE")
QUEUE_HEAD = ("RUN", "STATUS", "PRIORITY", "NODES", "EACH", "USER", "WAITED", "WAITS FOR")
DESCRIPTION = """\
Without words: all clusters. NAME: this one, with its nodes and its queue; slurm:PARTITION: a partition of the Slurm here.
token NAME: makes a token with which nodes join the cluster (`runyard agent`), and the cluster where it is new."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `runyard clusters`."""
    parser.usage = "runyard clusters [options] [NAME | token NAME]"
    parser.description = DESCRIPTION
    parser.add_argument("words", metavar="NAME", nargs="*", help="a cluster, or: token NAME")
    parser.add_argument("--uses", metavar="N", type=int, default=1, help="token: how many nodes may join with it (default: 1)")
    parser.add_argument("--valid", metavar="T", default="1h", help="token: for how long (default: 1h)")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show clusters, or make a token."""
    match args.words:
        case []:
            _list(client_of(args), args)
        case ["token"]:
            raise InputError("the cluster is missing; name it, as in: runyard clusters token gpu-lab")
        case ["token", name]:
            _make_token(client_of(args), name, args)
        case [name] if is_slurm(name):
            from . import slurm_jobs

            slurm_jobs.show(name, args.output)
        case [name]:
            _show(client_of(args), name, args)
        case _:
            raise InputError(f"{' '.join(args.words)!r} is neither the name of a cluster nor: token NAME")
    return 0


def _list(client: CollectorClient, args: argparse.Namespace) -> None:
    found = cluster_reader.clusters(client)
    if args.output == "json":
        say_json({"clusters": found})
    elif found:
        say(table(HEAD, [_row(one) for one in found]))
    else:
        note("there is no cluster yet; `runyard clusters token NAME` makes one, and a token with which nodes join it")


def _row(cluster: Document) -> tuple[str, ...]:
    capacity = cluster["capacity"]
    return (
        cluster["cluster"],
        _counts(cluster),
        f"{capacity['cpus']:g}",
        size(capacity["memory_bytes"]),
        str(capacity["gpus"]),
        str(cluster["queued"]),
        str(cluster["active"]),
    )


def _counts(cluster: Document) -> str:
    """How many nodes are in which status."""
    parts = [f"{count} {status}" for status, count in sorted(cluster["nodes"].items()) if count]
    return ", ".join(parts) or "none"


def _show(client: CollectorClient, name: str, args: argparse.Namespace) -> None:
    cluster = client.json("GET", cluster_reader.cluster_path(name))
    runs = cluster_reader.queue(client, name)
    if args.output == "json":
        say_json({**cluster, "runs": runs})
        return
    rows = [queue_row(one, time.time_ns()) for one in runs]
    lines = [table(HEAD, [_row(cluster)]), "", f"Runs ({len(rows)})"]
    say("\n".join([*lines, *([table(QUEUE_HEAD, rows)] if rows else [])]))


def queue_row(queued: Document, now_ns: int) -> tuple[str, ...]:
    """One run of a queue, for QUEUE_HEAD."""
    run, wanted = queued["run"], queued["request"]
    waited_ns = (queued["placed_ns"] or now_ns) - queued["submitted_ns"]
    return (
        run["run_id"],
        run["status"],
        str(queued["priority"]),
        str(run["node_count"]),
        _each(wanted),
        run["user"] or "-",
        duration(max(0, waited_ns)),
        queued["waits_for"],
    )


def _each(wanted: Document) -> str:
    """What the run wants of each node."""
    parts = [f"{wanted['cpus']:g} CPUs"] if wanted["cpus"] else []
    parts += [size(wanted["memory_bytes"])] if wanted["memory_bytes"] else []
    gpus = f"{wanted['gpus']} GPUs" if wanted["gpus"] else ""
    return ", ".join([*(parts or ["whole"]), *([gpus] if gpus else [])])


def _make_token(client: CollectorClient, name: str, args: argparse.Namespace) -> None:
    valid_s = spans.seconds(args.valid)
    if not valid_s:
        raise InputError(f"--valid {args.valid!r} is no length of time; {spans.RIGHT}")
    if args.uses < 1:
        raise InputError(f"--uses is {args.uses}; it has to be at least 1")
    made = client.json("POST", f"{cluster_reader.cluster_path(name)}/join-tokens", {"uses": args.uses, "valid_s": valid_s})
    if args.output == "json":
        say_json(made)
        return
    say(made["token"])
    times = "once" if made["uses"] == 1 else f"{made['uses']} times"
    note(f"it joins a node to cluster {clean(name)}, {times}, until {moment(made['expires_ns'])}; it is not shown again")
