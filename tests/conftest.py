"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector_process import CollectorProcess, running_collector
from tests.podman_site import podman_site

__all__ = ["podman_site"]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    """A real collector of this test's own."""
    with running_collector(tmp_path) as process:
        yield process
