"""Experiments number their runs."""

from __future__ import annotations

from tests.collector.tracking.a_catalog import catalog_with


def test_the_next_number_is_found_along_an_index() -> None:
    """Or else each of a hundred thousand children would cost a look at all that were before."""
    with catalog_with("a") as connection:
        asked = "EXPLAIN QUERY PLAN SELECT max(number) FROM runs WHERE experiment = 'e'"
        plan = " ".join(str(row) for row in connection.exec_driver_sql(asked))
    assert "ix_runs_experiment_number" in plan
