"""What describes a run: tags, properties, parameters.

Writes records; reads from GET /runs/{run_id}, or where there is no collector from the records themselves (replay.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runyard.errors import InputError

from . import values

if TYPE_CHECKING:
    from .run import Run


def log_params(run: Run, params: Mapping[str, Any]) -> None:
    """Record parameters; what has one already keeps it. Raises InputError for bad names, before anything is recorded."""
    _write(run, "p", params, "a parameter")


def set_tags(run: Run, tags: Mapping[str, Any]) -> None:
    """Set tags, replacing those of these keys. Raises InputError for bad keys."""
    _write(run, "g", tags, "a tag")


def add_properties(run: Run, properties: Mapping[str, Any]) -> None:
    """Set properties, for good. Raises InputError for bad keys."""
    _write(run, "y", properties, "a property")


def remove_tags(run: Run, tags: Sequence[str] | str) -> None:
    """Take tags off by their keys; those that are not there are passed over."""
    if not isinstance(tags, Iterable):
        raise InputError(f"the keys of tags are a list of texts; {type(tags).__name__} was given")
    keys = [tags] if isinstance(tags, str) else list(tags)
    for key in keys:
        values.check_name(key, "a tag")
    for key in keys:
        run._recorder.write(["ug", run._record_key, key])


def get_tags(run: Run) -> dict[str, str]:
    """Its tags, with what this process has set. Blocks."""
    from . import reading

    return reading.marks(run, "tags")


def get_properties(run: Run) -> dict[str, str]:
    """Its properties, with what this process has set. Blocks."""
    from . import reading

    return reading.marks(run, "properties")


def _write(run: Run, kind: str, marks: Mapping[str, Any], what: str) -> None:
    if not isinstance(marks, Mapping):
        raise InputError(f"{what} needs a name and a value, as a dict; {type(marks).__name__} was given")
    for key in marks:
        values.check_name(key, what)
    made = {key: values.text(value, key, what) for key, value in marks.items()}
    for key, value in made.items():
        run._recorder.write([kind, run._record_key, key, value])
