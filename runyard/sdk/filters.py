"""The filters by tags and properties that runs are listed with. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runyard.errors import InputError

Marks = Mapping[str, str] | Sequence[str] | str | None


def wanted_marks(marks: Marks, what: str) -> dict[str, str | None]:
    """The keys that a run has to have, with their values where those count. Raises InputError for what is no filter."""
    if marks is None:
        return {}
    if isinstance(marks, str):
        return {marks: None}
    if isinstance(marks, Mapping):
        return {str(key): None if value is None else str(value) for key, value in marks.items()}
    if isinstance(marks, Sequence):
        return {str(key): None for key in marks}
    raise InputError(f"{what} is a {type(marks).__name__}; give a key, a list of keys, or a dict of keys and values")


def has_marks(there: Mapping[str, str], wanted: Mapping[str, str | None]) -> bool:
    """Whether all the wanted ones are there."""
    return all(key in there and value in (None, there[key]) for key, value in wanted.items())
