"""One collector for all tests of this folder: each test has runs of its own, so they need no process of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
