"""Small files that are replaced whole: a reader sees the old or the new content, never a part. Standard library only."""

from __future__ import annotations

import os
from _thread import get_ident  # threading's own, without threading's import time

from . import quick_json
from .names import FILE_MODE

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any


def write_bytes(path: str, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `data` through a rename. With `durable`, the new content also survives a power cut. Blocks."""
    temporary = f"{path}.{os.getpid()}-{get_ident()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
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
    """The value in `path`, or None where there is no such file or it is no JSON (a file from a half-made folder)."""
    try:
        with open(path, "rb") as file:
            return quick_json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None
