"""`runyard download RUN`: brings a run's files into a folder, goes on where an earlier download stopped, checks the digests.

Reads from GET files and artifacts, writes below --to and a summary to stdout; exit code 1 where a file did not come as it was
sealed, or has gaps.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from dataclasses import dataclass, replace

from runyard import reader
from runyard.client import CollectorClient, path_segments
from runyard.errors import CollectorRefused, CollectorUnreachable, InputError
from runyard.reader import Document

from .connection import add_connection_arguments, add_output_argument, client_of
from .folder import Folder, UnsafeName
from .terminal import clean, note, say, say_json, size

READ_BYTES = 1 << 18
SILENCE_S = 60.0
# A connection that breaks is opened again, from where it broke, so many times in a row without a new byte.
TRIES = 5
GOOD = ("ok", "unsealed")
WORDS = {
    "ok": "as sealed",
    "unsealed": "not sealed yet, so not checked",
    "gaps": "with bytes that the node has dropped",
    "mismatch": "not what was sealed",
    "refused": "not downloaded",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file: ok, unsealed (nothing to check it against), gaps, mismatch or refused (`why`)."""

    path: str
    result: str
    bytes: int = 0
    fetched_bytes: int = 0
    dropped_bytes: int = 0
    why: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `runyard download`."""
    parser.description = (
        "Downloads a run's files. Sealed files that are there in part are continued, those that are there are only checked; "
        "files that are not sealed yet are fetched anew."
    )
    parser.add_argument("run", metavar="RUN", help="the run's id")
    parser.add_argument("--to", metavar="DIR", help="folder to put them in (default: ./RUN)")
    parser.add_argument("--file", metavar="P", action="append", default=[], help="only this file; repeat it for several")
    parser.add_argument("--prefix", metavar="P", help="only files whose path starts so")
    add_output_argument(parser)
    add_connection_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Download; 0 if every file came, whole, and is what was sealed, else 1."""
    client = client_of(args)
    if removed := reader.removed(reader.run(client, args.run)):
        raise InputError(removed)
    wanted = _wanted(client, args)
    results = []
    with Folder(args.to or args.run) as folder:
        for file in wanted:
            result = _with_gaps(_one(client, args.run, file, folder), file)
            results.append(result)
            if result.result not in GOOD:
                note(f"{clean(result.path)}: {result.why or WORDS[result.result]}")
    if args.output == "json":
        say_json({"run_id": args.run, "to": folder.path, "files": [_document(result) for result in results]})
    else:
        say(_summary(results, folder.path))
    return 0 if all(result.result in GOOD for result in results) else 1


def _wanted(client: CollectorClient, args: argparse.Namespace) -> list[Document]:
    found = list(reader.files(client, args.run, prefix=args.prefix))
    found += _uploads(client, args.run, args.prefix or "", {file["path"] for file in found})
    if not args.file:
        if not found and args.prefix:
            raise InputError(f"run {args.run} has no file whose path starts with {args.prefix}")
        return found
    by_path = {file["path"]: file for file in found}
    for path in args.file:
        if path not in by_path:
            close = reader.nearest(path, list(by_path))
            raise InputError(f"run {args.run} has no file {path}{f'; did you mean {close}?' if close else ''}")
    return [by_path[path] for path in dict.fromkeys(args.file)]


def _uploads(client: CollectorClient, run_id: str, prefix: str, known: set[str]) -> list[Document]:
    """The files that trainings and notebooks have uploaded, told as those that nodes have shipped are."""
    return [
        {
            "path": one["path"],
            "bytes": one["come_bytes"],
            "sha256": one["sha256"],
            "is_sealed": one["come_bytes"] == one["size_bytes"],
            "gaps": [],
            "is_upload": True,
        }
        for one in reader.artifacts(client, run_id)
        if not one["node_id"] and one["path"].startswith(prefix) and one["path"] not in known
    ]


def _one(client: CollectorClient, run_id: str, file: Document, folder: Folder) -> Result:
    """Fetch what is missing of one file; a part that does not lead to the sealed digest is fetched once more, whole."""
    path: str = file["path"]
    try:
        with folder.open(path) as target:
            fetched = _fetch(client, run_id, file, target, resume=bool(file["is_sealed"]))
            length = os.fstat(target).st_size
            if not file["is_sealed"] or not file["sha256"]:
                return Result(path, "unsealed", length, fetched)
            if folder.sha256(target) != file["sha256"]:
                fetched += _fetch(client, run_id, file, target, resume=False)
            is_same = folder.sha256(target) == file["sha256"]
            return Result(path, "ok" if is_same else "mismatch", os.fstat(target).st_size, fetched)
    except UnsafeName as error:
        return Result(path, "refused", why=str(error))
    except CollectorRefused as error:
        # 404: it was replaced since it was listed. The other files can still be had.
        if error.status not in (404, 416):
            raise
        return Result(path, "refused", why=str(error))


def _with_gaps(result: Result, file: Document) -> Result:
    """A file that came as the collector has it is not whole where the node's quota had dropped bytes of it."""
    dropped = sum(end - start for start, end in file["gaps"])
    if not dropped or result.result not in GOOD:
        return result
    seal = "" if result.result == "ok" else "; it is not sealed yet"
    why = f"{dropped} of its bytes were dropped by the node and are NULs here{seal}"
    return replace(result, result="gaps", dropped_bytes=dropped, why=why)


def _fetch(client: CollectorClient, run_id: str, file: Document, target: int, *, resume: bool) -> int:
    """Write the file from its start, or from the end of the part that is there, over as many connections as it takes."""
    position = min(os.fstat(target).st_size, file["bytes"]) if resume else 0
    os.ftruncate(target, position)
    start, vain_tries = position, 0
    while position < file["bytes"]:
        before = position
        try:
            position = _stream(client, run_id, file, target, position)
        except CollectorUnreachable:
            position = os.fstat(target).st_size
            vain_tries = vain_tries + 1 if position == before else 0
            if vain_tries >= TRIES:
                raise
            continue
        break
    return position - start


def _stream(client: CollectorClient, run_id: str, file: Document, target: int, position: int) -> int:
    # Only as much as was listed: a file that still grows would never come to its end.
    headers = {"Range": f"bytes={position}-{file['bytes'] - 1}"}
    where = "artifacts" if file.get("is_upload") else "files"
    path = f"{reader.run_path(run_id)}/{where}/{path_segments(file['path'])}"
    with client.stream("GET", path, headers=headers, timeout_s=SILENCE_S) as response:
        if response.status != 206:  # a proxy that knows no ranges: it begins at the start
            position = 0
        while chunk := client.read(response, READ_BYTES):
            Folder.write(target, chunk, position)
            position += len(chunk)
    return position


def _document(result: Result) -> dict[str, object]:
    return {
        "path": result.path,
        "result": result.result,
        "bytes": result.bytes,
        "fetched_bytes": result.fetched_bytes,
        "dropped_bytes": result.dropped_bytes,
        "why": result.why,
    }


def _summary(results: list[Result], folder: str) -> str:
    counts = Counter(result.result for result in results)
    parts = [f"{counts[word]} {text}" for word, text in WORDS.items() if counts[word]]
    total, fetched = (sum(result.bytes for result in results), sum(result.fetched_bytes for result in results))
    what = ", ".join(parts) or "nothing to download"
    return f"{len(results)} files, {size(total)}, in {folder} ({size(fetched)} fetched): {what}"
