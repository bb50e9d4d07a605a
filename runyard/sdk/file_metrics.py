"""Metrics that lie in a file of the run: images, confusion matrices, accuracy tables, residuals, predictions.

Writes the file (files.py) and a record that names it. Documents are JSON: {"schema_type", "schema_version", "data"}; numbers
that JSON does not know are the strings "NaN", "Infinity" and "-Infinity" there.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runyard import names
from runyard.errors import InputError, SpoolError

from . import documents, metrics, saying, values

if TYPE_CHECKING:
    from .run import Run

IMAGE = "image"


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
    """A path of the run that this process has not given away yet; other ranks' have their number in them."""
    rank = os.environ.get("RUNYARD_RANK", "0")
    stem = stem if rank == "0" else f"{stem}_{rank}"
    path, number = f"{stem}{suffix}", 1
    while path in run._file_paths:
        number += 1
        path = f"{stem}_{number}{suffix}"
    why = names.why_bad_stream_name(path)
    if why:
        raise InputError(f"metric {path!r} becomes a file of that name, which {why}")
    run._file_paths.add(path)
    return path


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
