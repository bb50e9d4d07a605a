"""The table of files costs as much for the thousandth file of a run as for the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from runyard.collector.artifacts import rows
from runyard.collector.artifacts.rows import Row
from tests.collector.tracking.a_catalog import catalog_with


@pytest.fixture
def connection() -> Iterator[Connection]:
    with catalog_with("r") as opened:
        yield opened


def put(connection: Connection, path: str) -> str:
    """A file whose bytes are on its node."""
    return rows.put(connection, Row("r", path, "0" * 64, 1, 5, "r"), None)


def cost(connection: Connection, work: Callable[[], object]) -> tuple[int, int]:
    """How many statements `work` takes, and how many of SQLite's steps: counted, so that the machine does not matter."""
    statements: list[str] = []
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    driver: Any = connection.connection.driver_connection
    driver.set_trace_callback(statements.append)
    driver.set_progress_handler(step, 1)
    work()
    driver.set_progress_handler(None, 0)
    driver.set_trace_callback(None)
    return len(statements), steps


def test_a_file_costs_no_look_at_the_others_of_its_run(connection: Connection) -> None:
    found: list[list[tuple[int, int]]] = []
    for count in (10, 3000):
        for number in range(count):
            assert put(connection, f"plots/{number % 7}/{number}.png") == ""
        new = cost(connection, lambda: put(connection, "plots/3/new.png"))
        again = cost(connection, lambda: put(connection, "plots/3/new.png"))
        removed = cost(connection, lambda: rows.remove(connection, "r", "plots/3/new.png"))
        found.append([new, again, removed])
    for few, many in zip(*found, strict=True):
        assert few[0] == many[0] <= 5
        assert many[1] < few[1] + 20, (few, many)


def test_what_lies_below_a_folder_is_found_by_its_bytes(connection: Connection) -> None:
    beside = ["a!b", "a-b", "a.b", "a0", "aa/b", "A/b", "ä/b", "a b/c", "a\U0010f000"]
    below = ["a/b", "a/b0", "a/c/d", "a/\U0010f000", "a/\udc80\udcff", "a/ä"]
    for path in (*beside, *below):
        assert put(connection, path) == "", path
    assert [row.path for row in rows.of_owner(connection, "r", "a")] == sorted(below)
    for path in ("a", "a/c", "a0/b", "a/c/d/e", "aa", "ä"):
        assert "both file and folder" in put(connection, path), path
    assert rows.remove(connection, "r", "a/c") == 1
    assert rows.remove(connection, "r", "a") == len(below) - 1
    assert {row.path for row in rows.of_owner(connection, "r")} == set(beside)
