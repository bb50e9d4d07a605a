"""The documents of metrics that lie in files: what is taken, and what is said of what is none."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from runyard.errors import InputError
from runyard.sdk.documents import checked

MATRIX: dict[str, Any] = {
    "schema_type": "confusion_matrix",
    "schema_version": "1.0.0",
    "data": {"class_labels": ["a", "b"], "matrix": [[3, 1], [0, 2]]},
}
TABLE = [[[4, 6, 0, 0], [2, 1, 5, 2]]] * 2
ACCURACY: dict[str, Any] = {
    "schema_type": "accuracy_table",
    "schema_version": "1.0.1",
    "data": {
        "probability_tables": TABLE,
        "percentile_tables": TABLE,
        "probability_thresholds": [0.0, 0.5],
        "percentile_thresholds": [0.0, 0.99],
        "class_labels": ["0", "1"],
    },
}
RESIDUALS: dict[str, Any] = {
    "schema_type": "residuals",
    "schema_version": "1.0.0",
    "data": {"bin_edges": [0, 1, 2], "bin_counts": [3, 4]},
}
PREDICTIONS: dict[str, Any] = {
    "schema_type": "predictions",
    "schema_version": "1.0.0",
    "data": {"bin_averages": [0.2, 0.7], "bin_errors": [0.0, 0.1], "bin_counts": [5, 6], "bin_edges": [0.0, 0.5, 1.0]},
}
GOOD = [MATRIX, ACCURACY, RESIDUALS, PREDICTIONS]


@pytest.mark.parametrize("document", GOOD, ids=lambda document: document["schema_type"])
def test_a_document_is_taken_as_a_dict_and_as_json(document: dict[str, Any]) -> None:
    assert checked("m", document["schema_type"], document) == document
    assert checked("m", document["schema_type"], json.dumps(document)) == document


def test_arrays_and_numbers_that_json_does_not_know_are_taken() -> None:
    document = copy.deepcopy(RESIDUALS) | {"data": {"bin_edges": np.array([0.0, 1.0]), "bin_counts": [np.float64("nan")]}}
    assert checked("m", "residuals", document)["data"] == {"bin_edges": [0.0, 1.0], "bin_counts": ["NaN"]}


@pytest.mark.parametrize(
    ("document", "changes", "why"),
    [
        (MATRIX, {"schema_type": "residuals"}, "schema_type has to be 'confusion_matrix'; it is 'residuals'"),
        (MATRIX, {"schema_version": "2"}, "schema_version has to be 1.x; it is '2'"),
        (MATRIX, {"data": [1]}, "data has to be a dict; it is a list"),
        (MATRIX, {"data": {"matrix": [[1]]}}, "data['class_labels'] has to be a list; it is missing"),
        (MATRIX, {"data": {"class_labels": ["a"], "matrix": [[1], [2]]}}, "matrix has 2 rows, class_labels has 1"),
        (MATRIX, {"data": {"class_labels": ["a"], "matrix": [[1, 2]]}}, "row 0 of matrix has to be a list of 1"),
        (
            ACCURACY,
            {"data": ACCURACY["data"] | {"class_labels": ["0"]}},
            "probability_tables has 2 classes, class_labels has 1",
        ),
        (
            ACCURACY,
            {"data": ACCURACY["data"] | {"percentile_thresholds": []}},
            "each of percentile_tables has to be a list of 0",
        ),
        (RESIDUALS, {"data": {"bin_edges": [1], "bin_counts": [1, 2]}}, "bin_edges has to be of length 3 for 2 bins; it has 1"),
        (
            PREDICTIONS,
            {"data": PREDICTIONS["data"] | {"bin_errors": [1]}},
            "bin_averages, bin_errors and bin_counts have to be of one",
        ),
    ],
)
def test_a_document_of_a_wrong_shape_is_one_sentence(document: dict[str, Any], changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError) as raised:
        checked("m", document["schema_type"], document | changes)
    assert str(raised.value).startswith(f"metric 'm' is no {document['schema_type']}: {why}")


def test_what_is_no_document_is_one_sentence() -> None:
    with pytest.raises(InputError, match="it has to be a dict, or one as JSON; it is a list"):
        checked("m", "residuals", "[1]")
