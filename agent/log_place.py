"""Finding the place in a log that tells why its process failed. Reads the log's last bytes; standard library only."""

from __future__ import annotations

import os

# Looked through from the end; a traceback longer than this is shown from here on.
LOOK_BYTES = 256 << 10
# Without a traceback, so many lines.
LAST_LINES = 10
_TRACEBACK = b"Traceback (most recent call last):"


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
