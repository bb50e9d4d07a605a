"""`runyard logs`: shows a file of a run, by default the driver's log, as it was or live.

Reads from GET follow, writes to stdout; what is said about the way there goes to stderr.
"""

from __future__ import annotations

import argparse
import re
import time
from dataclasses import dataclass, replace

from runyard import labels, reader, timeindex
from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorUnreachable, InputError, RunyardError
from runyard.fold import Lines
from runyard.follow import Data, End, Follower, Gap, Query, Superseded

from .connection import add_connection_arguments, add_output_argument, client_of
from .labelled import Labelled
from .logview import Bar, Grep, JsonSink, LineView, RawView, Sink, Tail, TextSink, View
from .moments import since_ns
from .target import Wanted, is_single, path_of, with_later_attempts
from .terminal import Output, note

# Between two looks whether a run, or its log, is there by now.
WAIT_S = 0.3
SOURCES = {"out": timeindex.STDOUT, "err": timeindex.STDERR}
DESCRIPTION = """\
Shows a file of a run: by default the driver's log. Everything goes to stdout, the driver's stderr too (--stream err:
only that), and no byte of a line is changed. Of a progress bar the last state is shown.
Sentences of runyard itself go to stderr."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard logs`."""
    parser.description = DESCRIPTION
    parser.add_argument("run", metavar="RUN", help="the run's id")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until the run is complete; wait where it has not begun"
    )
    parser.add_argument("--file", metavar="F", help="this file of the run (default: azureml-logs/70_driver_log.txt or _<rank>)")
    parser.add_argument(
        "--rank", metavar="R", type=int, help="the driver log of this (global) rank (default: 0, or the lone one)"
    )
    parser.add_argument("--node", metavar="N", help="of this node: its id, IP, host name or folder")
    parser.add_argument(
        "--attempt", metavar="N", type=int, help="of this attempt, from 0 (--max-restarts); default: the newest"
    )
    parser.add_argument("--stream", choices=("out", "err"), help="only what the driver wrote to stdout, or to stderr")
    parser.add_argument("--since", metavar="TIME", help="only what was written since: 90s, 10m, 2h, 1d, or RFC 3339")
    parser.add_argument("--tail", metavar="N", type=int, help="start N lines (of those that are shown) before the end")
    parser.add_argument("--grep", metavar="RE", help="only lines in which this regular expression is found")
    parser.add_argument("--timestamps", action="store_true", help="before each line the time at which it began, in UTC")
    parser.add_argument("--raw", action="store_true", help="progress bars as they were written; alone: byte for byte the file")
    add_output_argument(parser, "json: one JSON object for each line")
    add_connection_arguments(parser)


@dataclass(frozen=True, slots=True)
class _Screen:
    """The stages that a call's flags put together."""

    output: Output
    sink: TextSink | JsonSink
    tail: Tail | None
    view: View


def run(args: argparse.Namespace) -> int:
    """Show the log; 0 at its end, 130 after Ctrl-C."""
    screen = _screen(args, Output(), _pattern(args.grep))
    query = _query(args, time.time_ns())
    client = client_of(args)
    try:
        _show(client, args, replace(query, file=_files(client, args)), screen)
    except KeyboardInterrupt:
        screen.view.close()
        screen.output.flush()
        if args.follow:
            note(f"left; run {args.run} is not touched by that. To look again: runyard logs -f {args.run}")
        return 130
    return 0


def _pattern(text: str | None) -> re.Pattern[bytes] | None:
    try:
        return None if text is None else re.compile(text.encode("utf-8", "surrogateescape"))
    except re.error as error:
        raise InputError(f"--grep {text!r} is no regular expression: {error}") from error


def _query(args: argparse.Namespace, now_ns: int) -> Query:
    if args.tail is not None and args.tail < 0:
        raise InputError(f"--tail is {args.tail}; it has to be at least 0")
    needs_records = not args.raw or args.stream or args.timestamps or args.output == "json"
    return Query(
        until="end" if args.follow else "now",
        annotate=bool(needs_records),
        since_ns=since_ns(args.since, now_ns) if args.since else None,
        tail_lines=None if _filters(args) else args.tail,
    )


def _filters(args: argparse.Namespace) -> bool:
    """Lines are left out here, so that only here it is known which are the last N that are shown."""
    return bool(args.grep or args.stream)


