"""Writes that are committed together: what one of them does wrong is not another's."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import auth
from runyard.collector.database import Database, DatabaseError, open_database
from runyard.collector.file_system import FileSystem
from runyard.collector.schema import tokens


def add(connection: Connection, number: int, then: str = "") -> int:
    auth.insert(connection, f"token-{number}", f"{number:064x}", auth.USER, "")
    if then == "fail":
        raise LookupError(str(number))
    if then == "break":
        connection.execute(sa.text("SELECT no_such_column FROM tokens"))
    return number


async def together(database: Database, *thens: str) -> list[object]:
    """The outcomes of writes that have all waited for an earlier one."""
    go = threading.Event()
    first = asyncio.create_task(database.write(lambda _: go.wait(10)))
    tasks = [asyncio.create_task(database.write(add, number, then)) for number, then in enumerate(thens)]
    await asyncio.sleep(0)  # each has begun, and is in the queue
    go.set()
    assert await first
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("wrong", ["fail", "break"])
def test_of_writes_committed_together_only_the_one_that_fails_is_undone(tmp_path: Path, wrong: str) -> None:
    errors: list[str] = []
    database = open_database("", tmp_path, lambda: errors.append("told"))
    try:
        outcomes = asyncio.run(together(database, "", wrong, "", wrong, ""))
        assert [outcomes[number] for number in (0, 2, 4)] == [0, 2, 4]
        kind = LookupError if wrong == "fail" else DatabaseError
        assert all(isinstance(outcomes[number], kind) for number in (1, 3))
        assert len(errors) == (0 if wrong == "fail" else 2)
        with database.engine.connect() as connection:
            kept = set(connection.execute(sa.select(tokens.c.token_id)).scalars())
        assert kept == {"token-0", "token-2", "token-4"}
    finally:
        database.close()


def test_where_a_file_system_cannot_be_synced_as_a_whole_each_file_is(tmp_path: Path) -> None:
    assert not FileSystem(str(tmp_path / "not there")).sync()
    assert not FileSystem("/proc").sync()  # of no device: its errors would not be told
    closed = FileSystem(str(tmp_path))
    closed.close()
    assert not closed.sync()
