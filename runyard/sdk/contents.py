"""The files that metrics lie in: where each is to be had, and what is in it.

Reads from GET /runs/{run_id}/artifacts/{path}, or from what lies here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runyard.client import API_PREFIX, path_segments
from runyard.errors import InputError
from runyard.reader import run_path

from .offline import OfflineRecorder
from .replay import Recorded

if TYPE_CHECKING:
    from .run import Run


def address(run: Run, path: str) -> str:
    """Where the run's file is to be had: its address at the collector, or its place here where there is none."""
    recorder = run._recorder
    if isinstance(recorder, OfflineRecorder):
        return Path(recorder.folder, run._record_key, path).as_uri()
    return f"{run._connection.url if run._connection else ''}{API_PREFIX}{_below(run, path)}"


def read(run: Run, path: str, here: Recorded | None) -> bytes:
    """The file's bytes: the collector's, or where it is read `here`, those that lie here. Blocks."""
    if here is None:
        with run._client.stream("GET", _below(run, path)) as response:
            return b"".join(iter(lambda: run._client.read(response, 1 << 20), b""))
    sha256 = here.artifacts.get(path)
    if sha256 is None:
        raise InputError(f"run {run.id} has no file {path!r} here")
    return Path(run._recorder.blobs_dir, sha256).read_bytes()


def _below(run: Run, path: str) -> str:
    return f"{run_path(run.id)}/artifacts/{path_segments(path)}"
