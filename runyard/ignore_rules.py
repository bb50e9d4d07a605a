"""The rules of an ignore file, as git reads them: `Rules` tells of a name whether a pattern takes it out, in, or says nothing.

Pure. Git decides entry by entry on its way down and never enters a folder that is out; whoever asks does the same. (pathspec
matches what lies below a pattern's folder, too, and so differs from git where a later pattern takes folders in again.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NEVER = "(?!)"
_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}


@dataclass(frozen=True, slots=True)
class _Rule:
    regex: re.Pattern[str]
    is_negated: bool
    is_for_folders: bool
    is_for_path: bool  # otherwise for the last part of it, in whatever folder


class Rules:
    """The rules of one file; names are relative to the folder that it lies in."""

    def __init__(self, text: str) -> None:
        lines = (_without_spaces(line.removesuffix("\r")) for line in text.split("\n") if not line.startswith("#"))
        self._rules = [_rule(line) for line in reversed(list(lines)) if line]

    def verdict(self, name: str, *, is_folder: bool) -> bool | None:
        """True: out, False: in, None: no rule speaks of it. The last rule that does decides."""
        last_part = name.rpartition("/")[2]
        for rule in self._rules:
            if rule.is_for_folders and not is_folder:
                continue
            if rule.regex.fullmatch(name if rule.is_for_path else last_part):
                return not rule.is_negated
        return None


def _without_spaces(line: str) -> str:
    """Without spaces at the end; one after a backslash belongs to the pattern."""
    bare = line.rstrip(" ")
    is_escaped = (len(bare) - len(bare.rstrip("\\"))) % 2 == 1
    return bare + " " if is_escaped and bare != line else bare


def _rule(pattern: str) -> _Rule:
    is_negated = pattern.startswith("!")
    pattern = pattern.removeprefix("!")
    is_for_folders = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    is_for_path = "/" in pattern
    regex = re.compile(_regex(pattern.removeprefix("/"), is_for_path), re.DOTALL)
    return _Rule(regex, is_negated, is_for_folders, is_for_path)


def _regex(pattern: str, is_for_path: bool) -> str:
    parts, at = [], 0
    while at < len(pattern):
        character = pattern[at]
        if character == "*":
            part, at = _stars(pattern, at, is_for_path)
        elif character == "[":
            part, at = _bracket(pattern, at + 1)
        elif character == "\\":
            part, at = (re.escape(pattern[at + 1]), at + 2) if at + 1 < len(pattern) else (_NEVER, at + 1)
        else:
            part, at = ("[^/]" if character == "?" else re.escape(character)), at + 1
        parts.append(part)
    return "".join(parts)


def _stars(pattern: str, begin: int, is_for_path: bool) -> tuple[str, int]:
    """One star stays within a part; two that stand for a whole part go over any number of parts."""
    end = begin
    while pattern[end : end + 1] == "*":
        end += 1
    is_whole_part = (begin == 0 or pattern[begin - 1] == "/") and pattern[end : end + 1] in ("", "/")
    if not is_for_path or end - begin == 1 or not is_whole_part:
        return "[^/]*", end
    return (".*", end) if end == len(pattern) else ("(?:.*/)?", end + 1)


def _bracket(pattern: str, at: int) -> tuple[str, int]:
    """The class that begins after the bracket at `at`; one that is not closed matches nothing."""
    is_negated = pattern[at : at + 1] in ("!", "^")
    at = first = at + is_negated
    items: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        named = re.compile(r"\[:([^\]]*):\]").match(pattern, at)
        if named:
            items.append(_CLASSES.get(named[1], ""))
            at = named.end()
            if named[1] not in _CLASSES:
                return _NEVER, len(pattern)
            continue
        low, at = _one(pattern, at)
        high = low
        if pattern[at : at + 1] == "-" and pattern[at + 1 : at + 2] not in ("", "]"):
            high, at = _one(pattern, at + 1)
        items.append(f"{re.escape(low)}-{re.escape(high)}" if low <= high else "")
    if at >= len(pattern):
        return _NEVER, at
    inside = "".join(items)
    if is_negated:
        return f"[^/{inside}]", at + 1
    return (f"(?!/)[{inside}]" if inside else _NEVER), at + 1


def _one(pattern: str, at: int) -> tuple[str, int]:
    if pattern[at] == "\\" and at + 1 < len(pattern):
        at += 1
    return pattern[at], at + 1
