"""Lengths of time as a person gives them: 90, 90s, 1.5m, 2h, 1d. Pure."""

from __future__ import annotations

import re

from .settings import LONGEST_S

RIGHT = "write it as in 90, 90s, 30m, 2h or 1d"

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)


def seconds(text: str) -> float | None:
    """The length of time that `text` names; None where it names none, or one longer than LONGEST_S."""
    match = _SPAN.fullmatch(text)
    if not match:
        return None
    span_s = float(match[1]) * _UNITS_S[match[2]]
    return span_s if span_s <= LONGEST_S else None
