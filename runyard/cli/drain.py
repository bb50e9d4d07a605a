"""`runyard drain NODE …` and `runyard resume NODE …`: a node gets no more runs, or gets some again.

Writes to POST nodes/{node_id}/drain and resume; how the node is then goes to stdout.
"""

from __future__ import annotations

import argparse
from typing import Any

from . import cluster_reader
from .connection import add_connection_arguments, add_output_argument, client_of
from .nodes import status_of
from .terminal import clean, say, say_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of both."""
    is_drain = parser.prog.endswith(" drain")
    parser.add_argument("nodes", metavar="NODE", nargs="+", help="its id, host name or IP")
    if is_drain:
        parser.add_argument("--reason", metavar="WHY", default="", help="shown with the node")
    add_output_argument(parser)
    add_connection_arguments(parser)
    parser.set_defaults(is_drain=is_drain)


def run(args: argparse.Namespace) -> int:
    """Drain or resume the nodes. What runs on them goes on."""
    client = client_of(args)
    verb, body = ("drain", {"reason": args.reason}) if args.is_drain else ("resume", None)
    chosen = [cluster_reader.node(client, word)["node_id"] for word in args.nodes]
    found: list[Any] = [client.json("POST", f"{cluster_reader.node_path(node_id)}/{verb}", body) for node_id in chosen]
    if args.output == "json":
        say_json({"nodes": found})
        return 0
    for node in found:
        runs = f"; {len(node['runs'])} runs go on there" if args.is_drain and node["runs"] else ""
        say(f"{clean(node['node_id'])} {status_of(node)}{runs}")
    return 0
