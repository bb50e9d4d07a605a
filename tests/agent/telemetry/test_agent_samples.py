"""What an agent samples, where people find it: with the node, on /metrics, and whole with the run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from runyard import names
from tests.agent.telemetry.gpu_node import build
from tests.agent_process import node_of, running_agent, status_of, submit
from tests.collector.node import call
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for


@pytest.mark.needs_system("gcc")
def test_a_nodes_samples_are_at_the_collector_and_what_a_run_used_is_shipped_and_sealed_with_it(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    (tmp_path / "wishes").write_text("gpus=8\n")
    library = build(tmp_path / "lib")
    environ = {
        "RUNYARD_AGENT__SAMPLE_S": "0.2",
        "LD_LIBRARY_PATH": str(library),
        "FAKE_NVML": str(tmp_path / "wishes"),
    }
    with running_agent(tmp_path / "node", collector, environ=environ) as agent:
        wait_for(lambda: node_of(collector, agent)["capacity"]["gpus"] == 8, "the GPUs are known")
        submit(collector, "sampled", ("sh", "-c", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"), request={"gpus": 1})
        path = agent.run_dir("sampled") / names.telemetry_log(agent.node_id)
        wait_for(lambda: path.exists() and len(path.read_bytes().splitlines()) > 3, "some samples")
        assert json.loads(path.read_bytes().splitlines()[-2])["processes"] >= 3
        wait_for(lambda: node_of(collector, agent)["sample"].get("runs") == 1, "the node's sample")
        sample = node_of(collector, agent)["sample"]
        assert (sample["gpus"], sample["gpu_temp_c"]) == (8, 67)
        assert sample["mem_used_bytes"] > 0
        told = call(collector, "GET", "/metrics").data.decode()
        assert (
            f'runyard_node_gpu_temp_c{{cluster="lab",hostname="{os.uname().nodename}",node_id="{agent.node_id}"}} 67.0' in told
        )
        (tmp_path / "go").touch()
        wait_for(lambda: status_of(collector, "sampled") == "Completed", "the run's end")
        run = collector.client().json("GET", "/runs/sampled")
        assert run["is_complete"]
        files = collector.client().json("GET", "/runs/sampled/files")["files"]
        (file,) = [one for one in files if one["name"].endswith(path.name)]
        assert file["is_sealed"]
        with collector.client().stream("GET", f"/runs/sampled/files/{file['path']}") as response:
            kept = response.read()
        assert path.read_bytes().startswith(kept)
        assert all(json.loads(line)["mono_ns"] for line in kept.splitlines())
        assert kept.count(b"\n") > 3
