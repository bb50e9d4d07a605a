"""`runyard stacks RUN`: the newest stacks of all ranks, equal ones together; with --now, stacks that are taken for this.

Reads from GET runs/{run_id}, files and the files below logs/azureml/stacks; asks by POST stacks; writes to stdout.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict

from runyard import reader, spans
from runyard.client import CollectorClient, path_segments
from runyard.errors import CollectorRefused, InputError, RunyardError
from runyard.reader import Document
from runyard.stacktext import Group, RankStacks, groups, parse, ranges, split_name

from .connection import add_connection_arguments, add_output_argument, client_of
from .terminal import clean, note, say, say_json

# A file of stacks is some kilobytes; what is longer is read no further.
MOST_BYTES = 4 << 20
LOOK_S = 0.5


class NoStacks(RunyardError):  # noqa: N818 - it says what there is
    """There are no stacks, or none yet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard stacks`."""
    parser.add_argument("run", metavar="RUN", help="the run's id")
    parser.add_argument("--now", action="store_true", help="have the stacks of all processes taken now")
    parser.add_argument("--wait", metavar="T", default="30s", help="with --now: how long to wait for them (default: 30s)")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Show the stacks; 1 where those of some process that runs are missing."""
    wait_s = spans.seconds(args.wait)
    if wait_s is None:
        raise InputError(f"--wait {args.wait!r} is no length of time; {spans.RIGHT}")
    client = client_of(args)
    found = reader.run(client, args.run)
    known = _taken_now(client, found, wait_s) if args.now else _newest(client, found)
    if not known:
        raise NoStacks(_why_none(found))
    missing = _missing(reader.run(client, args.run), known)
    if args.output == "json":
        say_json(
            {"stacks": [asdict(one) for one in known], "groups": [asdict(one) for one in groups(known)], "missing": missing}
        )
    else:
        say("\n".join(_text(known)))
    if missing:
        note(f"there are no stacks of rank {ranges(missing)}")
    return 1 if missing and args.now else 0


def _is_watched(found: Document) -> bool:
    return any(process["progress"] is not None for process in found["processes"])


def _why_none(found: Document) -> str:
    run_id = found["run_id"]
    if not _is_watched(found):
        return f"nobody watches run {run_id}: it was started without --stall-after, and without the setting run.progress"
    return f"no stacks of run {run_id} were taken: none of its ranks has stalled so far; --now has them taken"


def _taken_now(client: CollectorClient, found: Document, wait_s: float) -> list[RankStacks]:
    """Ask, and wait until every process that runs has answered."""
    if not _is_watched(found):
        raise NoStacks(_why_none(found))
    try:
        number = client.json("POST", f"{reader.run_path(found['run_id'])}/stacks")["number"]
    except CollectorRefused as error:
        raise NoStacks(str(error)) from error
    deadline_s = time.monotonic() + wait_s
    while True:
        found = reader.run(client, found["run_id"])
        known = [one for one in _newest(client, found) if one.request >= number]
        if time.monotonic() > deadline_s or not _missing(found, known):
            return known
        time.sleep(LOOK_S)


def _missing(found: Document, known: list[RankStacks]) -> list[int]:
    there = {one.rank for one in known}
    return [
        process["rank"] for process in found["processes"] if process["status"] == "Started" and process["rank"] not in there
    ]


def _newest(client: CollectorClient, found: Document) -> list[RankStacks]:
    """The newest stacks of each rank, of the run's newest attempt."""
    newest: dict[int, tuple[str, str]] = {}
    for file in reader.files(client, found["run_id"]):
        told = split_name(file["path"].removeprefix(f"{file['folder']}/"))
        if told is not None and told[0] == found["attempt"]:
            _, taken, rank = told
            newest[rank] = max(newest.get(rank, ("", "")), (taken, file["path"]))
    texts = (_read(client, found["run_id"], path) for _, path in (newest[rank] for rank in sorted(newest)))
    return [one for one in map(parse, texts) if one is not None]


def _read(client: CollectorClient, run_id: str, path: str) -> str:
    data = b""
    with client.stream("GET", f"{reader.run_path(run_id)}/files/{path_segments(path)}") as response:
        while len(data) < MOST_BYTES and (chunk := client.read(response, 1 << 16)):
            data += chunk
    return data.decode("utf-8", "replace")


def _text(known: list[RankStacks]) -> list[str]:
    last = max(known, key=lambda one: one.taken)
    ranks = [one.rank for one in known]
    lines = [f"Stacks of rank {ranges(ranks)}, taken {clean(last.taken)}: {clean(last.reason)}"]
    early = [one.rank for one in known if one.taken[:16] < last.taken[:16]]
    if early:
        lines.append(f"(those of rank {ranges(early)} were taken earlier)")
    for group in groups(known):
        lines += ["", *_group(group)]
    return lines


def _group(group: Group) -> list[str]:
    word = "ranks" if len(group.ranks) > 1 else "rank"
    return [f"{word} {ranges(group.ranks)}: {clean(group.place)}", *(f"    {clean(frame)}" for frame in group.frames)]
