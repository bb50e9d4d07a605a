"""The catalog that the migrations make is the one that the code knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Inspector

from runyard.collector.database import open_database
from runyard.collector.schema import metadata


def described(connection: Connection) -> dict[str, dict[str, Any]]:
    """Each table's columns, keys and indexes, by their names."""
    found: Inspector = sa.inspect(connection)
    parts: dict[str, Callable[[str], Any]] = {
        "columns": lambda table: {
            column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(table)
        },
        "primary key": lambda table: found.get_pk_constraint(table)["constrained_columns"],
        "foreign keys": lambda table: sorted(
            (key["constrained_columns"], key["referred_table"], key["referred_columns"])
            for key in found.get_foreign_keys(table)
        ),
        "unique": lambda table: sorted((str(key["name"]), key["column_names"]) for key in found.get_unique_constraints(table)),
        "indexes": lambda table: {
            index["name"]: (index["column_names"], bool(index["unique"])) for index in found.get_indexes(table)
        },
    }
    names = set(found.get_table_names()) - {"alembic_version"}
    return {f"{table}: {part}": read(table) for table in names for part, read in parts.items()}


def test_the_migrations_make_the_tables_and_indexes_that_the_code_knows(tmp_path: Path) -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        known = described(connection)
    engine.dispose()
    database = open_database("", tmp_path, lambda: None)
    with database.engine.connect() as connection:
        made = described(connection)
    database.close()
    assert made == known
