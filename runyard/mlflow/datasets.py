"""Datasets that runs have read: how they are kept as a Link of kind "dataset". Pure; needs msgspec."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from .messages import DatasetInput

CONTEXT = "mlflow.data.context"  # the tag that says what for a dataset was read


def link_of(given: DatasetInput) -> tuple[str, dict[str, Any]]:
    """The key and the document of a link. The key is the same for the same name and digest."""
    dataset = given.dataset
    assert dataset is not None
    key = hashlib.sha256(f"{dataset.name}\n{dataset.digest}".encode("utf-8", "surrogatepass")).hexdigest()
    contexts = [tag.value for tag in given.tags if tag.key == CONTEXT]
    document: dict[str, Any] = {"name": dataset.name, "digest": dataset.digest}
    if contexts:
        document["context"] = contexts[0]
    return key, document | {"input": msgspec.to_builtins(given)}


def input_of(document: dict[str, Any]) -> DatasetInput:
    """The dataset that a link's document is of."""
    return msgspec.convert(document["input"], DatasetInput)


def distinct(inputs: Iterable[DatasetInput]) -> list[DatasetInput]:
    """The first of each name and digest."""
    found: dict[tuple[str, str], DatasetInput] = {}
    for one in inputs:
        if one.dataset is not None:
            found.setdefault((one.dataset.name, one.dataset.digest), one)
    return list(found.values())
