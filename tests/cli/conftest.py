"""One collector for all tests that only look: starting it takes longer than most of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.collector_process import CollectorProcess, running_collector


@pytest.fixture(scope="session")
def standing_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A real collector that several tests share; none of them may stop it."""
    with running_collector(tmp_path_factory.mktemp("standing")) as process:
        yield process
