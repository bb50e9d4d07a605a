"""What get_metrics gives of a metric: its shape, and of one that lies in a file the address or the contents of that.

Reads from GET /runs/{run_id}/artifacts/{path}, or from what lies here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runyard.client import API_PREFIX, path_segments
from runyard.errors import InputError
from runyard.reader import run_path

from .offline import OfflineRecorder
from .replay import ROW, SCALAR, Recorded, Series

if TYPE_CHECKING:
    from .run import Run

READ_BYTES = 1 << 20


def shaped(series: Series, file_of: Callable[[str, str], Any], as_lists: bool) -> Any:
    """One metric: by Azure ML's rule, or as lists always. `file_of` makes of a file's path and kind what stands for it."""
    if series.kind == ROW:
        return _table(series.values, as_lists)
    values = series.values if series.kind == SCALAR else [file_of(path, series.kind) for path in series.values]
    return values if as_lists or len(values) != 1 else values[0]


def address(run: Run, path: str) -> str:
    """Where the run's file is to be had: its address at the collector, or its place here where there is none."""
    recorder = run._recorder
    if isinstance(recorder, OfflineRecorder):
        return Path(recorder.folder, run._record_key, path).as_uri()
    return f"{run._connection.url if run._connection else ''}{API_PREFIX}{_below(run, path)}"


def contents(run: Run, path: str, kind: str, here: Recorded | None) -> Any:
    """What a metric's file holds, an image's bytes or a document's members: the collector's, or where it is read `here`, what
    lies here. Blocks."""
    data = _read(run, path, here)
    return data if kind == "image" else json.loads(data)


def _table(rows: list[dict[str, Any]], as_lists: bool) -> dict[str, Any]:
    if len(rows) == 1 and not as_lists:
        return dict(rows[0])
    columns = dict.fromkeys(column for row in rows for column in row)
    return {column: [row.get(column) for row in rows] for column in columns}


def _read(run: Run, path: str, here: Recorded | None) -> bytes:
    if here is None:
        with run._client.stream("GET", _below(run, path)) as response:
            return b"".join(iter(lambda: run._client.read(response, READ_BYTES), b""))
    sha256 = here.artifacts.get(path)
    if sha256 is None:
        raise InputError(f"run {run.id} has no file {path!r} here")
    return Path(run._recorder.blobs_dir, sha256).read_bytes()


def _below(run: Run, path: str) -> str:
    return f"{run_path(run.id)}/artifacts/{path_segments(path)}"
