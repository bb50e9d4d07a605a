"""A node beside a collector: real `runyard run` processes whose spool is shipped to the test's own collector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.agent.node_runs import NodeRun
from tests.agent.phased_runs import PhasedRun
from tests.collector_process import CollectorProcess
from tests.podman_site import PodmanSite

NodeRunFactory = Callable[..., NodeRun]
PhasedFactory = Callable[..., PhasedRun]


@pytest.fixture
def node_run(collector: CollectorProcess, tmp_path: Path) -> NodeRunFactory:
    """Makes runs that know the collector; the arguments are those of NodeRun."""

    def make(*command: str, env: Mapping[str, str] | None = None, **options: object) -> NodeRun:
        reached = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
        return NodeRun(tmp_path / "spool", *command, env=reached | dict(env or {}), **options)  # type: ignore[arg-type]

    return make


@pytest.fixture
def phased(collector: CollectorProcess, podman_site: PodmanSite, tmp_path: Path) -> PhasedFactory:
    """Makes runs with a run.toml that know the collector and the site's podman."""

    def make(spec: str, *command: str, run_id: str = "r") -> PhasedRun:
        env = podman_site.environ | {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
        return PhasedRun(tmp_path, spec, *command, run_id=run_id, env=env)

    return make
