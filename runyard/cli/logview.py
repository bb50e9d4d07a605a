"""A log as a person looks at it: what a follower brings becomes lines on stdout.

    follower ─▶ View ─(wanted bytes)─▶ Lines (fold) ─▶ Grep ─▶ Tail ─▶ Text or Json ─▶ stdout
                   └──(--raw)──────────────────────────────────────────────────────▶ stdout

Reads from what it is given, writes to an Output, and marks to stderr where the bytes have to stay exact.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from runyard import timeindex
from runyard.fold import Lines, Piece
from runyard.follow import Data, Gap, Superseded

from .terminal import Output, moment, note

ZEROS = bytes(1 << 16)
MOVES = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-ln-~]|[\x00-\x08\x0b-\x1a\x1c-\x1f]")
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Seen:
    """When and from where bytes came; None where no index record tells."""

    wall_ns: int | None
    source: int | None


class View(Protocol):
    """What becomes of what a follower brings."""

    def data(self, data: Data) -> None: ...
    def gap(self, gap: Gap) -> None: ...
    def superseded(self, happening: Superseded) -> None: ...
    def close(self) -> None: ...


def gap_text(length: int) -> str:
    """The line that stands where bytes are missing."""
    return f"[runyard: {length} bytes were dropped here (spool quota)]"


def superseded_text(happening: Superseded) -> str:
    """The sentence between two generations of a file."""
    return f"{happening.file.path} was truncated or replaced; its next content follows"


class RawView:
    """Byte for byte what the collector's file holds, also in gaps: NUL bytes stand there, and the marker goes to stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def data(self, data: Data) -> None:
        self._output.write(data.data)

    def gap(self, gap: Gap) -> None:
        note(gap_text(gap.length))
        for start in range(0, gap.length, len(ZEROS)):
            self._output.write(ZEROS[: gap.length - start])

    def superseded(self, happening: Superseded) -> None:
        note(superseded_text(happening))

    def close(self) -> None:
        pass


class Sink(Protocol):
    """One stage behind the lines."""

    def line(self, piece: Piece[Seen]) -> None: ...
    def gap(self, gap: Gap) -> None: ...


class LineView:
    """Lines for `sink`; with a `bar` the unfinished line is shown live. `source`: only bytes of that descriptor.

    What was written to stdout and to stderr makes up lines of its own: a warning does not tear the line in two in whose midst
    it came, nor is it folded away with the bar.
    """

    def __init__(
        self, make_lines: Callable[[], Lines[Seen]], sink: Sink, *, source: int | None = None, bar: Bar | None = None
    ) -> None:
        self._make_lines = make_lines
        self._lines: dict[int | None, Lines[Seen]] = {}
        self._sink = sink
        self._source = source
        self._bar = bar
        self._is_told = False

    def data(self, data: Data) -> None:
        for part, wall_ns, source in data.segments():
            if self._is_wanted(source):
                lines = self._lines.get(source) or self._lines.setdefault(source, self._make_lines())
                for piece in lines.feed(part, Seen(wall_ns, source)):
                    self._put(piece)
                if self._bar is not None:
                    self._bar.show(lines.state)

    def gap(self, gap: Gap) -> None:
        self.close()
        self._sink.gap(gap)

    def superseded(self, happening: Superseded) -> None:
        self.close()
        note(superseded_text(happening))

    def close(self) -> None:
        for lines in self._lines.values():
            for piece in lines.flush():
                self._put(piece)

    def _put(self, piece: Piece[Seen]) -> None:
        if self._bar is not None:
            self._bar.clear()
        self._sink.line(piece)

    def _is_wanted(self, source: int | None) -> bool:
        if self._source is None or source == self._source:
            return True
        if source in (timeindex.STDOUT, timeindex.STDERR):
            return False
        if not self._is_told:
            # To show too much is better than to hide what may be the error that is looked for.
            self._is_told = True
            note("stdout and stderr of this file cannot be told apart everywhere; what is of neither is shown")
        return True


class Moments:
    """Times as text; the last one is kept, for many lines come with one record's time."""

    def __init__(self) -> None:
        self._last: tuple[int | None, str | None] = (None, None)

    def text(self, wall_ns: int | None) -> str | None:
        if wall_ns != self._last[0]:
            self._last = wall_ns, None if wall_ns is None else moment(wall_ns, milliseconds=True)
        return self._last[1]


