"""What the end of a process's log tells: its last traceback and the lines that match a signature, with their byte ranges. Pure.

A line may have a label before it, as torch prints them (`[rank1]: Traceback …`): each line of a traceback then has it. stderr
and stdout stand in one log, so that lines of the one may lie between lines of the other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import signatures
from .signatures import Signature

# Read from the end of each log.
TAIL_BYTES = 256 << 10
# Without an exception, signatures are looked for in so much of it: what stands earlier was lived through.
LAST_BYTES = 8 << 10
# Texts in answers are cut here.
MOST_CHARACTERS = 2000

_TRACEBACK = b"Traceback (most recent call last):"
_LINKS = (
    b"The above exception was the direct cause of the following exception:",
    b"During handling of the above exception, another exception occurred:",
)
# `ValueError: x`, `torch.OutOfMemoryError: x`, `zmq.error.Again`.
_EXCEPTION = re.compile(rb"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:: .*|:?)$")
_MOST_LINES = 500
# Exceptions that followed from one another: so many are gone back.
_MOST_LINKS = 50


@dataclass(frozen=True, slots=True)
class Passage:
    """The bytes [start, end) of a log, and their text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True, slots=True)
class Traceback:
    """A traceback, or several that follow from one another. `first` and `last` are their exceptions' lines."""

    passage: Passage
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Words:
    """What a log's end tells. `found` are lines with a signature, in their order."""

    traceback: Traceback | None = None
    found: tuple[tuple[Signature, Passage], ...] = ()
    last_lines: Passage | None = None


def read(data: bytes, base: int, exception: str = "") -> Words:
    """Of a log's last bytes, which begin at `base`; the traceback is that of `exception` where that is known and there."""
    return Words(_traceback(data, base, exception), _found(data, base), _last_lines(data, base))


def _passage(data: bytes, base: int, start: int, end: int) -> Passage:
    return Passage(base + start, base + end, data[start:end].decode("utf-8", "replace").rstrip("\n")[-MOST_CHARACTERS:])


def _traceback(data: bytes, base: int, exception: str) -> Traceback | None:
    limit = len(data)
    if exception:
        named = data.rfind(exception.split(":")[0].encode(errors="replace"))
        limit = named if named >= 0 else limit
    place = data.rfind(_TRACEBACK, 0, limit)
    if place < 0:
        return None
    end, last = _end_of(data, place)
    first = last
    start = _line_start(data, place)
    for _ in range(_MOST_LINKS):
        earlier = _linked(data, place)
        if earlier < 0:
            break
        place = earlier
        start = _line_start(data, place)
        first = _end_of(data, place)[1]
    return Traceback(_passage(data, base, start, end), _text(first), _text(last))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")[:MOST_CHARACTERS]


def _line_start(data: bytes, place: int) -> int:
    return data.rfind(b"\n", 0, place) + 1


def _end_of(data: bytes, place: int) -> tuple[int, bytes]:
    """Where the traceback at `place` ends, and its exception's line."""
    label = data[_line_start(data, place) : place]
    position = data.find(b"\n", place) + 1
    line = b""
    for _ in range(_MOST_LINES):
        if position <= 0 or position >= len(data):
            break
        end = data.find(b"\n", position)
        end = len(data) if end < 0 else end
        line = data[position:end].removeprefix(label).rstrip(b"\r")
        if _EXCEPTION.match(line):
            return min(end + 1, len(data)), line
        if line.startswith(_TRACEBACK):
            break
        position = end + 1
    return min(max(position, place), len(data)), line


def _linked(data: bytes, place: int) -> int:
    """The place of the traceback from which the one at `place` follows; -1: of none."""
    earlier = data.rfind(_TRACEBACK, 0, place)
    if earlier < 0:
        return -1
    between = data[earlier:place]
    return earlier if any(link in between for link in _LINKS) else -1


def _found(data: bytes, base: int) -> tuple[tuple[Signature, Passage], ...]:
    found, position = [], max(0, len(data) - LAST_BYTES)
    for line in data[position:].splitlines(keepends=True):
        signature = signatures.find(line.decode("utf-8", "replace"))
        if signature is not None and signature.id != signatures.SOME_TIMEOUT:  # a log has many harmless ones
            found.append((signature, _passage(data, base, position, position + len(line))))
        position += len(line)
    return tuple(found)


def _last_lines(data: bytes, base: int) -> Passage | None:
    end = len(data.rstrip())
    start = end
    for _ in range(5):
        start = max(0, data.rfind(b"\n", 0, max(0, start)))
    start += start > 0
    return _passage(data, base, start, end) if end > start else None
