"""Metrics that lie in a file of the run: images, confusion matrices, accuracy tables, residuals, predictions.

Writes the file (files.py) and a record that names it. Documents are JSON: {"schema_type", "schema_version", "data"}; numbers
that JSON does not know are the strings "NaN", "Infinity" and "-Infinity" there.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runyard import names
from runyard.errors import InputError, SpoolError
from runyard.tracking.blobs import BLOB_MODE

from . import documents, files, metrics, saying, values

if TYPE_CHECKING:
    from .run import Run

IMAGE = "image"
_MARK_LENGTH = 32  # a blob's name has twice that


def log_image(run: Run, name: str, path: str | None, plot: Any, step: Any) -> None:
    """Record an image: a file's bytes as they are now, or a plot as PNG. Raises InputError for both, neither, or none such."""
    if (path is None) == (plot is None):
        raise InputError(f"image {name!r}: give either path or plot; {'neither' if path is None else 'both'} was given")
    values.check_name(name, "a metric")
    made_step = values.step(step, name)
    if path is not None:
        suffix, data = Path(path).suffix, _file(name, path)
    else:
        suffix, data = ".png", _drawn(name, plot)
    if metrics.is_of_kind(run, name, IMAGE):
        # Azure ML's names for plots; each has its own, so that a later one does not replace it.
        _record(run, name, IMAGE, _free_path(run, f"{name}_{int(time.time())}", suffix), data, made_step)


def log_document(run: Run, name: str, kind: str, value: Mapping[str, Any] | str) -> None:
    """Record a document of `kind`; the first one's file is called like the metric. Raises InputError for a wrong shape."""
    values.check_name(name, "a metric")
    document = documents.checked(name, kind, value)
    data = json.dumps(document, allow_nan=False).encode()
    if metrics.is_of_kind(run, name, kind):
        _record(run, name, kind, _free_path(run, name, ""), data, None)


def _record(run: Run, name: str, kind: str, path: str, data: bytes, step: int | None) -> None:
    try:
        run.upload_file(path, io.BytesIO(data))
    except SpoolError as error:  # a full disk ends no training
        saying.say(f"metric {name!r} is not recorded: {error}")
        return
    run._recorder.write(["x", run._record_key, name, kind, path, step, metrics.now_ms()])


def _free_path(run: Run, stem: str, suffix: str) -> str:
    """A path of the run that no file of a metric has yet. Other ranks' have their number in them; of a run that was fetched,
    which others record too without that anybody here knows, they have random letters."""
    rank = os.environ.get("RUNYARD_RANK", "0")
    stem = stem if rank == "0" else f"{stem}_{rank}"
    marks_dir = run._recorder.blobs_dir
    stem = stem if marks_dir else f"{stem}_{os.urandom(4).hex()}"
    path, number = f"{stem}{suffix}", 1
    why = files.why_bad_name(path)
    if why:
        raise InputError(f"metric {path!r} becomes a file of that name, which {why}")
    while path in run._file_paths or not _is_ours(run, path, marks_dir):
        number += 1
        path = f"{stem}_{number}{suffix}"
    run._file_paths.add(path)
    return path


def _is_ours(run: Run, path: str, marks_dir: str) -> bool:
    """Whether nobody else on this node has given that path away: who does leaves a mark beside the blobs, which is shipped as
    none of them. Another process may log the same run, and another object of this one."""
    if not marks_dir:
        return True
    mark = hashlib.sha256(f"{run._record_key}/{path}".encode()).hexdigest()[:_MARK_LENGTH]
    with suppress(OSError):
        Path(marks_dir).mkdir(names.DIR_MODE, parents=True, exist_ok=True)
    try:
        Path(marks_dir, mark).touch(BLOB_MODE, exist_ok=False)
    except FileExistsError:
        return False
    except OSError:
        return True  # the file cannot be kept there either, which is said then
    return True


def _file(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"image {name!r}: {path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _drawn(name: str, plot: Any) -> bytes:
    save = getattr(plot, "savefig", None) or getattr(getattr(plot, "figure", None), "savefig", None)
    if save is None:
        raise InputError(f"image {name!r}: a plot is matplotlib.pyplot or a figure; {type(plot).__name__} was given")
    drawn = io.BytesIO()
    save(drawn, format="png")
    return drawn.getvalue()
