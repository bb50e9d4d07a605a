"""One collector for all tests of this folder: each test has runs of its own, so they need no process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.collector.small_disk import mounted
from tests.collector_process import CollectorProcess, running_collector


@pytest.fixture(scope="session")
def shared_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """The process; it may have been killed and started again by the test before."""
    with running_collector(tmp_path_factory.mktemp("shared")) as process:
        yield process
        assert "internal error" not in process.log_text


@pytest.fixture
def collector(shared_collector: CollectorProcess) -> CollectorProcess:
    """A collector that runs."""
    if not shared_collector.is_running:
        shared_collector.restart()
    return shared_collector


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES."""
    with mounted(tmp_path / "disk") as place:
        yield place


@pytest.fixture
def full_collector(small_disk: Path) -> Iterator[CollectorProcess]:
    """A collector whose data lie on the small disk."""
    with running_collector(small_disk) as process:
        yield process