def _files(client: CollectorClient, args: argparse.Namespace) -> tuple[str, ...]:
    path = _find(client, args)
    return with_later_attempts(path) if args.follow and args.attempt is None else (path,)


def _find(client: CollectorClient, args: argparse.Namespace) -> str:
    """The path of the file that is meant; with -f it is waited for, also for the run and the collector."""
    told = ""
    while True:
        try:
            return _path(client, args)
        except (_NotThereYet, reader.NoSuchRun, CollectorUnreachable, CollectorBusy) as error:
            if not args.follow:
                raise
            if not told:
                note(f"waiting: {error}")
            told = str(error)
        time.sleep(WAIT_S)


class _NotThereYet(RunyardError):  # noqa: N818 - the name tells the state
    """What may come while one waits."""


def _path(client: CollectorClient, args: argparse.Namespace) -> str:
    found = reader.run(client, args.run)
    if removed := reader.removed(found):
        raise InputError(removed)
    path = path_of(found, Wanted(args.file, args.rank, args.node, args.attempt))
    if path is not None:
        # The list of files has the path without its folder where the run has one node.
        listed = path.partition("/")[2] if is_single(found) else path
        if any(file["path"] == listed for file in reader.files(client, args.run, prefix=listed)):
            return path
        has_all = found["is_complete"] or (found["pending"] and listed not in labels.RUN_LEVEL)
        if has_all or not args.follow:
            close = reader.nearest(listed, [file["path"] for file in reader.files(client, args.run)])
            raise InputError(f"run {args.run} has no file {listed}{f'; did you mean {close}?' if close else ''}")
    raise _NotThereYet(f"run {args.run} is {found['status']} and has no {args.file or 'driver log'} yet")


def _show(client: CollectorClient, args: argparse.Namespace, query: Query, screen: _Screen) -> None:
    cursor, end = "", None
    if screen.tail is not None:
        past = Follower(client, args.run, replace(query, until="now"), tell=note)
        _play(past, screen)
        if not args.follow:
            screen.view.close()
        screen.tail.release()
        screen.output.flush()
        cursor = past.cursor
    if screen.tail is None or args.follow:
        end = _play(Follower(client, args.run, query, cursor=cursor, tell=note), screen)
    screen.view.close()
    if end is not None and args.follow:
        _say_end(args, screen.sink, end)
    screen.output.flush()


def _screen(args: argparse.Namespace, output: Output, pattern: re.Pattern[bytes] | None) -> _Screen:
    sink: TextSink | JsonSink = JsonSink(output) if args.output == "json" else TextSink(output, timestamps=args.timestamps)
    tail = Tail(args.tail, sink) if args.tail is not None and _filters(args) else None
    # What is folded in a line with a label is what stands behind it.
    is_overall = args.file in labels.OVERALL_LOGS and not args.raw
    is_plain = not (pattern or tail or args.output == "json" or is_overall)
    if args.raw and is_plain and not args.stream and not args.timestamps:
        return _Screen(output, sink, tail, RawView(output))
    last: Sink = Labelled(tail or sink) if is_overall else tail or sink
    view = LineView(
        lambda: Lines(fold=not (args.raw or is_overall), blocks=is_plain),
        Grep(pattern, last) if pattern else last,
        source=SOURCES[args.stream] if args.stream else None,
        bar=Bar(output) if args.follow and not args.raw and is_plain and not args.timestamps and output.is_terminal else None,
    )
    return _Screen(output, sink, tail, view)


def _play(follower: Follower, screen: _Screen) -> End | None:
    """Show all that comes, each event as soon as it is there."""
    for happening in follower:
        match happening:
            case Data():
                screen.view.data(happening)
            case Gap():
                screen.view.gap(happening)
            case Superseded():
                screen.view.superseded(happening)
            case End():
                return happening
            case _:
                continue
        screen.output.flush()
    return None


def _say_end(args: argparse.Namespace, sink: TextSink | JsonSink, end: End) -> None:
    if isinstance(sink, JsonSink):
        sink.write({"status": end.status, "exit_code": end.exit_code})
    else:
        note(f"run {args.run} is {end.status}{'' if end.exit_code is None else f', exit code {end.exit_code}'}")
