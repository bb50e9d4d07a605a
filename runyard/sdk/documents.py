"""The documents of metrics that lie in files: which members they have, and of what shape. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from runyard.errors import InputError


def checked(name: str, kind: str, value: Mapping[str, Any] | str) -> dict[str, Any]:
    """The document of the metric `name`, as plain lists and dicts. Raises InputError with what is wrong in it."""
    document = _plain(_parsed(name, value))
    if not isinstance(document, dict):
        raise _wrong(name, kind, f"it has to be a dict, or one as JSON; it is a {type(document).__name__}")
    missing = [key for key in ("schema_type", "schema_version", "data") if key not in document]
    if missing:
        raise _wrong(name, kind, f"{missing[0]!r} is missing")
    if document["schema_type"] != kind:
        raise _wrong(name, kind, f"schema_type has to be {kind!r}; it is {document['schema_type']!r}")
    if not str(document["schema_version"]).startswith("1."):
        raise _wrong(name, kind, f"schema_version has to be 1.x; it is {document['schema_version']!r}")
    members, check = _SHAPES[kind]
    data = document["data"]
    if not isinstance(data, dict):
        raise _wrong(name, kind, f"data has to be a dict; it is a {type(data).__name__}")
    for member in members:
        if not isinstance(data.get(member), list):
            raise _wrong(name, kind, f"data[{member!r}] has to be a list{'' if member in data else '; it is missing'}")
    why = check(data)
    if why:
        raise _wrong(name, kind, why)
    return document


def _parsed(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise InputError(f"metric {name!r}: the text is no JSON: {error}") from None


def _plain(value: Any) -> Any:
    """Arrays as lists, and numbers that JSON does not know as strings."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    return float(value) if hasattr(value, "__float__") else str(value)


def _matrix(data: dict[str, Any]) -> str:
    labels, matrix = data["class_labels"], data["matrix"]
    if len(matrix) != len(labels):
        return f"matrix has {len(matrix)} rows, class_labels has {len(labels)}"
    for number, row in enumerate(matrix):
        if not isinstance(row, list) or len(row) != len(labels):
            return f"row {number} of matrix has to be a list of {len(labels)}, as class_labels is"
    return ""


def _accuracy(data: dict[str, Any]) -> str:
    for kind in ("probability", "percentile"):
        tables, thresholds = data[f"{kind}_tables"], data[f"{kind}_thresholds"]
        if len(tables) != len(data["class_labels"]):
            return f"{kind}_tables has {len(tables)} classes, class_labels has {len(data['class_labels'])}"
        for table in tables:
            if not isinstance(table, list) or len(table) != len(thresholds):
                return f"each of {kind}_tables has to be a list of {len(thresholds)}, as {kind}_thresholds is"
            if any(not isinstance(row, list) or len(row) != 4 for row in table):
                return f"each row in {kind}_tables has to be [TP, FP, TN, FN]"
    return ""


def _residuals(data: dict[str, Any]) -> str:
    return _edges(data, len(data["bin_counts"]))


def _predictions(data: dict[str, Any]) -> str:
    lengths = {len(data[member]) for member in ("bin_averages", "bin_errors", "bin_counts")}
    if len(lengths) > 1:
        return "bin_averages, bin_errors and bin_counts have to be of one length"
    return _edges(data, lengths.pop())


def _edges(data: dict[str, Any], bins: int) -> str:
    # Azure ML's own example has as many edges as bins.
    if len(data["bin_edges"]) in (bins, bins + 1):
        return ""
    return f"bin_edges has to be of length {bins + 1} for {bins} bins; it has {len(data['bin_edges'])}"


# Kind -> (the members of `data`, all lists; what is wrong with them, as the end of a sentence, empty where nothing is).
_SHAPES: dict[str, tuple[tuple[str, ...], Callable[[dict[str, Any]], str]]] = {
    "confusion_matrix": (("class_labels", "matrix"), _matrix),
    "accuracy_table": (
        ("probability_tables", "percentile_tables", "probability_thresholds", "percentile_thresholds", "class_labels"),
        _accuracy,
    ),
    "residuals": (("bin_edges", "bin_counts"), _residuals),
    "predictions": (("bin_averages", "bin_errors", "bin_counts", "bin_edges"), _predictions),
}


def _wrong(name: str, kind: str, why: str) -> InputError:
    return InputError(f"metric {name!r} is no {kind}: {why}")
