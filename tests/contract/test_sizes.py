"""Amounts of bytes read as such, and as those that are asked for."""

from __future__ import annotations

import pytest

from runyard import sizes


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), ((1 << 30) - 1, "1 GiB"), (25276063744, "23.54 GiB"), (1 << 40, "1 TiB")],
)
def test_an_amount_of_bytes_reads_as_such(count: int, text: str) -> None:
    assert sizes.text(count) == text
