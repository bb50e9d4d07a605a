"""Text for a person or a program: tables, sizes, times, colours on a terminal, one JSON document.

Reads from what it is given, writes to stdout.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from runyard.errors import RunyardError

COLOURS = {
    "NotStarted": "2",
    "Queued": "36",
    "Starting": "36",
    "Provisioning": "36",
    "Preparing": "36",
    "Running": "36",
    "Finalizing": "36",
    "Completed": "32",
    "Failed": "31",
    "CancelRequested": "33",
    "Canceled": "33",
    "NotResponding": "35",
}


UNITS = ("kB", "MB", "GB", "TB", "PB")


class OutputError(RunyardError):
    """What we write to cannot take it: a full disk, a closed descriptor."""


class Output:
    """Stdout as bytes. BrokenPipeError passes (who read us has left); every other failure is an OutputError."""

    def __init__(self) -> None:
        if sys.stdout is None:  # started with stdout closed
            raise OutputError("there is no stdout to write to")
        # A buffer of its own: with PYTHONUNBUFFERED the one of sys.stdout is none, and writes only a part of what it is given.
        sys.stdout.flush()
        self._file = open(sys.stdout.fileno(), "wb", closefd=False)  # noqa: SIM115 - stdout is never closed
        self.is_terminal = self._file.isatty()

    @property
    def columns(self) -> int:
        """The terminal's width now; 80 where it does not say."""
        try:
            return os.get_terminal_size(self._file.fileno()).columns or 80
        except OSError:
            return 80

    def write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"the output cannot be written: {error.strerror}") from error

    def flush(self) -> None:
        try:
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"the output cannot be written: {error.strerror}") from error


def say(text: str) -> None:
    """`text` and a line's end on stdout, at once; what its encoding lacks is written as an escape."""
    output = Output()
    output.write(f"{text}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace"))
    output.flush()


def note(text: str) -> None:
    """One sentence to a person, on stderr."""
    print(f"runyard: {text}", file=sys.stderr, flush=True)


def say_json(document: object) -> None:
    """One JSON document on stdout; ASCII, so that any reader takes it."""
    say(json.dumps(document, indent=2))


def has_colours() -> bool:
    """Whether stdout is a terminal that shows colours and nobody has asked for none."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def status_text(status: str, width: int = 0) -> str:
    """A run's or process's status, padded, in its colour."""
    text = clean(status).ljust(width)
    return f"\x1b[{COLOURS[status]}m{text}\x1b[0m" if status in COLOURS and has_colours() else text


def clean(text: str) -> str:
    """`text` without what would steer a terminal or cannot be encoded: such characters come as escapes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode() for character in text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns; a column called STATUS is coloured."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in [list(head), *cells]) for place in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(head, widths, strict=True)).rstrip()]
    for row in cells:
        padded = [
            status_text(cell, width) if name == "STATUS" else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def size(count: int) -> str:
    """Bytes as a person reads them: 999 B, 1.2 kB, 34 MB."""
    if count < 1000:
        return f"{count} B"
    power = 1
    while count / 1000**power >= 999.5 and power < len(UNITS):
        power += 1
    value = count / 1000**power
    return f"{value:.1f} {UNITS[power - 1]}" if value < 9.95 else f"{value:.0f} {UNITS[power - 1]}"


def moment(ns: int | None, *, milliseconds: bool = False) -> str:
    """Nanoseconds since 1970 as RFC 3339 in UTC; "-" for None and for what no calendar holds."""
    if ns is None:
        return "-"
    seconds, rest = divmod(ns, 10**9)
    try:
        text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "-"
    return f"{text}.{rest // 10**6:03d}Z" if milliseconds else f"{text}Z"


def duration(ns: int | None) -> str:
    """A length of time as a person reads it: 0.4s, 12s, 3m05s, 2h07m, 4d03h."""
    if ns is None or ns < 0:
        return "-"
    seconds = ns / 1e9
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    for unit, large, small, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit:
            return f"{whole // unit}{large}{whole % unit // small:02d}{name}"
    return f"{whole}s"