class TextSink:
    """Lines as they are, with `timestamps` after their time. A line that was left without an end gets one before the next."""

    def __init__(self, output: Output, *, timestamps: bool = False) -> None:
        self._output = output
        self._timestamps = timestamps
        self._moments = Moments()
        self._is_open = False

    def line(self, piece: Piece[Seen]) -> None:
        data = piece.data
        if piece.starts:
            self._end_line()
            if self._timestamps:
                prefix = f"{self._moments.text(piece.stamp.wall_ns) or '-'} ".encode()
                data = prefix + data[:-1].replace(b"\n", b"\n" + prefix) + data[-1:]
        self._output.write(data)
        self._is_open = not data.endswith(b"\n")

    def gap(self, gap: Gap) -> None:
        self._end_line()
        self._output.write(f"{gap_text(gap.length)}\n".encode())

    def _end_line(self) -> None:
        if self._is_open:
            self._output.write(b"\n")
            self._is_open = False


class JsonSink:
    """One JSON object for each line (of a long line: for each piece)."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._moments = Moments()

    def line(self, piece: Piece[Seen]) -> None:
        line = piece.data.removesuffix(b"\n").removesuffix(b"\r") if piece.ends else piece.data
        wall_ns, source = piece.stamp.wall_ns, piece.stamp.source
        document: dict[str, object] = {
            "time": self._moments.text(wall_ns),
            "time_ns": wall_ns,
            "stream": timeindex.SOURCE_NAMES.get(source) if source else None,
            "line": line.decode("utf-8", "replace"),
        }
        if document["line"] != line.decode("utf-8", "surrogateescape"):
            document["base64"] = base64.b64encode(line).decode()
        if not piece.starts or not piece.ends:
            document |= {"starts": piece.starts, "ends": piece.ends}
        self.write(document)

    def write(self, document: dict[str, object]) -> None:
        self._output.write(json.dumps(document).encode() + b"\n")

    def gap(self, gap: Gap) -> None:
        self.write({"gap_bytes": gap.length, "offset": gap.offset})


class Grep:
    """Passes lines on that match. Of a line too long to be held, each piece is looked at until one matches; then all pass."""

    def __init__(self, pattern: re.Pattern[bytes], then: Sink) -> None:
        self._pattern = pattern
        self._then = then
        self._passing: dict[int | None, bool] = {}  # stdout's and stderr's long lines may come in each other's midst

    def line(self, piece: Piece[Seen]) -> None:
        was_passing = not piece.starts and self._passing.get(piece.stamp.source, False)
        is_passing = was_passing or self._pattern.search(piece.data.rstrip(b"\r\n")) is not None
        self._passing[piece.stamp.source] = is_passing
        if is_passing:
            self._then.line(Piece(piece.data, piece.stamp, not was_passing, piece.ends))

    def gap(self, gap: Gap) -> None:
        self._then.gap(gap)


class Tail:
    """Holds the last `count` lines (and the gaps between them) back until `release`, then passes everything on."""

    def __init__(self, count: int, then: Sink) -> None:
        self._lines: deque[list[Piece[Seen] | Gap]] | None = deque(maxlen=count)
        self._then = then

    def line(self, piece: Piece[Seen]) -> None:
        if self._lines is None:
            self._then.line(piece)
        elif piece.starts:
            self._lines.append([piece])
        elif self._lines:
            self._lines[-1].append(piece)

    def gap(self, gap: Gap) -> None:
        if self._lines is None:
            self._then.gap(gap)
        else:
            self._lines.append([gap])

    def release(self) -> None:
        held, self._lines = self._lines or (), None
        for item in (item for line in held for item in line):
            if isinstance(item, Gap):
                self._then.gap(item)
            else:
                self._then.line(item)


class Bar:
    """On a terminal: an unfinished line, redrawn in place."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._shown = b""

    def show(self, state: bytes) -> None:
        if state == self._shown:
            return
        self._output.write(b"\r" + self._fitting(state) + b"\x1b[K")
        self._shown = state

    def clear(self) -> None:
        if self._shown:
            self._output.write(b"\r\x1b[K")
            self._shown = b""

    def _fitting(self, state: bytes) -> bytes:
        # Colours are kept; what moves the cursor is not, and a line that wraps could not be taken back with \r.
        columns = self._output.columns
        line = MOVES.sub(b"", state)
        text = COLOUR.sub(b"", line).decode("utf-8", "replace")
        if width(text) < columns:
            return line
        while width(text) >= columns:
            text = text[: -max(1, (width(text) - columns) // 2)]
        return text.encode()


def width(text: str) -> int:
    """Columns that `text` takes on a terminal, nearly."""
    return len(text) if text.isascii() else sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
