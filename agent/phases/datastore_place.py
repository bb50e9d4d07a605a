"""Where a datastore's files go on the node: parts beside the target, whole files in it, and a ledger of those.

Writes `<target>/…` and `.<target's name>.download/` next to it: `parts/` holds what is under way, `done.jsonl` one line for
each file that is whole. A part's name is bound to the file's version, so that only what belongs together is joined.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from runyard.errors import PhaseError

READ_BYTES = 1 << 20
# The work folder around it is its owner's alone; in a container the driver may be somebody else.
DIR_MODE, DATA_MODE = 0o755, 0o644


@dataclass(frozen=True, slots=True)
class Whole:
    """A line of the ledger: a file that is complete. `sha256` is empty where it was not asked for."""

    name: str
    size_bytes: int
    version: str
    sha256: str


class Place:
    """A datastore's target folder. `begin` first; `part` and `keep` may come from several threads, for one file from one."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.work = target.with_name(f".{target.name}.download")
        self.parts = self.work / "parts"
        self._ledger: IO[bytes] | None = None
        self._whole: dict[str, Whole] = {}
        self._known_parts: dict[str, Path] = {}  # of an earlier try
        self._made: set[str] = set()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Make the folders and read what is there."""
        for folder in (self.target, self.parts):
            folder.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        self._known_parts = {path.name.partition(".")[0]: path for path in self.parts.iterdir()}
        path = self.work / "done.jsonl"
        with suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                with suppress(ValueError, TypeError):  # the last line of a try that was killed
                    whole = Whole(**json.loads(line))
                    self._whole[whole.name] = whole
        self._ledger = path.open("ab", buffering=0)

    def close(self) -> None:
        """Close the ledger."""
        if self._ledger is not None:
            self._ledger.close()

    def clear(self) -> None:
        """Remove the parts, when all is whole."""
        for path in self.parts.iterdir():
            path.unlink()

    def whole(self, name: str) -> Whole | None:
        """The file's line in the ledger, if it still is there as it was."""
        whole = self._whole.get(name)
        with suppress(OSError):
            if whole is not None and (self.target / name).stat().st_size == whole.size_bytes:
                return whole
        return None

    def part(self, name: str, *, with_digest: bool) -> Part:
        """What an earlier try has of the file, or nothing yet."""
        key = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
        return Part(self, name, f"{self.parts}/{key}.", self._known_parts.get(key), with_digest=with_digest)

    def keep(self, part: Part, whole: Whole) -> None:
        """Put the part into its place as the whole file."""
        line = {"name": whole.name, "size_bytes": whole.size_bytes, "version": whole.version, "sha256": whole.sha256}
        with told(whole.name, self.target):
            part.close()
            folder = whole.name.rpartition("/")[0]
            if folder not in self._made:
                (self.target / folder).mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
                self._made.add(folder)
            Path(part.path).rename(f"{self.target}/{whole.name}")
            # Killed before this line, the file is fetched again.
            assert self._ledger is not None
            with self._lock:
                self._ledger.write(json.dumps(line).encode() + b"\n")


@contextmanager
def told(name: str, folder: Path) -> Iterator[None]:
    """A disk that does not take the file becomes one sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PhaseError(
                f"the disk below {folder} is full: {name!r} does not fit; make room there, or use another disk"
            ) from error
        raise PhaseError(f"{name!r} cannot be written below {folder}: {error.strerror}") from error


class Part:
    """A file that is under way. Belongs to one task; its methods block."""

    def __init__(self, place: Place, name: str, prefix: str, found: Path | None, *, with_digest: bool) -> None:
        self._place = place
        self._name = name
        self._prefix = prefix  # of its path; the version follows
        self._with_digest = with_digest
        # A cancel closes it on the event loop's thread while the disk's thread may still write.
        self._lock = threading.Lock()
        self._is_open = False
        self._descriptor = -1  # of what is open, from the first write on
        self._found = str(found) if found else ""
        self.path = self._found
        self.version = self.path.removeprefix(prefix)
        self.size_bytes = found.stat().st_size if found else 0
        self.digest: Any = None

    def begin(self, start: int, version: str) -> None:
        """Go on at `start`, or begin anew with 0. The disk is not touched yet."""
        self.close()
        self.path, self.version, self.size_bytes = f"{self._prefix}{version}", version, start
        self.digest = hashlib.sha256() if self._with_digest else None
        self._is_open = True

    def digest_found(self) -> None:
        """Take what an earlier try has left into the digest. After `begin`, before the first `write`."""
        with told(self._name, self._place.target):
            with self._lock:
                if self._is_open:
                    self._open()
            at = 0
            while at < self.size_bytes:
                with self._lock:
                    data = os.pread(self._descriptor, min(READ_BYTES, self.size_bytes - at), at) if self._is_open else b""
                if not data:
                    return
                self.digest.update(data)
                at += len(data)

    def write(self, blocks: list[bytes]) -> None:
        """Append the blocks; nothing happens once it is closed. Raises PhaseError where the disk does not take them."""
        with self._lock, told(self._name, self._place.target):
            if self._is_open:
                self._open()
                for block in blocks:
                    view = memoryview(block)
                    while view:
                        view = view[os.write(self._descriptor, view) :]
                    self.size_bytes += len(block)

    def close(self) -> None:
        """Close it; what was written stays."""
        with self._lock:
            self._is_open = False
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def discard(self) -> None:
        """Close and remove it."""
        self.close()
        Path(self.path).unlink(missing_ok=True)
        self.path, self.version, self.size_bytes = "", "", 0

    def _open(self) -> None:
        """Open the file and cut off what lies behind the place where it goes on."""
        if self._descriptor >= 0:
            return
        if self._found and self._found != self.path:
            Path(self._found).unlink(missing_ok=True)  # of another version
        anew = 0 if self.size_bytes else os.O_TRUNC
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | anew, DATA_MODE)
        if self.size_bytes:
            os.ftruncate(self._descriptor, self.size_bytes)
            os.lseek(self._descriptor, 0, os.SEEK_END)
