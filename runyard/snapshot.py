"""The code of a run as one archive: the same content makes the same archive, and its SHA-256 is its id.

`pack` reads a folder and writes `<id>.tar`; `send` brings it to the collector, which keeps each archive once. What belongs to
the code is told in snapshot_files.py; folders that hold no such file are not in it, as with git.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO

from .client import CollectorClient
from .errors import CollectorRefused, InputError, SpoolError
from .snapshot_files import ChangedError, Member, members_of, reading
from .spec import Snapshot

SUFFIX = ".tar"
CONTENT_TYPE = "application/x-tar"
COPY_BYTES = 1 << 20
TRIES = 3
# Two changes within one tick of the kernel's clock leave the same times: a file younger than this is waited for.
CLOCK_TICK_S = 0.02
# What a packer that was killed has left half-written is removed by a later one.
STALE_S = 86_400.0


def pack(
    code_dir: Path,
    into: Path,
    *,
    max_bytes: int,
    say: Callable[[str], None] = lambda text: None,
    leave_out: Collection[Path] = (),
) -> Snapshot:
    """Write the folder's archive to `into/<id>.tar`; `say` is told what was passed over. Blocks; reads every file once.

    `into` itself and the folders `leave_out` (such as a spool) are no code, even where they lie in the code folder.

    Raises InputError for a link that leads out, too large a folder, a file that cannot be read or does not hold still, and
    SpoolError where the archive cannot be written.
    """
    if not code_dir.is_dir():
        raise InputError(f"there is no code folder {str(code_dir)!r}; give the folder that the code lies in")
    changed = ""
    for _ in range(TRIES):
        try:
            return _pack_once(code_dir, into, max_bytes, say, [into, *leave_out])
        except ChangedError as error:
            changed = str(error)
    raise InputError(
        f"{changed!r} in the code folder {str(code_dir)!r} changes while it is packed; end what writes to it, or name it in"
        " .amlignore"
    )


def send(snapshot: Snapshot, archive: Path, client: CollectorClient) -> bool:
    """Bring the archive to the collector unless it has it; True where bytes were sent. Raises CollectorError. Blocks."""
    path = f"/snapshots/{snapshot.id}"
    try:
        client.json("HEAD", path)
    except CollectorRefused as error:
        if error.status != 404:
            raise
    else:
        return False
    with archive.open("rb") as file:
        client.upload(path, file, snapshot.size_bytes, content_type=CONTENT_TYPE)
    return True


def _pack_once(code_dir: Path, into: Path, max_bytes: int, say: Callable[[str], None], leave_out: Collection[Path]) -> Snapshot:
    members = members_of(code_dir, say, leave_out)
    if not members:
        raise InputError(f"the code folder {str(code_dir)!r} holds no file that is not ignored: there is nothing to pack")
    _refuse_too_large(code_dir, members, max_bytes)
    try:
        return _write(members, into)
    except OSError as error:
        raise SpoolError(f"the snapshot of {str(code_dir)!r} cannot be written to {str(into)!r}: {error.strerror}") from error


def _write(members: list[Member], into: Path) -> Snapshot:
    into.mkdir(parents=True, exist_ok=True)
    for left in into.glob(".snapshot-*.tmp"):
        if left.stat().st_mtime < time.time() - STALE_S:
            left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".snapshot-", suffix=".tmp", dir=into)  # 0600 from the start
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            archive = _Archive(file)
            for member in members:
                archive.add(member)
            archive.end()
        snapshot = Snapshot(id=archive.digest.hexdigest(), size_bytes=archive.size_bytes, files=len(members))
        temporary.replace(into / f"{snapshot.id}{SUFFIX}")
    except BaseException:  # also on KeyboardInterrupt no half-written archive stays behind
        temporary.unlink(missing_ok=True)
        raise
    return snapshot


class _Archive:
    """A tar file that grows; knows its size and digest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def add(self, member: Member) -> None:
        """Append it. Of owner, times and mode nothing goes in but whether its owner may run it."""
        if member.target:
            self._header(member, tarfile.SYMTYPE, 0, 0o644)
            return
        with reading(member.name):
            descriptor = os.open(member.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as source:
            before = _settled(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise ChangedError(member.name)
            self._header(member, tarfile.REGTYPE, before.st_size, 0o755 if before.st_mode & stat.S_IXUSR else 0o644)
            self._copy(member.name, source, before.st_size)
            if _identity(os.fstat(descriptor)) != _identity(before):
                raise ChangedError(member.name)
        self._put(bytes(-before.st_size % tarfile.BLOCKSIZE))

    def end(self) -> None:
        """Append what ends a tar file."""
        self._put(bytes(2 * tarfile.BLOCKSIZE))

    def _header(self, member: Member, kind: bytes, size_bytes: int, mode: int) -> None:
        info = tarfile.TarInfo(member.name)
        info.type, info.size, info.mode, info.linkname = kind, size_bytes, mode, member.target
        self._put(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))

    def _copy(self, name: str, source: IO[bytes], left: int) -> None:
        while left:
            with reading(name):
                data = source.read(min(left, COPY_BYTES))
            if not data:
                raise ChangedError(name)
            self._put(data)
            left -= len(data)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.digest.update(data)
        self.size_bytes += len(data)


def _settled(descriptor: int) -> os.stat_result:
    status = os.fstat(descriptor)
    if abs(time.time_ns() - status.st_ctime_ns) < CLOCK_TICK_S * 1e9:
        time.sleep(CLOCK_TICK_S)
        status = os.fstat(descriptor)
    return status


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _refuse_too_large(code_dir: Path, members: list[Member], max_bytes: int) -> None:
    sizes = {member.name: tarfile.BLOCKSIZE + member.size_bytes for member in members}
    size_bytes = sum(sizes.values())
    if size_bytes > max_bytes:
        largest = ", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in _largest(sizes))
        raise InputError(
            f"the code folder {str(code_dir)!r} has {size_bytes / 1e6:.1f} MB, but at most {max_bytes / 1e6:.1f} MB are sent as"
            f" code; the largest in it: {largest}; name what the run does not need in .amlignore, and bring data as a datastore"
        )


def _largest(sizes: dict[str, int], prefix: str = "") -> list[tuple[str, int]]:
    """The three largest entries of the deepest folder that holds nearly all of it: (name, bytes); folders end with a slash."""
    entries: dict[str, int] = {}
    for name, size in sizes.items():
        if name.startswith(prefix):
            head, slash, _ = name[len(prefix) :].partition("/")
            entries[prefix + head + slash] = entries.get(prefix + head + slash, 0) + size
    first = max(entries, key=entries.__getitem__)
    if first.endswith("/") and entries[first] > 0.9 * sum(entries.values()):
        return _largest(sizes, first)
    return sorted(entries.items(), key=lambda item: -item[1])[:3]
