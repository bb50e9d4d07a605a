"""`runyard pin RUN …` and `runyard unpin RUN …`: a pinned run's files are never removed for their age or size.

Writes to POST runs/{run_id}/pin and unpin; says nothing where all went well.
"""

from __future__ import annotations

import argparse

from runyard import reader

from .connection import add_connection_arguments, client_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of both."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="the run's id")
    add_connection_arguments(parser)
    parser.set_defaults(action=parser.prog.rpartition(" ")[2])


def run(args: argparse.Namespace) -> int:
    """Pin or unpin the runs."""
    client = client_of(args)
    for run_id in args.runs:
        reader.run(client, run_id)  # a mistyped id is answered with the nearest one
        client.json("POST", f"{reader.run_path(run_id)}/{args.action}")
    return 0
