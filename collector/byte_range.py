"""The headers Range, If-Range and If-None-Match. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .problems import Problem

_RANGE = re.compile(r"bytes=(?P<first>\d*)-(?P<last>\d*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes [start, end) of `size`; `is_part` where the client asked for a part."""

    start: int
    end: int
    size: int
    is_part: bool


def etag_matches(header: str | None, etag: str) -> bool:
    """Whether the client already has what `etag` names."""
    if header is None:
        return False
    return header.strip() == "*" or etag in [one.strip().removeprefix("W/") for one in header.split(",")]


def wanted_range(header: str | None, if_range: str | None, etag: str, size: int) -> Span:
    """What to send. Several ranges, or what is no range, count as none; a range outside raises a 416."""
    whole = Span(0, size, size, is_part=False)
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or (if_range is not None and if_range.strip() != etag):
        return whole
    first, last = match["first"], match["last"]
    if not first and not last:
        return whole
    if first and last and int(last) < int(first):
        return whole
    start = int(first) if first else max(0, size - int(last))
    end = min(size, int(last) + 1) if first and last else size
    if start >= size or start >= end:
        detail = f"the range {header} lies outside of the file's {size} bytes"
        raise Problem(416, "range", detail, headers={"Content-Range": f"bytes */{size}"})
    return Span(start, end, size, is_part=True)
