"""The words of a filter: names, operators, numbers, texts, lists. Pure.

Read as MLflow reads them with its SQL lexer, as far as that is of any use: a text ends at the quote that began it, and has no
escapes but a doubled quote, which stays doubled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from .errors import invalid

Kind = Literal["name", "operator", "integer", "decimal", "text", "list", "word"]
NAME: Final = "name"
OPERATOR: Final = "operator"
INTEGER: Final = "integer"
DECIMAL: Final = "decimal"
TEXT: Final = "text"
LIST: Final = "list"
WORD: Final = "word"

_QUOTED = r"""(?:"(?:[^"]|"")*"|`[^`]*`)"""
_PART = rf"(?:[^\W\d][\w$#]*|\d+[^\W\d][\w$#]*|{_QUOTED})"
_PATTERN = re.compile(
    rf"""
    (?P<space>\s+)
    | (?P<text>'(?:[^']|'')*')
    | (?P<decimal>-?(?:\d+\.\d*|\.\d+)(?:[eE][+-]?\d+)?(?!\w)|-?\d+[eE][+-]?\d+(?!\w))
    | (?P<integer>-?\d+(?!\w))
    | (?P<name>{_PART}(?:\.(?:[\w$#]+|{_QUOTED}))*)
    | (?P<operator><=|>=|!=|<>|==|=|<|>)
    | (?P<list>\([^()]*\))
    """,
    re.VERBOSE,
)
_WORDS = frozenset({"AND", "OR", "LIKE", "ILIKE", "RLIKE", "IN", "NOT", "IS", "NULL", "ASC", "DESC"})
_LISTED = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*(?:,|$)""")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a filter. Of kind WORD it is one of the language's own, in capitals."""

    kind: Kind
    text: str


def tokens(text: str) -> list[Token]:
    """The words of `text`; raises MlflowError where there is something else in it."""
    return list(_tokens(text))


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = _PATTERN.match(text, position)
        if match is None or match.lastgroup is None:
            raise invalid(f"Invalid clause(s) in filter string: {text[position : position + 40]!r} cannot be read")
        kind, found = match.lastgroup, match[0]
        position = match.end()
        if kind == "name" and found.upper() in _WORDS:
            yield Token(WORD, found.upper())
        elif kind != "space":
            yield Token(kind, found)  # type: ignore[arg-type]


def unquoted(text: str) -> str | None:
    """What stands between single or double quotes; None where there are none."""
    if len(text) >= 2 and text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    return None


def plain_key(text: str) -> str:
    """A key without the quotes or backticks around it."""
    inner = unquoted(text)
    key = text if inner is None else inner
    return key[1:-1] if len(key) >= 2 and key[0] == key[-1] == "`" else key


def listed(text: str) -> tuple[str, ...]:
    """The texts of a list in parentheses; raises MlflowError where it holds none, or anything else."""
    inner, found, position = text[1:-1].strip(), [], 0
    while position < len(inner):
        match = _LISTED.match(inner, position)
        if match is None:
            raise invalid(f"While parsing a list in the query, expected quoted text separated by commas, found {text[:80]}")
        found.append(re.sub(r"\\(['\"\\])", r"\1", match[1][1:-1]))
        position = match.end()
    if not found:
        raise invalid("While parsing a list in the query, expected a non-empty list of string values, but got empty list")
    return tuple(found)
