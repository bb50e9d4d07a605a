"""Files of JSON lines that only grow: process_info.json and its neighbour, the ledgers of dropped and reclaimed bytes.

A line that a death has cut is passed over by readers and closed by the next writer. Standard library only.
"""

from __future__ import annotations

import os

from runyard import quick_json
from runyard.names import FILE_MODE

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any


def append_line(path: str, value: dict[str, Any], *, durable: bool = False) -> None:
    """Append one line; with `durable`, it survives a power cut when this returns. Raises OSError."""
    line = quick_json.dumps(value).encode() + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        size = os.fstat(descriptor).st_size
        # A line that was cut by a death gets its end, so that the next one stands by itself.
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(descriptor, line)
        if durable:
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def read_lines(path: str) -> list[dict[str, Any]]:
    """The values of all whole lines; none where there is no file."""
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            value = quick_json.loads(line)
        except ValueError:  # cut by a death
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
