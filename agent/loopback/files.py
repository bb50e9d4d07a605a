"""The artifacts of the run, its children and its models: bytes to .runyard/blobs, a record each.

Reads from request bodies and the blobs of the run's attempts on this node; writes to .runyard/uploads while bytes come, and to
.runyard/blobs once they are whole. What survives a kill -9: every file whose request was answered.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runyard import names
from runyard.mlflow import answers
from runyard.mlflow.errors import MlflowError, invalid, missing

from .book import MODEL_OWNER, File

_UPLOADS = f"{names.PRIVATE_DIR}/uploads"


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
    """Where the bytes lie."""

    def __init__(self, attempts: Iterable[Path]) -> None:
        self._attempts = list(attempts)
        run_dir = self._attempts[-1]
        self._folder = run_dir / names.BLOBS_DIR
        self._uploads = run_dir / _UPLOADS
        for folder in (self._folder, self._uploads):
            folder.mkdir(names.DIR_MODE, parents=True, exist_ok=True)
        for left in self._uploads.iterdir():  # by a server that was killed meanwhile
            left.unlink()

    async def take(self, chunks: AsyncIterator[bytes]) -> File:
        """Keep the bytes; they are whole, and in the kernel, when this returns. Raises OSError."""
        digest, size = hashlib.sha256(), 0
        part = self._uploads / os.urandom(8).hex()
        try:
            with part.open("xb") as file:
                part.chmod(names.FILE_MODE)
                async for chunk in chunks:
                    digest.update(chunk)
                    size += len(chunk)
                    file.write(chunk)
            whole = self._folder / digest.hexdigest()
            if not whole.exists():
                part.rename(whole)
        finally:
            part.unlink(missing_ok=True)
        return File(digest.hexdigest(), size)

    def find(self, file: File) -> Path | None:
        """Where all its bytes lie on this node; None where they do not."""
        for run_dir in reversed(self._attempts):
            path = run_dir / names.BLOBS_DIR / file.sha256
            if path.is_file() and path.stat().st_size == file.size_bytes:
                return path
        return None
