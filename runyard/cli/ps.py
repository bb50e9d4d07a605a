"""`runyard ps`: lists runs, newest first. Reads from GET /runs, writes a table or one JSON document to stdout."""

from __future__ import annotations

import argparse
import time
from typing import Any

from runyard import reader
from runyard.errors import InputError

from .connection import add_connection_arguments, add_output_argument, client_of
from .moments import since_ns
from .terminal import duration, moment, note, say, say_json, table

DEFAULT_LIMIT = 50
# In the order in which a run goes through them.
STATUSES = (
    "NotStarted",
    "Queued",
    "Starting",
    "Provisioning",
    "Preparing",
    "Running",
    "CancelRequested",
    "Finalizing",
    *reader.FINAL_STATUSES,
    "NotResponding",
)
HEAD = ("RUN", "EXPERIMENT", "STATUS", "EXIT", "USER", "CREATED", "TOOK", "NAME")
# Only where a run is in a queue.
WAITS_FOR = "WAITS FOR"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard ps`."""
    parser.add_argument("--experiment", metavar="E", help="runs of this experiment")
    parser.add_argument("--status", metavar="S", help=f"runs in this status: {', '.join(STATUSES)}")
    parser.add_argument("--tag", metavar="K=V", action="append", default=[], help="runs with this tag; repeat it for several")
    parser.add_argument("--user", metavar="U", help="runs of this user")
    parser.add_argument("--node", metavar="N", help="runs that had this node (its id or IP)")
    parser.add_argument("--since", metavar="TIME", help="runs created since: 90s, 10m, 2h, 1d, or RFC 3339")
    parser.add_argument("--limit", metavar="N", type=int, default=DEFAULT_LIMIT, help="at most so many (default: %(default)s)")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """List the runs; 0 also where there are none."""
    query, limit = _query(args, time.time_ns()), args.limit
    with_one_more = list(reader.runs(client_of(args), query, limit + 1))
    found = with_one_more[:limit]
    if args.output == "json":
        say_json({"runs": found})
        return 0
    if found:
        say(_table(found, time.time_ns()))
    else:
        note("no run is like that" if any(query.values()) else "there are no runs yet")
    if len(with_one_more) > limit:
        note(f"there are more; --limit {limit * 2} shows more of them")
    return 0


def _query(args: argparse.Namespace, now_ns: int) -> dict[str, object]:
    for tag in args.tag:
        if not tag.partition("=")[0] or "=" not in tag:
            raise InputError(f"--tag {tag!r} is no tag; write it as key=value")
    if args.limit < 1:
        raise InputError(f"--limit is {args.limit}; it has to be at least 1")
    return {
        "experiment": args.experiment,
        "status": _status(args.status),
        "tag": args.tag,
        "user": args.user,
        "node": args.node,
        "created_after_ns": since_ns(args.since, now_ns) if args.since else None,
    }


def _status(word: str | None) -> str | None:
    if word is None:
        return None
    known = {status.lower(): status for status in STATUSES}
    if word.lower() not in known:
        close = reader.nearest(word.lower(), list(known))
        hint = f"did you mean {known[close]}?" if close else f"known are {', '.join(STATUSES)}"
        raise InputError(f"--status {word!r} is unknown; {hint}")
    return known[word.lower()]


def _table(found: list[dict[str, Any]], now_ns: int) -> str:
    rows = [_row(item, now_ns) for item in found]
    waits = [item["pending"] if item["status"] == "Queued" else "" for item in found]
    if not any(waits):
        return table(HEAD, rows)
    return table((*HEAD, WAITS_FOR), [(*row, wait) for row, wait in zip(rows, waits, strict=True)])


def _row(item: dict[str, Any], now_ns: int) -> tuple[str, ...]:
    started, ended = item["started_ns"], item["ended_ns"]
    took = None if started is None else (ended or now_ns) - started
    exit_code = "-" if item["exit_code"] is None else str(item["exit_code"])
    return (
        item["run_id"],
        item["experiment"],
        item["status"],
        exit_code,
        item["user"] or "-",
        moment(item["created_ns"]),
        duration(took),
        item["name"],
    )
