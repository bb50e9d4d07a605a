"""Which texts of records are kept: how long each may be, and that none holds a NUL, which PostgreSQL does not take. Pure.

Names and values of labels are not here: labels.py says of them what is wrong.
"""

from __future__ import annotations

from typing import Any

from runyard.tracking.records import (
    FILE_KINDS,
    MOST_COLUMNS,
    MOST_NAME,
    Artifact,
    ArtifactGone,
    Child,
    FileMetric,
    Link,
    Metric,
    Model,
    Name,
    Row,
    Untag,
    Word,
)

from . import labels

# Members of records, and the most characters of each.
_MOST: dict[type, tuple[tuple[str, int], ...]] = {
    Metric: (("model_id", 64), ("dataset_name", 500), ("dataset_digest", 255)),
    FileMetric: (("path", 4096),),
    Untag: (("key", MOST_NAME),),
    Child: (("name", labels.MOST_VALUE), ("kind", 32), ("user", 4096)),
    Name: (("name", labels.MOST_VALUE),),
    Artifact: (("owner", 300),),
    ArtifactGone: (("owner", 300), ("path", 4096)),
    Model: (("model_id", 64),),
    Link: (("key", 300),),
}


def why_bad(record: Any) -> str:
    """The sentence that refuses the record for a text of it; empty where all can be kept."""
    for member, most in _MOST.get(type(record), ()):
        reason = _why_bad_text(f"{member} of a record", getattr(record, member), most)
        if reason:
            return reason
    return ""


def _why_bad_text(what: str, text: str, most: int) -> str:
    if len(text) > most:
        return f"the {what} has {len(text)} characters, at most {most} are kept: {text[:40]!r}…"
    return f"the {what} holds a NUL: {text[:40]!r}" if "\0" in text else ""


def why_bad_point(point: Metric | Word | Row | FileMetric) -> str:
    """The same of a point of a series, whose name is a good one."""
    if isinstance(point, Row):
        return _why_bad_row(point)
    if isinstance(point, FileMetric) and point.kind not in FILE_KINDS:
        return f"the metric {point.name!r} is of kind {point.kind[:40]!r}, which is none of {', '.join(FILE_KINDS)}"
    if isinstance(point, Word) and isinstance(point.value, str) and len(point.value) > labels.MOST_VALUE:
        return f"a value of the metric {point.name!r} has {len(point.value)} characters, at most {labels.MOST_VALUE} are kept"
    return why_bad(point)


def _why_bad_row(row: Row) -> str:
    if not row.cells:
        return f"a row of the metric {row.name!r} has no columns"
    if len(row.cells) > MOST_COLUMNS:
        return f"a row of the metric {row.name!r} has {len(row.cells)} columns, at most {MOST_COLUMNS} are kept"
    reasons = (labels.why_bad_name(f"column of the metric {row.name!r}", name) for name in row.cells)
    longest = max((len(cell) for cell in row.cells.values() if isinstance(cell, str)), default=0)
    if longest > labels.MOST_VALUE:
        return f"a cell of the metric {row.name!r} has {longest} characters, at most {labels.MOST_VALUE} are kept"
    return next(filter(None, reasons), "")
