"""The time index of a log: which bytes came when, and which of them are stderr.

A file of fixed-size records, little endian, 32 bytes each, appended and never changed:

    end      u64   offset just behind the bytes that the record covers (they start where the record before it ends)
    wall_ns  i64   CLOCK_REALTIME when the growth was seen
    mono_ns  u64   CLOCK_MONOTONIC of the node at the same moment
    source   u8    1 stdout, 2 stderr, 3 both in one (streams = "together")
    (7 bytes of zero)

A last record that is cut short (a death in the middle of a write) is ignored by readers and dropped by the next writer.
Written by runyard.agent.capture; read by whoever gives log lines a time or splits stdout from stderr. Standard library only.
"""

from __future__ import annotations

import struct
from collections import namedtuple

STDOUT = 1
STDERR = 2
TOGETHER = 3
SOURCE_NAMES = {STDOUT: "stdout", STDERR: "stderr", TOGETHER: "together"}

_RECORD = struct.Struct("<QqQB7x")
RECORD_BYTES = _RECORD.size

# collections.namedtuple, not typing.NamedTuple or a dataclass: the shepherd's start is counted in milliseconds.
Record = namedtuple("Record", ["end", "wall_ns", "mono_ns", "source"])


def pack(end: int, wall_ns: int, mono_ns: int, source: int) -> bytes:
    """One record as it lies on disk."""
    return _RECORD.pack(end, wall_ns, mono_ns, source)


def unpack(data: bytes | bytearray | memoryview) -> list[Record]:
    """All whole records of `data`, which starts at a record's border; a cut last one is left out."""
    whole = len(data) - len(data) % RECORD_BYTES
    return [Record(*fields) for fields in _RECORD.iter_unpack(data[:whole])]


def first_ending_after(records: list[Record], offset: int) -> int:
    """Position of the record that covers the byte at `offset`; len(records) where none does yet."""
    low, high = 0, len(records)
    while low < high:
        middle = (low + high) // 2
        if records[middle].end <= offset:
            low = middle + 1
        else:
            high = middle
    return low
