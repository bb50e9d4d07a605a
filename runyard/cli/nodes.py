"""`runyard nodes`: the nodes of the clusters; of one, what it has, does and uses.

Reads from GET nodes and nodes/{node_id}, with --forget also DELETE nodes/{node_id}; writes a table or JSON to stdout.
"""

from __future__ import annotations

import argparse
import time

from runyard.reader import Document

from . import cluster_reader
from .connection import add_connection_arguments, add_output_argument, client_of
from .terminal import clean, duration, moment, note, say, say_json, size, status_text, table

HEAD = ("NODE", "CLUSTER", "HOST", "IP", "STATUS", "RUNS", "CPUS", "MEMORY", "GPUS", "HEARD", "REASON")
RUNS_HEAD = ("RUN", "ATTEMPT", "STATUS")
SAMPLE_HEAD = ("VALUE", "NOW")
# A clock that is off by less is nobody's business: times are compared on the collector's line.
CLOCK_NOTED_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard nodes`."""
    parser.add_argument("node", metavar="NODE", nargs="?", help="this node: its id, host name or IP")
    parser.add_argument("--cluster", metavar="C", help="nodes of this cluster")
    parser.add_argument(
        "--forget", action="store_true", help="NODE has gone for good: its token is revoked, and it is listed no more"
    )
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List the nodes, or show one."""
    client = client_of(args)
    if args.node is None:
        if args.forget:
            args.verb_parser.error("--forget needs a NODE")
        found = cluster_reader.nodes(client, args.cluster)
        if args.output == "json":
            say_json({"nodes": found})
        elif found:
            say(table(HEAD, [_row(one, time.time_ns()) for one in found]))
        else:
            note(f"cluster {args.cluster} has no nodes" if args.cluster else "no node has joined a cluster yet")
        return 0
    one = cluster_reader.node(client, args.node)
    if args.forget:
        client.json("DELETE", cluster_reader.node_path(one["node_id"]))
        say(f"{one['node_id']} is forgotten")
    elif args.output == "json":
        say_json(one)
    else:
        say("\n".join(_text(one, time.time_ns())))
    return 0


def status_of(node: Document) -> str:
    """Its status, and whether it gets no more runs."""
    return f"{node['status']}, drained" if node["is_drained"] else str(node["status"])


def _row(node: Document, now_ns: int) -> tuple[str, ...]:
    capacity = node["capacity"]
    return (
        node["node_id"],
        node["cluster"],
        node["hostname"],
        node["ip"],
        status_of(node),
        str(len(node["runs"])),
        f"{capacity['cpus']:g}",
        size(capacity["memory_bytes"]),
        str(capacity["gpus"]),
        _ago(node["heard_ns"], now_ns),
        _why(node),
    )


def _why(node: Document) -> str:
    """What there is to say about it: what the agent says, why it was drained, a clock that is off."""
    drained = node["drain_reason"] if node["is_drained"] else ""
    off_s = node["clock_off_ns"] / 1e9
    clock = f"its clock is {off_s:+.0f} s off" if abs(off_s) >= CLOCK_NOTED_S and "clock" not in node["reason"] else ""
    return "; ".join(word for word in (node["reason"], drained, clock) if word)


def _ago(at_ns: int | None, now_ns: int) -> str:
    return "-" if at_ns is None else f"{duration(max(0, now_ns - at_ns))} ago"


def _text(node: Document, now_ns: int) -> list[str]:
    capacity = node["capacity"]
    gpus = f"{capacity['gpus']} GPUs {capacity['gpu_name']}".rstrip() if capacity["gpus"] else "no GPUs"
    pairs = [
        ("cluster", node["cluster"]),
        ("host", f"{node['hostname']} ({node['ip']})"),
        ("because", _why(node)),
        ("has", f"{capacity['cpus']:g} CPUs, {size(capacity['memory_bytes'])}, {gpus}"),
        ("agent", node["agent_version"]),
        ("joined", moment(node["joined_ns"])),
        ("heard", _ago(node["heard_ns"], now_ns)),
    ]
    lines = [f"{clean(node['node_id'])}  {status_text(node['status'])}{', drained' if node['is_drained'] else ''}"]
    lines += [f"  {word:<12}{clean(text)}" for word, text in pairs if text and text != "-"]
    runs = [(one["run_id"], str(one["attempt"]), one["status"]) for one in node["runs"]]
    lines += ["", f"Runs ({len(runs)})", *(table(RUNS_HEAD, runs).split("\n") if runs else [])]
    values = [(name, f"{value:.10g}") for name, value in sorted(node["sample"].items())]
    return [*lines, "", f"Uses ({len(values)})", *(table(SAMPLE_HEAD, values).split("\n") if values else [])]
