"""The records of a journal, one JSON array a line: `["m","","loss",0.25,10,1764417000000]`.

A journal is a file below `.runyard/tracking/` that one process of a run appends to. It is shipped as a stream, and the
collector applies its whole lines in order, each exactly once: the offset up to which it has is written in the transaction that
applies them. Requests bring the same records to POST /runs/{run_id}/records. So there is one way in, whoever records: the SDK,
an MLflow client, a sweep. journal.py writes them on the standard library; this module, for agent and collector, needs msgspec.

`run` is the run that the record is of: empty for the journal's own run, or one of its descendants. `at_ms` is Unix time.
Numbers that JSON does not know are the strings "NaN", "Infinity" and "-Infinity" in a Metric, and nowhere else.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

NonFinite = Literal["NaN", "Infinity", "-Infinity"]
Cell = int | float | str | bool | None

# Kinds of series.
SCALAR, ROW = "scalar", "row"
IMAGE, CONFUSION_MATRIX, ACCURACY_TABLE = "image", "confusion_matrix", "accuracy_table"
RESIDUALS, PREDICTIONS = "residuals", "predictions"
FILE_KINDS = (IMAGE, CONFUSION_MATRIX, ACCURACY_TABLE, RESIDUALS, PREDICTIONS)

# Kinds of runs that this project makes; others may come from MLflow clients and from people.
SCRIPT, INTERACTIVE, CHILD, SWEEP, AUTOML, MLFLOW = "script", "interactive", "child", "sweep", "automl", "mlflow"

MOST_NAME = 255  # characters of a metric's, parameter's, tag's or property's name
MOST_COLUMNS = 200  # of a row


class Metric(Struct, array_like=True, tag="m", frozen=True):
    """A number of a scalar series; `step` None: none was given."""

    run: str
    name: str
    value: int | float | NonFinite
    step: int | None
    at_ms: int
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class Word(Struct, array_like=True, tag="v", frozen=True):
    """A value of a scalar series that is no number."""

    run: str
    name: str
    value: str | bool | None
    step: int | None
    at_ms: int


class Row(Struct, array_like=True, tag="r", frozen=True):
    """A row of a table; non-finite numbers are the strings of NonFinite."""

    run: str
    name: str
    cells: dict[str, Cell]
    at_ms: int


class FileMetric(Struct, array_like=True, tag="x", frozen=True):
    """A metric that lies in a file of the run: an image, a confusion matrix. `kind` is one of FILE_KINDS."""

    run: str
    name: str
    kind: str
    path: str
    step: int | None
    at_ms: int


class Param(Struct, array_like=True, tag="p", frozen=True):
    """A parameter; one that has another value already is refused."""

    run: str
    key: str
    value: str


class Tag(Struct, array_like=True, tag="g", frozen=True):
    """A tag; it replaces one of that key."""

    run: str
    key: str
    value: str


class Untag(Struct, array_like=True, tag="ug", frozen=True):
    """The tag is taken off."""

    run: str
    key: str


class Property(Struct, array_like=True, tag="y", frozen=True):
    """A property: it is set once, and never changes."""

    run: str
    key: str
    value: str


class Child(Struct, array_like=True, tag="c", frozen=True):
    """A new child of `parent` (empty: the journal's own run), in its parent's experiment."""

    run: str
    parent: str
    name: str
    kind: str
    user: str
    at_ms: int


class Status(Struct, array_like=True, tag="s", frozen=True):
    """How a run is. Of a run that a node has it is a hint, which the node's word overrules."""

    run: str
    status: Literal["NotStarted", "Running", "Completed", "Failed", "Canceled"]
    cause: str
    at_ms: int


class Name(Struct, array_like=True, tag="n", frozen=True):
    """The run is called otherwise."""

    run: str
    name: str


class Lifecycle(Struct, array_like=True, tag="d", frozen=True):
    """The run is hidden from lists, or shown again."""

    run: str
    is_deleted: bool
    at_ms: int


class Artifact(Struct, array_like=True, tag="a", frozen=True):
    """A file of `owner` (a run as above, or "model:<model id>"); its bytes lie in .runyard/blobs/<sha256> of the journal's run,
    or in the collector's store of blobs. It replaces one at that path."""

    owner: str
    path: str
    sha256: str
    size_bytes: int
    at_ms: int


class ArtifactGone(Struct, array_like=True, tag="ua", frozen=True):
    """The file at `path`, and what lies below it, is taken away."""

    owner: str
    path: str


class GoalSet(Struct, array_like=True, tag="w", frozen=True):
    """What the children of a run are compared by."""

    run: str
    metric: str
    goal: Literal["minimize", "maximize"]


class Model(Struct, array_like=True, tag="lm", frozen=True):
    """An MLflow model is new, or is otherwise now: `document` has the members of the table `models` that change."""

    model_id: str
    run: str
    document: dict[str, Any]
    at_ms: int


class Warned(Struct, array_like=True, tag="wa", frozen=True):
    """A sentence for the run's warnings, of whoever records it: what could not be kept."""

    run: str
    text: str
    at_ms: int


class Link(Struct, array_like=True, tag="l", frozen=True):
    """A run has read a dataset or used or made a model: kind "dataset", "model_input" or "model_output"."""

    run: str
    kind: Literal["dataset", "model_input", "model_output"]
    key: str
    document: dict[str, Any]


Record = (
    Metric | Word | Row | FileMetric | Param | Tag | Untag | Property | Child | Status | Name | Lifecycle
    | Artifact | ArtifactGone | GoalSet | Model | Link | Warned
)  # fmt: skip


class Goal(Struct, frozen=True):
    """What the children of a run are compared by."""

    metric: str
    goal: Literal["minimize", "maximize"]


class ModelMetric(Struct, frozen=True):
    """A metric of an MLflow model."""

    key: str
    value: float | NonFinite
    timestamp: int
    step: int
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


decoder = msgspec.json.Decoder(Record)
encoder = msgspec.json.Encoder()
