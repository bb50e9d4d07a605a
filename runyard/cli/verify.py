"""`runyard verify RUN`: has the collector read every byte of a run again and hold it against the seals.

Reads from GET verify, writes to stdout; exit code 0 only where the run is complete and every file is whole.
"""

from __future__ import annotations

import argparse
from collections import Counter

from runyard import reader
from runyard.client import CollectorClient
from runyard.reader import Document

from .connection import add_connection_arguments, add_output_argument, client_of
from .terminal import clean, say, say_json, size, table

# The collector reads the whole run from its disk before it answers: at 100 MB/s, 8 TB in a day.
LONGEST_S = 86400.0
WORDS = {"unsealed": "not sealed", "mismatch": "not what the node sealed", "gaps": "with dropped bytes", "removed": "removed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard verify`."""
    parser.add_argument("run", metavar="RUN", help="the run's id")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Verify the run; 0 if it is complete and all is well, else 1."""
    client = client_of(args)
    removed = reader.removed(reader.run(client, args.run))
    found: Document = client.json("GET", f"{reader.run_path(args.run)}/verify", timeout_s=LONGEST_S)
    bad = [file for file in found["files"] if file["result"] != "ok"]
    is_well = found["is_complete"] and not bad
    if args.output == "json":
        dropped = {file["path"]: file["gaps"] for file in reader.files(client, args.run) if file["gaps"]} if bad else {}
        say_json({**found, "is_well": is_well, "gaps": dropped})
        return 0 if is_well else 1
    if removed:
        say(removed)
        return 1
    if bad:
        say(table(("FILE", "SIZE", "RESULT"), [_row(file) for file in bad]))
    say(_sentence(args.run, found, bad, _dropped(client, args.run, bad)))
    return 0 if is_well else 1


def _row(file: Document) -> tuple[str, ...]:
    return file["path"], size(file["bytes"]), WORDS.get(file["result"], str(file["result"]))


def _dropped(client: CollectorClient, run_id: str, bad: list[Document]) -> int:
    if not any(file["result"] == "gaps" for file in bad):
        return 0
    return sum(end - start for file in reader.files(client, run_id) for start, end in file["gaps"])


def _sentence(run_id: str, found: Document, bad: list[Document], dropped: int) -> str:
    files = found["files"]
    total = f"{len(files)} {'file' if len(files) == 1 else 'files'}, {size(sum(file['bytes'] for file in files))}"
    name = clean(run_id)
    if not bad:
        whole = f"every byte of {name} is what its nodes wrote ({total})"
        return whole if found["is_complete"] else f"{name} is not complete yet; so far {whole}"
    counts = Counter(file["result"] for file in bad)
    parts = [f"{count} {WORDS.get(result, result)}" for result, count in sorted(counts.items())]
    lost = f" ({dropped} bytes were dropped at the spool quota)" if dropped else ""
    state = "is complete" if found["is_complete"] else "is not complete"
    return f"{name} {state}, but not whole: of {total}: {', '.join(parts)}{lost}"
