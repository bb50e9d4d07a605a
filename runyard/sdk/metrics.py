"""Recording metrics: scalars, lists, rows, tables. Pure but for the records that it hands to the run's recorder.

A name has one kind of metric in a run. What comes under it as another kind is not recorded, which is said once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runyard.errors import InputError

from . import saying, values

if TYPE_CHECKING:
    from .run import Run

SCALAR, ROW = "scalar", "row"
MOST_COLUMNS = 200  # of a row, as in runyard/tracking/records.py
# Names whose kinds are remembered here; what comes beyond is looked at by the collector alone.
MOST_KINDS = 10_000


def log(run: Run, name: str, value: Any, step: Any = None) -> None:
    """Record one value. Raises InputError for a bad name and for several values."""
    if step is not None:
        step = values.step(step, name)
    record = _scalar(run._record_key, name, values.plain(value, name), step)
    if is_of_kind(run, name, SCALAR):
        run._recorder.write(record)


def log_list(run: Run, name: str, value: Any) -> None:
    """Record several values, in order. Raises InputError before any of them is recorded."""
    records = [_scalar(run._record_key, name, one, None) for one in values.several(value, name)]
    if not is_of_kind(run, name, SCALAR):
        return
    for record in records:
        run._recorder.write(record)


def log_row(run: Run, name: str, cells: Mapping[str, Any]) -> None:
    """Record a row of a table. Raises InputError for cells that are no single values, and for none at all."""
    _check_columns(cells, name)
    made = {_column(key, name): _cell(values.plain(value, name), name) for key, value in cells.items()}
    if is_of_kind(run, name, ROW):
        run._recorder.write(["r", run._record_key, name, made, now_ms()])


def log_table(run: Run, name: str, table: Mapping[str, Any]) -> None:
    """Record a table: dict of columns of one length. Raises InputError before any row is recorded."""
    made = values.columns(table, name)
    _check_columns(made, name)
    keys = [_column(key, name) for key in made]
    rows = [{key: _cell(value, name) for key, value in zip(keys, row, strict=True)} for row in zip(*made.values(), strict=True)]
    if not is_of_kind(run, name, ROW):
        return
    for row in rows:
        run._recorder.write(["r", run._record_key, name, row, now_ms()])


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000


def is_of_kind(run: Run, name: str, kind: str) -> bool:
    """Whether metrics of that kind may come under that name; says so once where not. Raises InputError for a bad name."""
    known = run._kinds.get(name) if isinstance(name, str) else None
    if known == kind:
        return True
    values.check_name(name, "a metric")
    if known is None:
        if len(run._kinds) < MOST_KINDS:
            run._kinds[name] = kind
        return True
    saying.once(f"metric {name!r} of run {run.id} is of kind {known}: what comes under that name as {kind} is not recorded")
    return False


def _scalar(key: str, name: str, value: values.Plain, step: int | None) -> list[object]:
    if value is None or isinstance(value, (str, bool)):
        return ["v", key, name, value, step, now_ms()]
    return ["m", key, name, values.number(value, name), step, now_ms()]


def _check_columns(cells: Mapping[str, Any], name: str) -> None:
    if not cells:
        raise InputError(f"metric {name!r}: a row has at least one column; none was given")
    if len(cells) > MOST_COLUMNS:
        raise InputError(f"metric {name!r}: a row has at most {MOST_COLUMNS} columns; {len(cells)} were given")


def _column(key: str, name: str) -> str:
    values.check_name(key, f"a column of metric {name!r}")
    return key


def _cell(value: values.Plain, name: str) -> values.Plain:
    return values.number(value, name) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
