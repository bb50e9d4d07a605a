"""Finding what a condition asks for in a block of bytes. Pure; standard library only."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

# (start, end) of the first find in [from, to) of the block, or None.
Place = tuple[int, int] | None


class Block:
    """Bytes that are searched several times; in lower case as well, made when it is first needed."""

    __slots__ = ("_lower", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._lower: bytes | None = None

    @property
    def lower(self) -> bytes:
        """With the letters A to Z in lower case, of the same length."""
        if self._lower is None:
            self._lower = self.data.lower()
        return self._lower


Find = Callable[[Block, int, int], Place]


def finder(condition: Mapping[str, Any]) -> Find:
    """Looks for a condition. Raises ValueError with what is wrong with its regular expression."""
    pattern, is_case = condition["pattern"], condition.get("is_case", False)
    if condition.get("is_regex", False):
        return _of_regex(_compiled(pattern.encode("utf-8", "surrogateescape"), 0 if is_case else re.IGNORECASE))
    words = pattern.encode("utf-8", "surrogateescape")
    if is_case:
        return lambda block, start, end: _found(block.data.find(words, start, end), len(words))
    if pattern.isascii():
        low = words.lower()
        return lambda block, start, end: _found(block.lower.find(low, start, end), len(low))
    return _of_regex(_compiled(b"".join(_either(one) for one in pattern), 0))


def _compiled(pattern: bytes, flags: int) -> re.Pattern[bytes]:
    try:
        return re.compile(pattern, flags | re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _of_regex(pattern: re.Pattern[bytes]) -> Find:
    def find(block: Block, start: int, end: int) -> Place:
        match = pattern.search(block.data, start, end)
        return match.span() if match is not None else None

    return find


def _found(at: int, length: int) -> Place:
    return (at, at + length) if at >= 0 else None


def _either(letter: str) -> bytes:
    forms = dict.fromkeys((letter, letter.lower(), letter.upper()))
    return b"(?:" + b"|".join(re.escape(form.encode("utf-8", "surrogateescape")) for form in forms) + b")"
