"""What a search is asked, what it answers, and what the process that searches is told. Pure.

The process loads only the standard library: what it reads are the same structures as plain JSON.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from runyard.collector.messages import Body, Count, Text

MOST_FILES = 20_000


class Condition(Body, frozen=True, kw_only=True):
    """What a line has to hold: words, or a match of a regular expression of Python's `re` on its bytes."""

    pattern: Annotated[str, Meta(max_length=1000, pattern=r"^[^\x00]*$")]
    is_regex: bool = False
    is_case: bool = False


class SearchRun(Body, frozen=True, kw_only=True):
    """Lines that meet all `conditions`, in `files` (none: in all that are text), from the byte `start` on. Seen from `since_ns`
    to before `until_ns`, and in one of the streams, where these are given: then only in files with a time index."""

    conditions: Annotated[list[Condition], Meta(max_length=5)] = []
    files: Annotated[list[Text], Meta(max_length=MOST_FILES)] = []
    start: Count = 0
    since_ns: Count | None = None
    until_ns: Count | None = None
    source: Literal["stdout", "stderr"] | None = None
    most_per_file: Annotated[int, Meta(ge=0, le=10_000)] = 100
    limit_s: Annotated[float, Meta(gt=0, le=60)] = 20.0


class LinesQuery(Body, frozen=True, kw_only=True):
    """A place in a file: the line in which the byte `offset` lies, or else the byte at which `line` starts."""

    file: Text
    line: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    offset: Count | None = None


class Place(Body, frozen=True, kw_only=True):
    """A line, counted from 1, and a byte in it."""

    line: int
    offset: int
