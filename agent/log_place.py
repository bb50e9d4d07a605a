"""Finding the place in a log that tells why its process failed. Reads the log's last bytes; standard library only."""

from __future__ import annotations

import os

from .outcome import first_failed

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

    from .process import Process

# Looked through from the end; a traceback longer than this is shown from here on.
LOOK_BYTES = 256 << 10
# Without a traceback, so many lines.
LAST_LINES = 10
_TRACEBACK = b"Traceback (most recent call last):"


def of_first_failed(run_dir: str, processes: list[Process], exits: list[dict[str, Any]]) -> dict[str, Any]:
    """The log of the first process that failed, and the place in it."""
    first = first_failed(exits) or {}
    bad = next((process for process in processes if process.rank == first.get("rank")), processes[0])
    start, end = last_words(os.path.join(run_dir, bad.log))
    return {"log": bad.log, "start": start, "end": end}


def last_words(path: str) -> tuple[int, int]:
    """The byte range [start, end) of the last traceback to the log's end, or of its last lines. (0, 0): there is no log."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            base = file.seek(max(0, end - LOOK_BYTES))
            data = file.read(end - base)
    except OSError:
        return 0, 0
    start = data.rfind(_TRACEBACK)
    if start < 0:
        start = len(data.rstrip(b"\n"))
        for _ in range(LAST_LINES):
            start = max(0, data.rfind(b"\n", 0, start))
        start += start > 0
    else:
        start = data.rfind(b"\n", 0, start) + 1
    return base + start, base + len(data)
