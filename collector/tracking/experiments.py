"""Experiments: their names, and the folders by which the store and the table `runs` know them.

Reads from and writes to the table `experiments`. Every function blocks and gets the connection of its transaction.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import experiments, runs
from runyard.names import why_bad_run_id


def enter(connection: Connection, name: str) -> dict[str, Any]:
    """The columns `experiment` and `number` of a new run in the experiment `name`, which is made where there is none."""
    folder = connection.execute(sa.select(experiments.c.folder).where(experiments.c.name == name)).scalar()
    if folder is None:
        folder = create(connection, name)[1]
    return {"experiment": folder, "number": next_number(connection, folder)}


def names(connection: Connection, folders: Collection[str]) -> dict[str, str]:
    """The names of the experiments with these folders, by folder."""
    query = sa.select(experiments.c.folder, experiments.c.name).where(experiments.c.folder.in_(folders))
    return {row.folder: row.name for row in connection.execute(query)}


def next_number(connection: Connection, folder: str) -> int:
    """The number of the next run in the experiment with this folder."""
    count = connection.execute(sa.select(sa.func.max(runs.c.number)).where(runs.c.experiment == folder)).scalar()
    return (count or 0) + 1


def create(connection: Connection, name: str, artifact_location: str = "") -> tuple[int, str]:
    """A new experiment: its id and folder. There must be none of that name."""
    now_ms = time.time_ns() // 10**6
    values = {"name": name, "folder": name, "artifact_location": artifact_location, "created_ms": now_ms, "updated_ms": now_ms}
    taken = connection.execute(sa.select(experiments.c.folder).where(experiments.c.folder == name)).first()
    is_plain = taken is None and not why_bad_run_id(name)
    if not is_plain:
        values["folder"] = f"experiment-{time.time_ns():x}"
    made = connection.execute(sa.insert(experiments).values(values)).inserted_primary_key
    assert made is not None
    return int(made[0]), str(values["folder"])
