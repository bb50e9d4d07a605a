"""Keeping files by content on the node: each under the SHA-256 of its bytes, once. Standard library only.

Reads from a file, bytes or a stream; writes to the folder of blobs. A blob gets its name only when it is whole, and under no
other name is a file there shipped (agent/ship/files.py); a name that is taken is never given to another file. What survives a
kill -9: every blob whose `keep` has returned. One that was cut off leaves a file that counts for nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from runyard.errors import InputError, SpoolError
from runyard.names import DIR_MODE

READ_BYTES = 1 << 20
# What is not whole yet: no name of a blob.
UNFINISHED = ".part"
# Nobody changes a blob.
BLOB_MODE = 0o400

_FULL = (errno.ENOSPC, errno.EDQUOT)
# What a file system answers that has no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FICLONE = 0x40049409  # linux/fs.h
_ZEROS = bytes(READ_BYTES)

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes]


@dataclass(frozen=True, slots=True)
class Kept:
    """A blob, and how long it is."""

    sha256: str
    size_bytes: int


def keep(source: Source, blobs_dir: str) -> Kept:
    """Keep the bytes of a file (its path), of a bytes object, or of what is left of a binary stream, as they are now. Blocks.

    Raises InputError where the source cannot be read, SpoolError where the folder cannot be written; then nothing is left.
    """
    temporary = os.path.join(blobs_dir, f"{os.urandom(8).hex()}{UNFINISHED}")
    try:
        descriptor = _made(blobs_dir, temporary)
        try:
            try:
                kept = _filled(descriptor, source)
            finally:
                os.close(descriptor)
            _give_name(temporary, os.path.join(blobs_dir, kept.sha256))
        finally:
            os.unlink(temporary)
    except OSError as error:
        raise _spool_error(blobs_dir, error) from error
    return kept


def digest_of(path: str) -> Kept:
    """What `keep` would give for the file, without keeping it. Blocks; raises InputError where it cannot be read."""
    with _opened(path) as file:
        return _digest(_read(file, path))


def _made(folder: str, path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, BLOB_MODE)
    except FileNotFoundError:
        os.makedirs(folder, DIR_MODE, exist_ok=True)
        return os.open(path, flags, BLOB_MODE)


def _give_name(temporary: str, path: str) -> None:
    """A name that is taken stays with its file: that holds the same bytes, and may be under way to the collector already."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not os.path.exists(path):
            os.replace(temporary, path)
            os.close(os.open(temporary, os.O_CREAT | os.O_CLOEXEC, BLOB_MODE))  # the caller takes it away


def _filled(descriptor: int, source: Source) -> Kept:
    """Copies the source, and reads it no more than once: what changes meanwhile is still what its digest says."""
    if isinstance(source, str | os.PathLike):
        with _opened(os.fspath(source)) as file:
            if _cloned(file.fileno(), descriptor):
                return _digest(_pieces_of(descriptor))
            return _digest(_written(descriptor, _read(file, os.fspath(source))))
    if isinstance(source, bytes | bytearray | memoryview):
        return _digest(_written(descriptor, iter((memoryview(source).cast("B"),))))
    if not hasattr(source, "read"):
        raise InputError(f"a {type(source).__name__} cannot be kept as a file; give a path, or a file opened in mode 'rb'")
    return _digest(_written(descriptor, _read(source, str(getattr(source, "name", "the stream")))))


def _opened(path: str) -> IO[bytes]:
    try:
        file = open(path, "rb", buffering=0, opener=_open_now)  # noqa: SIM115 - the caller closes it
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder, not a file; upload it as such") from error
    except OSError as error:
        raise InputError(f"the file {path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"{path} is a pipe or a device, not a file")
    return file


def _open_now(path: str, flags: int) -> int:
    # Without O_NONBLOCK a named pipe would hold us for ever.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _cloned(source: int, target: int) -> bool:
    """Whether the file system shares the source's blocks with the copy, which then costs no room."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _read(file: IO[bytes], name: str) -> Iterator[memoryview]:
    while True:
        try:
            piece = file.read(READ_BYTES)
        except OSError as error:
            raise InputError(f"{name} cannot be read: {error.strerror}") from error
        if isinstance(piece, str):
            raise InputError(f"{name} was opened as text; open it in mode 'rb'")
        if not piece:
            return
        yield memoryview(piece)


def _pieces_of(descriptor: int) -> Iterator[memoryview]:
    position = 0
    while piece := os.pread(descriptor, READ_BYTES, position):
        position += len(piece)
        yield memoryview(piece)


def _written(descriptor: int, pieces: Iterator[memoryview]) -> Iterator[memoryview]:
    """Each piece once it is in the file; runs of NULs become holes."""
    size = 0
    for piece in pieces:
        if piece != _ZEROS[: len(piece)]:
            done = 0
            while done < len(piece):
                done += os.pwrite(descriptor, piece[done:], size + done)
        size += len(piece)
        yield piece
    os.ftruncate(descriptor, size)


def _digest(pieces: Iterator[memoryview]) -> Kept:
    digest, size = hashlib.sha256(), 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return Kept(digest.hexdigest(), size)


def _spool_error(folder: str, error: OSError) -> SpoolError:
    if error.errno in _FULL:
        return SpoolError(f"the disk of {folder} is full: the file is not kept")
    return SpoolError(f"the file cannot be kept in {folder}: {error.strerror}")
