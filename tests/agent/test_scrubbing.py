"""Secrets in what libraries say: hidden as they are, and as they stand in an address."""

from __future__ import annotations

import pytest

from runyard.agent.scrubbing import Scrubber


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("denied for open/sesame", "denied for ***"),
        ("GET /x?key=open%2Fsesame", "GET /x?key=***"),
        ("key 'line one\\nline two'", "key '***'"),
        ("begins with line one", "begins with ***"),
        ("at ftp://bob:p'w@host/a", "at ftp://host/a"),
        ("at (https://host/a?sig=abc#d), twice", "at (https://host/a), twice"),
        ("s3://bucket/a@b is not there", "s3://bucket/a@b is not there"),
        ("the tab of a cable", "the tab of a cable"),
    ],
)
def test_secrets_are_hidden_and_all_else_stays(text: str, wanted: str) -> None:
    assert Scrubber(["open/sesame", "line one\nline two", "tab"]).scrubbed(text) == wanted
