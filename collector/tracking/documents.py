"""What records say of files, MLflow models and datasets.

Reads from and writes to the tables `models` and `links`, and by artifacts/rows.py to `artifacts`. Every function blocks, gets
the connection of its transaction, and returns the sentence that refuses what was wanted, empty where it was done.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.artifacts import rows
from runyard.collector.schema import experiments, links, models
from runyard.tracking.records import Artifact, ArtifactGone, Link, Model

_HEX = frozenset("0123456789abcdef")
_OF_MODEL = {"name", "model_type", "status", "status_message", "deleted_ms", "params", "tags", "metrics"}
_NEW_MODEL: dict[str, Any] = {
    "name": "", "model_type": "", "status": "LOGGED_MODEL_PENDING", "status_message": "", "deleted_ms": None,
    "params": {}, "tags": {}, "metrics": [],
}  # fmt: skip


def put_artifact(connection: Connection, owner: str, record: Artifact, origin: str | None) -> str:
    """A file of `owner`, in place of one at that path. `origin`: the run whose streams have its bytes; None: the store of blobs
    has them."""
    if len(record.sha256) != 64 or not set(record.sha256) <= _HEX or not 0 <= record.size_bytes < 2**63:
        return f"the file {record.path[:200]!r} has no SHA-256 or size that is one"
    return rows.put(connection, rows.Row(owner, record.path, record.sha256, record.size_bytes, record.at_ms, origin))


def remove_artifact(connection: Connection, owner: str, record: ArtifactGone) -> str:
    """No file at that path, nor below it."""
    rows.remove(connection, owner, record.path)
    return ""


def put_model(connection: Connection, run: Any, record: Model) -> str:
    """A model of the run (its row) is new, or is otherwise now."""
    strange = sorted(set(record.document) - _OF_MODEL)
    if strange:
        return f"model {record.model_id[:64]!r} has no member {strange[0][:64]!r}"
    this_model = models.c.model_id == record.model_id
    values: dict[str, Any] = dict(record.document) | {"updated_ms": record.at_ms}
    if connection.execute(sa.update(models).where(this_model).values(values)).rowcount == 0:
        ours = sa.select(experiments.c.experiment_id).where(experiments.c.folder == run.experiment)
        identity = {"model_id": record.model_id, "run_id": run.run_id, "created_ms": record.at_ms}
        identity["experiment_id"] = connection.execute(ours).scalar_one()
        connection.execute(sa.insert(models).values(_NEW_MODEL | values | identity))
    return ""


def put_link(connection: Connection, run_id: str, record: Link) -> str:
    """The run has read a dataset, or used or made a model."""
    if not record.key or len(record.key) > 300:
        return f"a {record.kind} has the key {record.key[:100]!r}, which has to have 1 to 300 characters"
    this_link = (links.c.run_id == run_id) & (links.c.kind == record.kind) & (links.c.key == record.key)
    if connection.execute(sa.update(links).where(this_link).values(document=record.document)).rowcount == 0:
        connection.execute(sa.insert(links).values(run_id=run_id, kind=record.kind, key=record.key, document=record.document))
    return ""
