"""JSON for processes whose start a run waits for: what the json module gives, without its import of re, which costs 8 ms.

Stands on the C functions that json itself calls; where this Python has none of that kind, it is json. Standard library only.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def dumps(value: Any) -> str:
    """`value` in one line without blanks, as ASCII. Raises TypeError for what JSON does not have."""
    return _dumps(value)


def loads(text: bytes) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError where it is none."""
    return _loads(text.decode())


def _by_json() -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    import json

    return (lambda value: json.dumps(value, separators=(",", ":"))), json.loads


def _by_c() -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    import _json

    class Context:
        strict = True
        object_hook = object_pairs_hook = None
        parse_float, parse_int = float, int
        parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
        memo: dict[str, str] = {}

    make_encoder: Any = _json.make_encoder
    make_scanner: Any = _json.make_scanner
    scan = make_scanner(Context())

    def refuse(value: Any) -> Any:
        raise TypeError(f"{type(value).__name__} is not fit for JSON")

    def dump(value: Any) -> str:
        markers: dict[int, Any] = {}
        encode = make_encoder(markers, refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, True)
        return "".join(encode(value, 0))

    def load(text: str) -> Any:
        text = text.strip(" \t\n\r")
        try:
            value, end = scan(text, 0)
        except StopIteration:
            raise ValueError("this is no JSON") from None
        if end != len(text):
            raise ValueError("something follows the JSON value")
        return value

    dump({"a": [1, "b"]})  # a Python whose C functions take other arguments says so here
    load('{"a": [1, 2.5, null, true]}')
    return dump, load


try:
    _dumps, _loads = _by_c()
except (ImportError, AttributeError, TypeError):
    _dumps, _loads = _by_json()
