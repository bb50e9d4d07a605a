"""The labels of the overall logs: which node and which of its streams a line came from, and what was done to it.

    [10.77.0.12 rank 3] text
    [10.77.0.12 log 65 attempt 1 late] text

Every line of an overall log begins with one label; what stands behind it are the stream's bytes, unchanged. `split` is the
inverse: it gives back each stream byte for byte (of a driver's log: what went to stdout, or to stderr).

    attempt 1, generation 1   of a later attempt; of the file after it was truncated or replaced
    late                      it came after lines of other nodes that are younger; it belongs further up
    part                      the newline is not the stream's: its line goes on in its next one here, or it ended without
    gap 4096                  so many bytes were dropped by the node

Pure; standard library only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import names

# The files of a run on several nodes that belong to none of them; the first three have labels.
OVERALL_LOGS = (names.EXECUTION_LOGS, names.STDOUT_LOGS, names.STDERR_LOGS)
RUN_LEVEL = (*OVERALL_LOGS, names.PROCESS_INFO, names.PROCESS_STATUS)

LATE = b" late"
PART = b" part"
END = b"] "

_LABEL = re.compile(
    rb"\[([^ \]]+) ((?:rank|log) \d+)(?: attempt (\d+))?(?: generation (\d+))?( late)?( part)?(?: gap (\d+))?\] "
)


@dataclass(frozen=True, slots=True)
class Origin:
    """A stream: the node's folder, `rank 3` or `log 65`, and which of the files that had its name."""

    node: str
    what: str
    attempt: int = 0
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of an overall log, taken apart: `data` are the stream's bytes, its newline included where it has one."""

    origin: Origin
    data: bytes
    is_late: bool = False


def head(origin: Origin) -> bytes:
    """The label of `origin` up to the marks: marks and END follow."""
    text = f"[{origin.node} {origin.what}"
    if origin.attempt:
        text += f" attempt {origin.attempt}"
    if origin.generation:
        text += f" generation {origin.generation}"
    return text.encode()


def gap(length: int) -> bytes:
    """The mark of a gap."""
    return b" gap %d" % length


def length_of(line: bytes) -> int:
    """How long the label is with which `line` begins; 0 where it begins with none."""
    match = _LABEL.match(line)
    return match.end() if match else 0


def split(line: bytes) -> Line:
    """The inverse, of a line with its newline. Raises ValueError where it begins with no label."""
    match = _LABEL.match(line)
    if match is None:
        raise ValueError(f"{line[:60]!r} begins with no label")
    node, what, attempt, generation, late, part, gap_bytes = match.groups()
    data = line[match.end() :]
    if gap_bytes is not None:
        data = bytes(int(gap_bytes))
    elif part is not None:
        data = data[:-1]
    origin = Origin(node.decode(), what.decode(), int(attempt or 0), int(generation or 0))
    return Line(origin, data, late is not None)
