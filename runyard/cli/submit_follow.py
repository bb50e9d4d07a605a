"""Following a run from its place in a queue to its end, as `runyard logs -f` does.

Reads from GET runs/{run_id} and the run's log; writes the log to stdout and what is said about the way there to stderr.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from runyard import reader
from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorUnreachable, InputError
from runyard.reader import Document

from . import logs
from .terminal import note

LOOK_S = 0.3
LEFT = 130


def follow(
    client: CollectorClient, args: argparse.Namespace, run_id: str, is_gone: Callable[[], int | None] = lambda: None
) -> int:
    """Show the run's log until it is over; its exit code. `is_gone` tells how a run has ended, if it has, that the collector
    does not know (yet). Ctrl-C leaves the run alone and is 130."""
    try:
        ended = _wait(client, run_id, is_gone)
        if ended is not None:
            return ended
        if logs.run(_words(args, run_id)) == LEFT:
            return LEFT
    except InputError:  # it has ended without a log
        pass
    except KeyboardInterrupt:
        note(f"left; run {run_id} is not touched by that. To look again: runyard logs -f {run_id}")
        return LEFT
    return _exit_code(reader.run(client, run_id))


def _words(args: argparse.Namespace, run_id: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    logs.add_arguments(parser)
    collector = ["--collector", args.collector] if args.collector else []
    return parser.parse_args([run_id, "--follow", "--config", args.config, *collector])


def _wait(client: CollectorClient, run_id: str, is_gone: Callable[[], int | None]) -> int | None:
    """Until the run has a node, or is over; its exit code where it never had one. What it waits for is told when it changes."""
    told = ""
    while True:
        try:
            found = reader.run(client, run_id)
        except reader.NoSuchRun:
            ended = is_gone()
            if ended is not None:
                return ended
        except (CollectorUnreachable, CollectorBusy) as error:
            told = _tell(str(error), told)
        else:
            if found["nodes"]:
                return None
            if found["status"] in reader.FINAL_STATUSES:
                note(f"run {run_id} is {found['status']}: {found['cause'] or 'it never had a node'}")
                return _exit_code(found)
            told = _tell(found["pending"] if found["status"] == "Queued" else "", told)
        time.sleep(LOOK_S)


def _tell(text: str, told: str) -> str:
    if text and text != told:
        note(f"waiting: {text}")
    return text or told


def _exit_code(found: Document) -> int:
    if found["exit_code"] is not None:
        return int(found["exit_code"])
    return 0 if found["status"] == "Completed" else 1
