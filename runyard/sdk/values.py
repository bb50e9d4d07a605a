"""What users hand over, as records have it: numbers of numpy and torch, Decimals, names. Imports none of those. Pure."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from runyard.errors import InputError

# Characters of a metric's, parameter's, tag's or property's name; as runyard/tracking/records.py, which needs msgspec.
MOST_NAME = 255
# Characters of a value that is no number.
MOST_TEXT = 65536
LARGEST_STEP = 2**63 - 1
LARGEST_BITS = 1023  # of a whole number: it has a nearest double

Plain = int | float | str | bool | None


def check_name(name: object, what: str) -> None:
    """Raises InputError where `name` cannot be the name of `what` ("a metric")."""
    if not isinstance(name, str):
        raise InputError(f"the name of {what} has to be a str; {type(name).__name__} was given")
    if not name:
        raise InputError(f"the name of {what} is empty; it has to have 1 to {MOST_NAME} characters")
    if len(name) > MOST_NAME:
        raise InputError(f"the name of {what} has {len(name)} characters, at most {MOST_NAME} are allowed: {name[:40]!r}…")
    if "\0" in name:
        raise InputError(f"the name of {what} holds a NUL: {name[:40]!r}")
    if not name.isascii():
        _check_text(name, f"the name of {what}")


def plain(value: Any, name: str) -> Plain:
    """One value of the metric `name`: a number, a bool, a str or None.

    Arrays and tensors of one element are their element. What is none of these is kept as its repr, as Azure ML does.
    Raises InputError for several values.
    """
    kind = type(value)
    if kind is float or kind is int or value is None or kind is bool:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return _checked_text(str(value), name)
    if isinstance(value, bool):
        return bool(value)
    if _is_array(value):
        value = _element(value, name)
        if not _is_array(value):
            return plain(value, name)
        # The element of one of numpy's long doubles is itself.
        value = complex(value) if getattr(getattr(value, "dtype", None), "kind", "") == "c" else value
    if hasattr(value, "__len__") or hasattr(value, "__next__"):
        raise InputError(
            f"metric {name!r}: log takes one value, a {type(value).__name__} was given; use log_list, log_row or log_table"
        )
    for convert in (operator.index, float):
        # TypeError: it is no number of that kind; ValueError: a signalling NaN.
        with suppress(TypeError, ValueError):
            try:
                return convert(value)
            except OverflowError:
                raise InputError(f"metric {name!r}: the number is larger than any double") from None
    return _checked_text(repr(value), name)


def number(value: float | int, name: str) -> int | float | str:
    """A number as a Metric record has it. Raises InputError for a whole number that is larger than any double."""
    if type(value) is int:
        if value.bit_length() > LARGEST_BITS:
            raise InputError(
                f"metric {name!r}: a whole number of {value.bit_length()} bits is too large, at most {LARGEST_BITS}"
            )
        return value
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def columns(values: Mapping[str, Any], name: str) -> dict[str, list[Plain]]:
    """The columns of the table metric `name`, each as a list. Raises InputError where their lengths differ."""
    if not isinstance(values, Mapping):
        raise InputError(f"metric {name!r}: a table is a dict of columns; {type(values).__name__} was given")
    made = {str(key): several(value, name) for key, value in values.items()}
    lengths = {key: len(value) for key, value in made.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key!r} has {length}" for key, length in list(lengths.items())[:8])
        raise InputError(f"metric {name!r}: the columns of a table have to be of one length: {told}")
    return made


def several(values: Any, name: str) -> list[Plain]:
    """The values of a list metric. Raises InputError where they are none."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise InputError(f"metric {name!r}: several values have to be a list; {type(values).__name__} was given")
    return [plain(value, name) for value in values]


def text(value: Any, key: str, what: str) -> str:
    """The value of a tag, property or parameter: a str as it is, None as nothing, anything else as str() has it. Raises
    InputError for one that is too long."""
    made = "" if value is None else value if isinstance(value, str) else str(value)
    if len(made) > MOST_TEXT or "\0" in made:
        why = "holds a NUL" if "\0" in made else f"has {len(made)} characters, at most {MOST_TEXT} are allowed"
        raise InputError(f"{what} {key!r}: its value {why}")
    return made.encode("utf-8", "replace").decode() if not made.isascii() else made


def step(value: Any, name: str) -> int | None:
    """A step: a whole number. Raises InputError where it is none."""
    if value is None or type(value) is int:
        made = value
    else:
        if _is_array(value):
            value = _element(value, name)
        if hasattr(value, "__index__"):
            made = int(value.__index__())
        elif isinstance(value, float) and value.is_integer():
            made = int(value)
        else:
            raise InputError(f"metric {name!r}: a step is a whole number; {value!r} was given")
    if made is not None and not -LARGEST_STEP <= made <= LARGEST_STEP:
        raise InputError(f"metric {name!r}: the step {made} is too large; at most {LARGEST_STEP} is allowed")
    return made


def _is_array(value: object) -> bool:
    return hasattr(value, "item") and hasattr(value, "shape")


def _element(value: Any, name: str) -> Any:
    size = math.prod(value.shape)
    if size != 1:
        raise InputError(f"metric {name!r}: log takes one value, an array of {size} was given; use log_list")
    return value.item()


def _checked_text(value: str, name: str) -> str:
    if len(value) > MOST_TEXT:
        raise InputError(f"metric {name!r}: a value has at most {MOST_TEXT} characters; this has {len(value)}")
    if not value.isascii():
        _check_text(value, f"the value of metric {name!r}")
    return value


def _check_text(value: str, what: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{what} holds half of a character, which no UTF-8 has: {value[:40]!r}") from None
