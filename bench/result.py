"""One measured figure beside its anchor and its bar, as one JSON object a line."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """`anchor` is what the anchor took in the same run (same unit), `ratio` is value to anchor.

    `bar` bounds the ratio where there is an anchor, otherwise the value; `is_floor`: more is better.
    """

    name: str
    value: float
    unit: str
    bar: float | None
    anchor: float | None = None
    ratio: float | None = None
    is_floor: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the bar is kept; None where the figure has no bar of its own."""
        if self.bar is None:
            return None
        measured = self.value if self.ratio is None else self.ratio
        return measured >= self.bar if self.is_floor else measured <= self.bar

    def line(self) -> str:
        """The result as it is printed."""
        fields = {key: _rounded(value) for key, value in asdict(self).items() if key != "is_floor"}
        order = ("name", "value", "unit", "anchor", "ratio", "bar")
        return json.dumps({key: fields[key] for key in order} | {"holds": self.holds})


def against_anchor(
    name: str, values: Sequence[float], anchors: Sequence[float], unit: str, bar: float | None, *, is_floor: bool = False
) -> Result:
    """Medians of a paired series: the ratio is the median of the pairs' ratios, which outlives a drifting machine."""
    ratios = [value / anchor for value, anchor in zip(values, anchors, strict=True)]
    return Result(
        name=name,
        value=statistics.median(values),
        unit=unit,
        bar=bar,
        anchor=statistics.median(anchors),
        ratio=statistics.median(ratios),
        is_floor=is_floor,
    )


def _rounded(value: object) -> object:
    return float(f"{value:.4g}") if isinstance(value, float) else value
