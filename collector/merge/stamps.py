"""Times that lines tell themselves: the numbered logs' stamps, and the timestamps of process_status.json. Pure."""

from __future__ import annotations

import calendar
import json
import re

# 2019/10/28 22:30:10 | 2019-10-28T22:30:10Z | [2019-10-28T22:30:10.123456Z]
_STAMP = re.compile(rb"^\[?(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?", re.MULTILINE)
_UTC = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?Z")


def of_log(data: bytes, skew_ns: int) -> tuple[list[int | None], list[int]]:
    """A unit for each line with a stamp and the lines behind it that have none."""
    times: list[int | None] = []
    ends: list[int] = []
    for match in _STAMP.finditer(data):
        if match.start():
            ends.append(match.start())
            if not times:
                times.append(None)
        times.append(_ns(match.groups()) + skew_ns)
    return times or [None], [*ends, len(data)]


def of_arrival(data: bytes, _skew_ns: int) -> tuple[list[int | None], list[int]]:
    """One unit without a time."""
    return [None], [len(data)]


def of_status(data: bytes, skew_ns: int) -> tuple[list[int | None], list[int]]:
    """A unit for each line."""
    times: list[int | None] = []
    ends: list[int] = []
    end = 0
    for line in data[:-1].split(b"\n"):
        end += len(line) + 1
        match = _UTC.fullmatch(str(_field(line, "timestamp")))
        times.append(_ns(match.groups()) + skew_ns if match else None)
        ends.append(end)
    return times, ends


def is_of_node(line: bytes) -> bool:
    """Whether the line of a process_status.json is about its node as a whole."""
    return _field(line, "process_name") == "*"


def _field(line: bytes, name: str) -> object:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value.get(name) if isinstance(value, dict) else None


def _ns(groups: tuple[bytes | str | None, ...]) -> int:
    year, month, day, hour, minute, second = (int(part or 0) for part in groups[:6])
    fraction = groups[6] or "0"
    text = fraction.decode() if isinstance(fraction, bytes) else fraction
    try:
        seconds = calendar.timegm((year, month, day, hour, minute, second, 0, 0, 0))
    except ValueError:
        return 0
    return seconds * 10**9 + int(text.ljust(9, "0"))
