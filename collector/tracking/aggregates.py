"""What is kept of a series beside its points, so that a table of a thousand runs reads no point: counts, extremes, the first
and the last value, and MLflow's latest. Pure.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from .points import LARGE, WHOLE, WORD, Points

MOST = sys.float_info.max
# The columns of the table `series` that are made here.
COLUMNS = (
    *("count", "number_count", "nan_count", "total", "min", "max", "first", "last", "last_step", "last_ms"),
    *("latest", "latest_step", "latest_ms", "exact"),
)
NONE: dict[str, Any] = dict.fromkeys(COLUMNS) | {"count": 0, "number_count": 0, "nan_count": 0, "total": 0.0}
_NON_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def with_points(before: Mapping[str, Any], points: Points) -> dict[str, Any]:
    """The aggregates of the series that had `before`, and has got at least one point more."""
    after = {name: before[name] for name in COLUMNS}
    exact: dict[str, Any] = dict(after["exact"] or {})
    position = len(points) - 1
    if not after["count"]:
        after["first"] = _kept(exact, "first", points, 0)
    after["count"] += len(points)
    after["last"] = _kept(exact, "last", points, position)
    after["last_step"], after["last_ms"] = points.step(position), points.times_ms[position]
    _add_numbers(after, points)
    latest = _latest(points)
    if latest is not None and _rank(points, latest) >= _rank_of(after, exact):
        after["latest"] = _kept(exact, "latest", points, latest)
        after["latest_step"], after["latest_ms"] = points.steps[latest], points.times_ms[latest]
    after["exact"] = exact or None
    return after


def _kept(exact: dict[str, Any], name: str, points: Points, position: int) -> float | None:
    """The value as a double, None where it is no finite number; in `exact` where the double does not say what it was."""
    cell, number = points.cell(position), points.numbers[position]
    exact.pop(name, None)
    kind = points.kinds[position] & 0x0F
    if kind == WORD:
        if not isinstance(cell, dict):  # a row is read from its series
            exact[name] = ["word", cell]
        return None
    if not math.isfinite(number):
        exact[name] = ["number", non_finite(number)]
        return None
    if kind in (WHOLE, LARGE):
        exact[name] = ["number", cell]
    return number


def non_finite(number: float) -> str:
    """The word for a number that JSON does not know."""
    return _NON_FINITE[repr(number)]


def _add_numbers(after: dict[str, Any], points: Points) -> None:
    numbers = points.numbers
    total = sum(numbers)
    finite: Any = numbers
    if not math.isfinite(total):
        finite = [number for number in numbers if math.isfinite(number)]
        is_word = sum(1 for kind in points.kinds if kind & 0x0F == WORD)
        after["nan_count"] += sum(1 for number in numbers if math.isnan(number)) - is_word
        total = sum(finite)
    if not finite:
        return
    after["number_count"] += len(finite)
    after["total"] = min(max(after["total"] + total, -MOST), MOST)
    least, greatest = min(finite), max(finite)
    after["min"] = least if after["min"] is None else min(after["min"], least)
    after["max"] = greatest if after["max"] is None else max(after["max"], greatest)


def _latest(points: Points) -> int | None:
    """Where the greatest (step, time, value) is, None where there is no number."""
    steps, last = points.steps, len(points) - 1
    if points.is_number(last) and max(steps) == steps[-1] and steps.count(steps[-1]) == 1:
        return last
    numbered = [position for position in range(len(points)) if points.is_number(position)]
    return max(numbered, key=lambda position: (_rank(points, position), position), default=None)


def _rank(points: Points, position: int) -> tuple[int, int, float]:
    return points.steps[position], points.times_ms[position], _comparable(points.numbers[position])


def _rank_of(kept: Mapping[str, Any], exact: Mapping[str, Any]) -> tuple[float, float, float]:
    if kept["latest_ms"] is None:
        return -math.inf, -math.inf, -math.inf
    value = kept["latest"]
    if value is None:
        value = float(exact["latest"][1])
    return kept["latest_step"], kept["latest_ms"], _comparable(value)


def _comparable(number: float) -> float:
    """As MLflow compares: NaN as 0, an infinity as the greatest double."""
    return 0.0 if math.isnan(number) else min(max(number, -MOST), MOST)
