"""A node is free only when nothing of its earlier runs is left on it; and what the collector has of them goes after a while."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from runyard import names
from tests.agent.telemetry.gpu_node import build
from tests.agent_process import node_of, running_agent, status_of, submit
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for


def test_a_gpu_that_a_run_does_not_let_go_of_makes_the_node_unusable_until_it_does(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    library, wishes = build(tmp_path / "library"), tmp_path / "wishes"
    wishes.write_text("gpus=1\n")
    environ = {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(wishes), "RUNYARD_AGENT__SAMPLE_S": "0.2"}
    with running_agent(tmp_path / "node", collector, environ=environ) as agent:
        wait_for(lambda: node_of(collector, agent)["capacity"]["gpus"] == 1, "the node's GPU")
        submit(collector, "greedy", ("sh", "-c", f"while [ ! -e {tmp_path}/stop ]; do sleep 0.05; done"), request={"gpus": 1})
        wait_for(lambda: status_of(collector, "greedy") == "Running", "the run's start")
        with subprocess.Popen(["sleep", "600"]) as stray:
            try:
                wishes.write_text(f"gpus=1\npid={stray.pid}\npid_gpu=0\n")
                (tmp_path / "stop").touch()
                node = wait_for(lambda: _if_unusable(node_of(collector, agent)), "the node is unusable")
                assert f"GPU 0, which it had, is used by what its user has started since: {stray.pid} (sleep)" in node["reason"]
                assert [run["is_over"] for run in node["runs"]] == [False]
            finally:
                wishes.write_text("gpus=1\n")
                stray.kill()
        wait_for(lambda: node_of(collector, agent)["status"] == "Idle", "the node is free again")
        assert "what a run had left is gone" in agent.log_text


def _if_unusable(node: dict[str, Any]) -> dict[str, Any]:
    return node if node["status"] == "Unusable" else {}


def test_a_spool_goes_when_the_collector_counts_on_it_no_more_and_the_run_is_not_run_again(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    with running_agent(tmp_path / "node", collector, environ={"RUNYARD_AGENT__KEEP_SHIPPED_S": "0"}) as agent:
        submit(collector, "brief", ("sh", "-c", f"echo once >> {tmp_path}/times"))
        wait_for(lambda: status_of(collector, "brief") == "Completed", "the run's end")
        wait_for(lambda: agent.said("the spool of a run is removed"), "the spool is removed", limit_s=60)
        assert not agent.run_dir("brief").exists()
        assert (tmp_path / "times").read_text() == "once\n"
        assert node_of(collector, agent)["runs"] == []
        found = collector.client().json("GET", "/runs/brief/verify")
        assert {file["result"] for file in found["files"]} == {"ok"}
        assert any(file["path"].endswith(names.driver_log(0, 1)) for file in found["files"])
