"""The artifacts of the run, its children and its models: bytes to .runyard/blobs, a record each.

Reads from request bodies and the blobs of the run's attempts on this node; writes to .runyard/blobs. What survives
a kill -9: every file whose request was answered.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from aiohttp import ClientError, StreamReader

from runyard import names
from runyard.mlflow import answers
from runyard.mlflow.errors import MlflowError, invalid, missing
from runyard.tracking import blobs

from .book import MODEL_OWNER, File


@dataclass(frozen=True, slots=True)
class Place:
    """A path below the root of all artifacts: whose, and where below it. `run` or `model_id` is empty."""

    run: str
    model_id: str
    path: str


def place_of(path: str) -> Place:
    """What <experiment>/<run>/artifacts/<path> or <experiment>/models/<model>/artifacts/<path> stands for."""
    parts = path.strip("/").split("/")
    if len(parts) >= 4 and parts[1] == "models" and parts[3] == "artifacts":
        return Place("", parts[2], checked("/".join(parts[4:])))
    if len(parts) >= 3 and parts[2] == "artifacts":
        return Place(parts[1], "", checked("/".join(parts[3:])))
    raise missing(f"There are no artifacts at {path[:200]!r}: expected <experiment>/<run>/artifacts/…")


def checked(path: str) -> str:
    """A path below an owner's artifacts; empty: all of them."""
    path = path.strip("/")
    bad = names.why_bad_stream_name(path) if path else ""
    if bad:
        raise invalid(f"Invalid path: {path[:200]!r} {bad}")
    return path


def owner_of_model(model_id: str) -> str:
    """The owner of a model's files."""
    return MODEL_OWNER + model_id


def check_free(files: Mapping[str, File], path: str) -> None:
    """No name is both file and folder."""
    above = [path[:at] for at, letter in enumerate(path) if letter == "/"]
    taken = next((one for one in above if one in files), "") or next((one for one in files if one.startswith(path + "/")), "")
    if taken:
        raise MlflowError(
            "RESOURCE_CONFLICT", f"{path[:200]!r} cannot be kept: {taken[:200]!r} is there, as the other of file and folder"
        )


def listed(files: Mapping[str, File], folder: str) -> list[answers.FileInfo]:
    """What lies in a folder; the paths are those below the owner's root."""
    before = f"{folder}/" if folder else ""
    found: dict[str, answers.FileInfo] = {}
    for path, file in files.items():
        if not path.startswith(before):
            continue
        name, slash, _ = path[len(before) :].partition("/")
        found[name] = answers.FileInfo(before + name, True) if slash else answers.FileInfo(path, False, file.size_bytes)
    if folder in files:
        found[folder] = answers.FileInfo(folder, False, files[folder].size_bytes)
    return [found[name] for name in sorted(found)]


class Blobs:
    """Where the bytes lie: in the folders of the run's attempts, the last one of which is written to."""

    def __init__(self, attempts: Iterable[Path]) -> None:
        self._folders = [run_dir / names.BLOBS_DIR for run_dir in attempts]

    async def take(self, content: StreamReader, size_bytes: int | None) -> File:
        """Keep what comes; it is whole, and in the kernel, when this returns.

        Raises SpoolError, and InputError where it breaks off.
        """
        folder = str(self._folders[-1])
        if size_bytes is not None and size_bytes <= blobs.READ_BYTES:
            kept = blobs.keep(await content.read(), folder)
        else:
            source = cast(IO[bytes], _Arriving(content, asyncio.get_running_loop()))
            kept = await asyncio.to_thread(blobs.keep, source, folder)
        return File(kept.sha256, kept.size_bytes)

    def find(self, file: File) -> Path | None:
        """Where its bytes lie on this node; None where they do not."""
        for folder in reversed(self._folders):
            path = folder / file.sha256
            if path.is_file() and path.stat().st_size == file.size_bytes:
                return path
        return None


class _Arriving:
    """A body as a file that another thread reads while it comes."""

    name = "the request's body"

    def __init__(self, content: StreamReader, loop: asyncio.AbstractEventLoop) -> None:
        self._content, self._loop = content, loop

    def read(self, most_bytes: int) -> bytes:
        """At most so many of the next bytes; none at the end. Blocks. Raises OSError where the sender has gone."""
        try:
            return asyncio.run_coroutine_threadsafe(self._content.read(most_bytes), self._loop).result()
        except ClientError as error:
            raise OSError(errno.ECONNRESET, "its sender has gone") from error
