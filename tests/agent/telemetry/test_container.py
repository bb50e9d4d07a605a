"""What a run in a container uses: its driver is below podman's monitor and not below ours, and is found all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runyard.agent.telemetry.sampler import Sampler
from tests.agent.phased_runs import PhasedRun
from tests.podman_site import PodmanSite
from tests.waiting import wait_for


@pytest.mark.needs_system("podman runc docker-registry busybox-static")
def test_a_containers_processes_are_its_rank(podman_site: PodmanSite, tmp_path: Path) -> None:
    name = f"{podman_site.registry}/test/sampled"
    digest = podman_site.push_new("test/sampled", tmp_path / "context")
    podman_site.podman("pull", f"{name}@{digest}")
    spec = f'[environment]\nimage = "{name}@{digest}"\n'
    command = ("sh", "-c", "sleep 600 & until [ -e $RUNYARD_OUTPUT_DIR/go ]; do sleep 0.1; done; kill $!")
    run = PhasedRun(tmp_path, spec, *command, env=podman_site.environ)
    run.start()
    sampler = Sampler(run.run_dir.parent, print)

    def ranks() -> list[dict[str, Any]]:
        sampler.sample()
        (path,) = run.run_dir.glob("logs/azureml/telemetry-*.jsonl")
        line = json.loads(path.read_text().splitlines()[-1])
        return [rank for rank in line["ranks"] if rank["processes"] >= 3]

    try:
        found = wait_for(ranks, "the container's processes in the tree of its rank")
        assert found[0]["rank"] == 0
        assert found[0]["cgroup"]["cpu_s"] >= 0
    finally:
        (run.run_dir / "outputs" / "go").touch()
        assert run.finish()["status"] == "Completed"
        sampler.close()
