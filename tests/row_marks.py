"""A pytest plugin: the marks `row` and `needs_system` are checked when tests are collected, and noted in the JUnit report.

Loaded by `-p tests.row_marks` in pyproject.toml, so that it is there before tests are collected. Reads from the marks of the
tests, writes to their reports; tools/check_skips.py reads from there which tests need a system package.
"""

from __future__ import annotations

import pytest

from tests.rows import rows_of


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses a row that the mission does not have; notes what each test shows and needs."""
    for item in items:
        for row in rows_of(item):
            item.user_properties.append(("row", row))
        for mark in item.iter_markers("needs_system"):
            item.user_properties.append(("needs_system", " ".join(map(str, mark.args))))
