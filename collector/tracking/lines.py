"""From the bytes of a journal to records: whole lines, and no more of them than are applied in a short time. Pure.

A line that is no record is told with a sentence, and does not keep the others from being read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from runyard.tracking.records import FileMetric, Metric, Record, Row, Word, decoder

# How much may be applied in one transaction, in points appended to a series that has others in it: about 20 ms.
MOST_WORK = 5000
OF_SERIES = 25  # what the first point of a series costs more
_OF_OTHERS = 40  # what a record costs that is no point
_POINTS = (Metric, Word, Row, FileMetric)
# What the decoder raises at bytes that are no record; it follows brackets within brackets only so far.
NO_RECORD = (msgspec.MsgspecError, UnicodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the first `length` bytes of a piece hold: records, and what is wrong with lines that are none. `work` is about what
    it costs to apply them, see MOST_WORK."""

    length: int
    records: Sequence[Record]
    faults: Sequence[str]
    work: int


def take(piece: bytes, *, at: int, is_last: bool) -> Taken:
    """The records of the whole lines of a piece that starts at byte `at` of its journal. With `is_last` nothing comes behind
    it, and what stands behind the last line feed is a line, too."""
    length = len(piece) if is_last else piece.rfind(b"\n") + 1
    lines = piece[:length]
    try:
        records = decoder.decode_lines(lines)
    except NO_RECORD:
        return _one_by_one(lines, at)
    count, work = how_many(records)
    if count < len(records):
        length = _end_of(lines, records[:count])
        if length < 0:  # there are empty lines
            return _one_by_one(lines, at)
    return Taken(length, records[:count], (), work)


def how_many(records: Sequence[Record]) -> tuple[int, int]:
    """How many of the first records may be applied together, at least one where there is one; and their
    work."""
    kinds = Counter(map(type, records))
    keys = {(record.run, record.name) for record in records if type(record) is Metric}
    work = kinds[Metric] + (OF_SERIES - 1) * len(keys) + _OF_OTHERS * (len(records) - kinds[Metric])
    if work <= MOST_WORK or len(records) < 2:
        return len(records), work
    work, seen = 0, set()
    for count, record in enumerate(records):
        if isinstance(record, _POINTS):
            key = (record.run, record.name)
            cost = 1 if key in seen else OF_SERIES
            seen.add(key)
        else:
            cost = _OF_OTHERS
        if work + cost > MOST_WORK and count:
            return count, work
        work += cost
    return len(records), work


def _end_of(lines: bytes, records: Sequence[Record]) -> int:
    """Where the line of the last of these records ends; -1 where lines and records do not go together."""
    if lines.count(b"\n\n") or lines.startswith(b"\n") or b"\n " in lines:
        return -1
    position = 0
    for _ in records:
        position = lines.find(b"\n", position) + 1
    return position


def _one_by_one(lines: bytes, at: int) -> Taken:
    records: list[Record] = []
    faults: list[str] = []
    position, work = 0, 0
    while position < len(lines) and work < MOST_WORK:
        end = lines.find(b"\n", position) + 1 or len(lines)
        line = lines[position:end].strip()
        if line:
            work += _OF_OTHERS
            try:
                records.append(decoder.decode(line))
            except NO_RECORD as error:
                faults.append(f"the line at byte {at + position} is no record: {_reason(line, error)}")
        position = end
    return Taken(position, records, faults, work)


def _reason(line: bytes, error: Exception) -> str:
    if not line.strip(b"\0"):
        return "its bytes are lost"
    return f"{error} ({line[:60].decode(errors='replace')!r})"
