"""A catalog in memory, for tests of what is written there in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector.schema import metadata
from runyard.collector.tracking import client_runs, experiments
from runyard.collector.tracking.client_runs import NewClientRun


@contextmanager
def catalog_with(*run_ids: str) -> Iterator[Connection]:
    """A transaction on a catalog that has these runs, in one experiment and without parents."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        metadata.create_all(connection)
        folder = experiments.enter(connection, "e")["experiment"]
        for run_id in run_ids:
            client_runs.add(connection, NewClientRun(run_id, folder, "", "ada", "script", 1000))
        yield connection
    engine.dispose()


@contextmanager
def taken_back(connection: Connection) -> Iterator[Connection]:
    """The catalog, in which nothing of the block stays."""
    with connection.begin_nested() as block:
        yield connection
        block.rollback()
