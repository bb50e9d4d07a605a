"""Small files that are replaced whole: a reader sees the old or the new content, never a part. Standard library only."""

from __future__ import annotations

import errno
import os
import stat
from _thread import get_ident  # threading's own, without threading's import time

from . import quick_json
from .names import FILE_MODE

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any, BinaryIO

# None of ours comes near it: what is longer is not read into memory.
MOST_BYTES = 64 << 20


def write_bytes(path: str, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `data` through a rename. With `durable`, the new content also survives a power cut. Blocks."""
    temporary = f"{path}.{os.getpid()}-{get_ident()}.tmp"
    # Without O_NONBLOCK a named pipe of that name would hold us for ever.
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            if durable:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:  # also on KeyboardInterrupt no half-written file stays behind
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    if durable:
        # Until the folder is on disk, a power cut may bring the old file back: whole, but old.
        sync_folder(os.path.dirname(path) or ".")


def sync_folder(folder: str) -> None:
    """Make what was made, renamed or removed in `folder` survive a power cut. Blocks; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str, value: Any, *, durable: bool = True) -> None:
    """Replace `path` by `value` as one line of JSON."""
    write_bytes(path, quick_json.dumps(value).encode() + b"\n", durable=durable)


def read_json(path: str) -> Any:
    """The value in `path`, or None where there is no such file or it is no JSON (a file from a half-made folder).

    Raises OSError where it is no plain file.
    """
    try:
        with open_plain(path) as file:
            return quick_json.loads(file.read(MOST_BYTES))
    except (FileNotFoundError, ValueError, RecursionError):
        return None


def open_plain(path: str) -> BinaryIO:
    """Open a file for reading that somebody else may have put there. Raises OSError where it is no plain file, and so may
    never end or never begin."""
    return open(path, "rb", opener=_opened_plain)


def _opened_plain(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no plain file", path)
    return descriptor
