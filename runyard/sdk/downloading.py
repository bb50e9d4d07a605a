"""Fetching a file of a run: to a temporary name, which becomes the file's when all has come and its digest is right.

Reads from GET /runs/{run_id}/artifacts/{path}; writes to the target's folder. A connection that breaks is opened again, and the
download goes on where it was, unless the file has changed since.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from runyard.client import CollectorClient, path_segments
from runyard.errors import CollectorBusy, CollectorUnreachable, InputError, RunyardError
from runyard.reader import run_path

from .uploading import Tries

READ_BYTES = 1 << 18
SILENCE_S = 60.0
_DIGEST = re.compile(r'"([0-9a-f]{64})"')


class NotWhole(RunyardError):  # noqa: N818 - the name tells the state
    """What came is not what the collector has said that the file is."""


@dataclass(slots=True)
class _Part:
    """What has come. `etag` says of which bytes it is the beginning."""

    file: IO[bytes]
    etag: str = ""
    size_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def restart(self) -> None:
        self.file.seek(0)
        self.file.truncate()
        self.size_bytes, self.digest = 0, hashlib.sha256()

    def add(self, data: bytes) -> None:
        self.file.write(data)
        self.digest.update(data)
        self.size_bytes += len(data)

    def check(self, name: str) -> None:
        known = _DIGEST.fullmatch(self.etag)
        if known is not None and known[1] != self.digest.hexdigest():
            raise NotWhole(f"the file {name!r} came with the SHA-256 {self.digest.hexdigest()}, not {known[1]}; try again")


def get_file(client: CollectorClient, run_id: str, name: str, target: Path) -> None:
    """Write the run's file `name` to `target`, which appears whole or not at all. Blocks. Raises CollectorError, NotWhole, or
    InputError where `target` cannot be written."""
    with _temporary(target) as file:
        part, tries = _Part(file), Tries()
        while True:
            try:
                _fetch(client, f"{run_path(run_id)}/artifacts/{path_segments(name)}", part)
                break
            except (CollectorUnreachable, CollectorBusy) as error:
                tries.wait(error, part.size_bytes)
        part.check(name)


def _fetch(client: CollectorClient, path: str, part: _Part) -> None:
    headers = {"Range": f"bytes={part.size_bytes}-", "If-Range": part.etag} if part.size_bytes else {}
    with client.stream("GET", path, headers=headers, timeout_s=SILENCE_S) as response:
        if response.status != 206:
            part.restart()
        part.etag = response.headers.get("ETag", "")
        while data := client.read(response, READ_BYTES):
            part.add(data)


@contextmanager
def _temporary(target: Path) -> Iterator[IO[bytes]]:
    """A file beside `target` that takes its name at the end of the block, unless that raises."""
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(4).hex()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise InputError(f"{target} is a folder; give the path of a file")
        with temporary.open("w+b") as file:
            yield file
        temporary.replace(target)
    except OSError as error:
        raise InputError(f"the file {target} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
