"""A node beside a collector: real `runyard run` processes whose spool is shipped to the test's own collector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.agent.node_runs import NodeRun
from tests.collector_process import CollectorProcess

NodeRunFactory = Callable[..., NodeRun]


@pytest.fixture
def node_run(collector: CollectorProcess, tmp_path: Path) -> NodeRunFactory:
    """Makes runs that know the collector; the arguments are those of NodeRun."""

    def make(*command: str, env: Mapping[str, str] | None = None, **options: object) -> NodeRun:
        reached = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
        return NodeRun(tmp_path / "spool", *command, env=reached | dict(env or {}), **options)  # type: ignore[arg-type]

    return make
