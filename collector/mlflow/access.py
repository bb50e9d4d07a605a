"""What the holder of a token may do through MLflow's API.

A person may do everything. A run's token reads and writes its own run, the run's descendants and models, and sees its
experiment.
Reads from the tables `runs`, `experiments` and `models`. Blocks; gets the connection of its transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.auth import RUN, Principal
from runyard.collector.catalog import RunRow
from runyard.collector.schema import experiments, models, runs
from runyard.collector.tracking.lineage import is_descendant
from runyard.mlflow.errors import denied, invalid, missing
from runyard.mlflow.limits import parse_experiment_id


@dataclass(frozen=True, slots=True)
class Ask:
    """Who asks and when; `shown_status` tells how a run is, of those that nodes have."""

    who: Principal
    now_ms: int
    shown_status: Callable[[RunRow], str]

    @property
    def own_run(self) -> str | None:
        """The run that the token is of; None: it is a person's."""
        return self.who.subject if self.who.kind == RUN else None


def run_of(connection: Connection, ask: Ask, run_id: str, *, is_active: bool = False) -> Any:
    """The run's row; raises where there is none, where it is not the asker's, or (with `is_active`) where it is deleted."""
    row = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).first()
    if row is None:
        raise missing(f"Run with id={run_id[:128]} not found")
    require_run(connection, ask, run_id)
    if is_active and row.deleted_ms is not None:
        raise invalid(f"The run {run_id} must be in the 'active' state. Current state is deleted.")
    return row


def require_run(connection: Connection, ask: Ask, run_id: str) -> None:
    """Raises where the run is not the asker's."""
    if ask.own_run is not None and not is_descendant(connection, run_id, ask.own_run):
        raise denied(f"this token belongs to run {ask.own_run}, and run {run_id[:128]} is neither that nor a descendant of it")


def experiment_of(connection: Connection, ask: Ask, experiment_id: str, *, is_active: bool = False) -> Any:
    """The experiment's row (empty: "Default"); raises as run_of does."""
    number = parse_experiment_id(experiment_id) if experiment_id else 0
    row = connection.execute(sa.select(experiments).where(experiments.c.experiment_id == number)).first()
    if row is None:
        raise missing(f"No Experiment with id={number} exists")
    require_experiment(connection, ask, row)
    if is_active and row.deleted_ms is not None:
        raise invalid(f"The experiment {number} must be in the 'active' state. Current state is deleted.")
    return row


def require_experiment(connection: Connection, ask: Ask, row: Any) -> None:
    """Raises where the experiment (its row) is not the asker's."""
    if ask.own_run is not None and row.folder != own_folder(connection, ask):
        raise denied(f"this token belongs to run {ask.own_run}, which is in another experiment than {row.name!r}")


def own_folder(connection: Connection, ask: Ask) -> str | None:
    """The experiment that the token's run is in; None: the token is a person's."""
    if ask.own_run is None:
        return None
    found: str | None = connection.execute(sa.select(runs.c.experiment).where(runs.c.run_id == ask.own_run)).scalar()
    return found


def require_person(ask: Ask, what: str) -> None:
    """Raises where a run asks for what only people do."""
    if ask.own_run is not None:
        raise denied(f"this token belongs to run {ask.own_run}, and may not {what}")


def model_of(connection: Connection, ask: Ask, model_id: str, *, is_deleted_too: bool = False) -> Any:
    """The model's row; raises where there is none or where it is not the asker's."""
    row = connection.execute(sa.select(models).where(models.c.model_id == model_id)).first()
    if row is None or (row.deleted_ms is not None and not is_deleted_too):
        raise missing(f"Logged model with ID {model_id[:64]!r} not found.")
    if ask.own_run is not None and not (row.run_id and is_descendant(connection, row.run_id, ask.own_run)):
        raise denied(f"this token belongs to run {ask.own_run}, and model {model_id} is neither its nor a descendant's of it")
    return row
