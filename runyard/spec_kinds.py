"""What kind of value each member of a Spec takes, by its annotation, and the words for one of another kind. Pure.

Shared by the check of a Spec made by hand and by the reader of run.toml: what is refused is the same in both.
No value is ever quoted here: it may be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from .settings import LARGEST

# Deeper than any file system's options; without a limit, whoever walks through them would run out of stack.
MOST_DEPTH = 16

_WORDS = {
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a list",
    dict: "a table",
}


def why_wrong(kind: str, value: Any) -> str:
    """What is wrong with a value for a member annotated as `kind`, as the end of a sentence; empty where nothing is."""
    is_right, right = _KINDS[kind]
    if not is_right(value):
        return f"is {word_of(value)}; it has to be {right}"
    if kind in ("int", "float") and not abs(value) <= LARGEST:  # infinity and NaN, too
        return f"is out of range; it has to be {right} between 0 and {LARGEST}"
    return _why_bad_text(value)


def word_of(value: Any) -> str:
    """The kind of a value, for people."""
    return _WORDS.get(
        type(value), "missing" if value is None else "a date or a time" if hasattr(value, "isoformat") else "something else"
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence on an unknown word: the known one that is meant, or all."""
    names = list(known)
    close = difflib.get_close_matches(word, names, 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names)}"


def shown(name: str) -> str:
    """A key as it stands in a sentence: quoted where it is more than a word, and not without end."""
    return name if re.fullmatch("[A-Za-z0-9_.-]{1,64}", name) else repr(name[:64])


def shown_path(path: object) -> str:
    """A path as it stands in a sentence: quoted where it holds what does not print."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def _why_bad_text(value: Any, depth: int = 0) -> str:
    """A text with a NUL byte, or a value that JSON cannot hold, anywhere in `value`."""
    if isinstance(value, str):
        return "holds a NUL byte; take it out" if "\0" in value else ""
    if depth > MOST_DEPTH:
        return f"is nested more than {MOST_DEPTH} levels deep; make it flatter"
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            return "has a name that is no text; names have to be texts"
        return next(filter(None, (_why_bad_text(part, depth + 1) for pair in value.items() for part in pair)), "")
    if isinstance(value, list | tuple):
        return next(filter(None, (_why_bad_text(part, depth + 1) for part in value)), "")
    if isinstance(value, float) and not math.isfinite(value):
        return "holds a number that is not finite; give a finite one"
    if isinstance(value, int) and abs(value) >= 1 << 63:
        return "holds a number of more than 64 bits; give a smaller one"
    if value is not None and not isinstance(value, bool | int | float):
        return f"holds {word_of(value)}; only texts, numbers, truth values, lists and tables can be handed on"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_whole(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_whole, value))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _are_named_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


# Annotation -> (whether a value is of that kind, the words for it).
_KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "str": (_is_text, "a text"),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "int": (_is_whole, "a whole number"),
    "float": (_is_number, "a number"),
    "tuple[int, ...]": (_are_whole, "a list of whole numbers"),
    "tuple[str, ...]": (_are_texts, 'a list of texts, as in ["a", "b"]'),
    "Mapping[str, str]": (_are_named_texts, 'a table of texts, as in { a = "1" }'),
    "Mapping[str, Any]": (lambda value: isinstance(value, dict), "a table, as in { a = 1 }"),
}
