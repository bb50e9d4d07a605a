"""What records say of files, MLflow models and datasets.

Reads from and writes to the tables `models` and `links`, and by artifacts/rows.py to `artifacts`. Every function blocks, gets
the connection of its transaction, and returns the sentence that refuses what was wanted, empty where it was done.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, Meta, Struct, UnsetType
from sqlalchemy.engine import Connection

from runyard.collector.artifacts import rows
from runyard.collector.schema import experiments, links, models
from runyard.mlflow.datasets import input_of
from runyard.mlflow.messages import MODEL_STATUSES, ModelInput, ModelOutput
from runyard.tracking.records import Artifact, ArtifactGone, Link, Model, ModelMetric

from .labels import MOST_VALUE

_HEX = frozenset("0123456789abcdef")
_MODEL_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_Text = Annotated[str, Meta(max_length=MOST_VALUE, pattern=r"^[^\x00]*$")]
_NEW_MODEL: dict[str, Any] = {
    "name": "", "model_type": "", "status": "LOGGED_MODEL_PENDING", "status_message": "", "deleted_ms": None,
    "params": {}, "tags": {}, "metrics": [],
}  # fmt: skip


class _Changes(Struct, forbid_unknown_fields=True):
    """What a record says of a model: members of the table `models`."""

    name: _Text | UnsetType = UNSET
    model_type: _Text | UnsetType = UNSET
    status: _Text | UnsetType = UNSET
    status_message: _Text | UnsetType = UNSET
    deleted_ms: Annotated[int, Meta(ge=0, le=2**63 - 1)] | UnsetType | None = UNSET
    params: dict[_Text, _Text] | UnsetType = UNSET
    tags: dict[_Text, _Text] | UnsetType = UNSET
    metrics: list[ModelMetric] | UnsetType = UNSET


class _Dataset(Struct):
    """What is searched for of a dataset's link."""

    name: _Text
    digest: _Text
    context: _Text = ""


def put_artifact(connection: Connection, owner: str, record: Artifact, origin: str | None, sender: str | None) -> str:
    """A file of `owner`, in place of one at that path. `origin`: the run whose streams have its bytes; None: the store of blobs
    has them, for `sender` (rows.is_kept)."""
    if len(record.sha256) != 64 or not set(record.sha256) <= _HEX or not 0 <= record.size_bytes < 2**63:
        return f"the file {record.path[:200]!r} has no SHA-256 or size that is one"
    return rows.put(connection, rows.Row(owner, record.path, record.sha256, record.size_bytes, record.at_ms, origin), sender)


def remove_artifact(connection: Connection, owner: str, record: ArtifactGone) -> str:
    """No file at that path, nor below it."""
    rows.remove(connection, owner, record.path)
    return ""


def put_model(connection: Connection, run: Any, record: Model) -> str:
    """A model of the run (its row) is new, or is otherwise now."""
    reason = _why_bad_model(record)
    if reason:
        return reason
    this_model = models.c.model_id == record.model_id
    known = connection.execute(sa.select(models.c.run_id).where(this_model)).first()
    values: dict[str, Any] = dict(record.document) | {"updated_ms": record.at_ms}
    if known is not None:
        if known.run_id != run.run_id:
            return f"model {record.model_id} belongs to another run than {run.run_id}"
        connection.execute(sa.update(models).where(this_model).values(values))
    else:
        ours = sa.select(experiments.c.experiment_id).where(experiments.c.folder == run.experiment)
        identity = {"model_id": record.model_id, "run_id": run.run_id, "created_ms": record.at_ms}
        identity["experiment_id"] = connection.execute(ours).scalar_one()
        connection.execute(sa.insert(models).values(_NEW_MODEL | values | identity))
    return ""


def _why_bad_model(record: Model) -> str:
    if not _MODEL_ID.fullmatch(record.model_id):
        return f"the id {record.model_id!r} of a model is not made of 1 to 64 letters, digits, '_', '.' and '-'"
    try:
        changes = msgspec.convert(record.document, _Changes)
    except msgspec.ValidationError as error:
        return f"model {record.model_id} cannot be so: {error}"
    if changes.status is not UNSET and changes.status not in MODEL_STATUSES:
        return f"model {record.model_id} has the status {changes.status[:40]!r}, which is none of {', '.join(MODEL_STATUSES)}"
    return ""


def put_link(connection: Connection, run_id: str, record: Link) -> str:
    """The run has read a dataset, or used or made a model."""
    if not record.key:
        return f"a {record.kind} has no key"
    try:
        _check_link(record)
    except (msgspec.ValidationError, KeyError) as error:
        return f"the {record.kind} {record.key[:100]!r} cannot be so: {error}"
    this_link = (links.c.run_id == run_id) & (links.c.kind == record.kind) & (links.c.key == record.key)
    if connection.execute(sa.update(links).where(this_link).values(document=record.document)).rowcount == 0:
        connection.execute(sa.insert(links).values(run_id=run_id, kind=record.kind, key=record.key, document=record.document))
    return ""


def _check_link(record: Link) -> None:
    if record.kind == "dataset":
        msgspec.convert(record.document, _Dataset)
        input_of(record.document)
    else:
        msgspec.convert(record.document, ModelInput if record.kind == "model_input" else ModelOutput)
        if not record.document.get("model_id"):
            raise KeyError("model_id")
