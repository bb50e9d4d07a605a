"""The shapes in which get_metrics gives what was recorded. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .replay import ROW, SCALAR, Series


def shaped(series: Series, file_of: Callable[[str, str], Any], as_lists: bool) -> Any:
    """One metric: by Azure ML's rule, or as lists always. `file_of` makes of a file's path and kind what stands for it."""
    if series.kind == ROW:
        return _table(series.values, as_lists)
    values = series.values if series.kind == SCALAR else [file_of(path, series.kind) for path in series.values]
    return values if as_lists or len(values) != 1 else values[0]


def contents(data: bytes, kind: str) -> Any:
    """What a file metric holds: an image's bytes, a document's members."""
    return data if kind == "image" else json.loads(data)


def _table(rows: list[dict[str, Any]], as_lists: bool) -> dict[str, Any]:
    if len(rows) == 1 and not as_lists:
        return dict(rows[0])
    columns = dict.fromkeys(column for row in rows for column in row)
    return {column: [row.get(column) for row in rows] for column in columns}
