"""What records come to, without a collector: an offline run's, and a job's while its collector is away. Pure.

Holds the collector's rules as far as reading needs them: a name has one kind, a parameter or property keeps its
first value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCALAR, ROW = "scalar", "row"
_NON_FINITE = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


@dataclass(slots=True)
class Series:
    """A metric: its values in recorded order. Of a table they are rows (dicts), of a file metric the paths."""

    kind: str
    values: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Recorded:
    """What was recorded of one run."""

    parent: str | None = None
    name: str = ""
    kind: str = ""
    status: str = ""
    series: dict[str, Series] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)  # path -> SHA-256


class Replay:
    """Takes records one by one; `runs` has what they come to, by the run's id in them ("": the journal's own run)."""

    def __init__(self) -> None:
        self.runs: dict[str, Recorded] = {"": Recorded()}

    def take(self, record: Sequence[Any]) -> None:
        """Apply one record; one of a kind that is not for reading is passed over."""
        kind, key = record[0], record[1]
        run = self.runs.get(key)
        if run is None:
            run = self.runs[key] = Recorded()
        match kind:
            case "m" | "v":
                _add(run, record[2], SCALAR, number_of(record[3]) if kind == "m" else record[3])
            case "r":
                _add(run, record[2], ROW, cells_of(record[3]))
            case "x":
                _add(run, record[2], record[3], record[4])
            case "c":
                run.parent, run.name, run.kind, run.status = record[2], record[3], record[4], "NotStarted"
            case "s":
                run.status = record[2]
            case _:
                _mark(run, record)


def number_of(value: Any) -> Any:
    """A number of a record or an answer: "NaN" and its like are floats."""
    return _NON_FINITE.get(value, value) if isinstance(value, str) else value


def cells_of(cells: Mapping[str, Any]) -> dict[str, Any]:
    """The cells of a row as they were logged."""
    return {column: number_of(cell) for column, cell in cells.items()}


def _add(run: Recorded, name: str, kind: str, value: Any) -> None:
    series = run.series.get(name)
    if series is None:
        series = run.series[name] = Series(kind)
    if series.kind == kind:
        series.values.append(value)


def _mark(run: Recorded, record: Sequence[Any]) -> None:
    match record[0]:
        case "g":
            run.tags[record[2]] = record[3]
        case "ug":
            run.tags.pop(record[2], None)
        case "y":
            run.properties.setdefault(record[2], record[3])
        case "p":
            run.params.setdefault(record[2], record[3])
        case "n":
            run.name = record[2]
        case "a":
            run.artifacts[record[2]] = record[3]
