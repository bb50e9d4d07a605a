"""Small files that are replaced whole: a reader sees the old or the new content, never a part. Standard library only."""

from __future__ import annotations

import json
import os
from typing import Any

from .names import FILE_MODE


def write_bytes(path: str, data: bytes, *, durable: bool = True) -> None:
    """Replace `path` by `data` through a rename. With `durable`, it also survives a power cut. Blocks."""
    temporary = f"{path}.{os.getpid()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fdatasync(descriptor)
    except BaseException:  # also on KeyboardInterrupt no half-written file stays behind
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    os.rename(temporary, path)


def write_json(path: str, value: Any, *, durable: bool = True) -> None:
    """Replace `path` by `value` as one line of JSON."""
    write_bytes(path, json.dumps(value, separators=(",", ":")).encode() + b"\n", durable=durable)


def read_json(path: str) -> Any:
    """The value in `path`, or None where there is no such file or it is no JSON (a file from a half-made folder)."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except (FileNotFoundError, ValueError):
        return None
