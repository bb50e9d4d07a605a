"""GPUs as NVIDIA's library tells of them, through the real binding and a library of our own in its place."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from runyard.agent.telemetry.nvml import has_gpu
from tests.agent.node_runs import NodeRun
from tests.agent.telemetry.gpu_node import GpuNode, build
from tests.waiting import wait_for

GIB = 1 << 30


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of today."""
    return build(tmp_path_factory.mktemp("nvml"))


def test_a_node_without_the_library_loads_nothing_starts_no_thread_and_says_nothing(tmp_path: Path) -> None:
    with GpuNode(tmp_path, None) as node:
        told = node.look(), node.look()
        assert [one["is_binding_loaded"] for one in told] == [False, False]
        assert told[1]["threads"] == 1
        assert told[1]["capacity"]["gpus"] == 0
        assert not any(name.startswith("gpu") for name in told[1]["sample"])
    assert node.said() == []


@pytest.mark.needs_system("gcc")
def test_eight_gpus_are_a_few_numbers_that_fit_a_heartbeat(tmp_path: Path, library: Path) -> None:
    with GpuNode(tmp_path, library) as node:
        node.wish(gpus=8)
        node.look()
        told = node.look()
    sample = told["sample"]
    assert (sample["gpus"], sample["gpus_lost"], sample["gpu_percent"], sample["gpu_temp_c"]) == (8, 0, 93.5, 67)
    assert sample["gpu_mem_used_bytes"] == sum(range(10, 18)) * GIB  # without what the driver keeps for itself
    assert sample["gpu_power_w"] == pytest.approx(5599.2)
    assert sample["gpu_ecc_errors"] == 8
    assert (told["capacity"]["gpus"], told["capacity"]["gpu_name"]) == (8, "Pretend H200")
    assert len(json.dumps(sample, separators=(",", ":"))) < 600
    assert node.said() == []


@pytest.mark.needs_system("gcc")
def test_an_old_driver_and_gpus_that_tell_little_are_asked_for_no_more_than_they_tell(tmp_path: Path) -> None:
    with GpuNode(tmp_path, build(tmp_path / "old", "-DOLD")) as node:
        node.wish(gpus=2, few=1, pid=os.getpid(), pid_gpu=1)
        sample = node.sample()
        assert (sample["gpus"], sample["gpu_temp_c"], sample["gpu_procs"]) == (2, 61, 1)
        assert sample["gpu_mem_used_bytes"] == 41 * GIB
        assert "gpu_percent" not in sample
        assert "gpu_power_w" not in sample
        assert "gpu_ecc_errors" not in sample
    assert node.said() == []


@pytest.mark.needs_system("gcc")
def test_a_gpu_that_is_lost_is_told_once_the_others_go_on_and_so_does_it_when_it_is_back(tmp_path: Path, library: Path) -> None:
    with GpuNode(tmp_path, library) as node:
        assert node.sample()["gpus_lost"] == 0
        node.wish(gpus=2, lost=1)
        node.look()
        told = node.look()
        assert (told["sample"]["gpus"], told["sample"]["gpus_lost"], told["sample"]["gpu_percent"]) == (2, 1, 90)
        assert told["capacity"]["gpus"] == 1
        assert told["trouble"] == node.said()[0]
        node.wish(gpus=2)
        assert node.sample()["gpus_lost"] == 0
    assert node.said() == [
        "GPU 1 (Pretend H200) cannot be used: it has fallen off the bus or cannot be reached",
        "the GPUs answer again",
    ]


@pytest.mark.needs_system("gcc")
def test_a_driver_that_was_replaced_is_told_once_and_costs_the_node_nothing_else(tmp_path: Path, library: Path) -> None:
    with GpuNode(tmp_path, library) as node:
        assert node.sample()["gpus"] == 2
        node.wish(gone=18)
        for _ in range(3):
            told = node.look()
        assert "gpus" not in told["sample"]
        assert "mem_used_bytes" in told["sample"]
    assert len(node.said()) == 1
    assert "the agent has to be restarted" in node.said()[0]


@pytest.mark.needs_system("gcc")
def test_a_library_without_gpus_is_as_none_and_one_that_cannot_be_asked_does_not_make_the_node_unusable(
    tmp_path: Path, library: Path
) -> None:
    if has_gpu():
        pytest.skip("this machine has a GPU")
    for folder, code, said in (("none", 9, 0), ("forbidden", 4, 1)):
        with GpuNode(tmp_path / folder, library) as node:
            node.wish(gone=code)
            for _ in range(3):
                told = node.look()
            assert told["trouble"] == ""
            assert told["capacity"]["gpus"] == 0
        assert len(node.said()) == said


@pytest.mark.needs_system("gcc")
def test_a_driver_that_hangs_holds_up_no_sample(tmp_path: Path, library: Path) -> None:
    with GpuNode(tmp_path, library) as node:
        assert node.sample()["gpu_percent"] == 90.5
        node.wish(hang=1)
        told = node.look()  # waits a second
        assert told["sample"]["gpu_stuck_s"] >= 1
        assert told["sample"]["gpu_percent"] == 90.5  # as it was known last
        assert told["trouble"] == ""  # it may be slow
        begun_s = time.monotonic()
        node.look()
        assert time.monotonic() - begun_s < 0.9
        wait_for(lambda: node.look()["trouble"], "it is called one that does not answer")
        node.wish(gpus=2)
        wait_for(lambda: "gpu_stuck_s" not in node.sample(), "an answer of the driver")
    assert node.said() == ["the driver of the GPUs does not answer", "the GPUs answer again"]


@pytest.mark.needs_system("gcc")
def test_a_runs_gpus_and_its_part_of_their_memory_are_kept_with_the_run(tmp_path: Path, library: Path) -> None:
    with _Sampled(tmp_path, library) as run:
        run.node.wish(gpus=2, mig=1, pid=run.driver, pid_gpu=0)
        run.node.look()
        (gpu,) = run.lines()[-1]["gpus"]
        assert (gpu["gpu"], gpu["percent"], gpu["mem_used_bytes"], gpu["temp_c"]) == (0, 90, 10 * GIB, 60)
        assert (gpu["run_processes"], gpu["run_mem_used_bytes"]) == (1, 5 * GIB)
        assert (gpu["ecc_corrected"], gpu["ecc_uncorrected"], gpu["remap_pending"]) == (7, 1, 1)
        assert gpu["slowed"] == ["hardware_thermal"]
        run.node.wish(gpus=2, mig=1, pid=run.driver, pid_gpu=1)
        run.node.look()
        (gpu,) = run.lines()[-1]["gpus"]
        assert "percent" not in gpu
        assert [part["mem_used_bytes"] for part in gpu["mig"]] == [2 * GIB, 2 * GIB]


@pytest.mark.needs_system("gcc")
def test_where_the_kernels_log_cannot_be_read_the_library_tells_of_xids(tmp_path: Path, library: Path) -> None:
    with _Sampled(tmp_path, library) as run:
        run.node.wish(gpus=2, pid=run.driver, pid_gpu=1)
        run.node.look()
        run.node.wish(gpus=2, pid=run.driver, pid_gpu=1, event=1, xid=48, xid_gpu=1)
        assert run.node.sample()["xids"] == 1
        assert run.node.sample()["xids"] == 1
        (event,) = [line for line in run.lines() if line.get("event")]
        assert (event["xid"], event["gpu"], event["concerns"], event["bus"]) == (48, 1, "gpu", "0000:11:00")


class _Sampled:
    """A run whose driver waits, on a node with pretend GPUs."""

    def __init__(self, folder: Path, library: Path, kernel_log: Path | None = None) -> None:
        self.run = NodeRun(folder / "spool", "sleep", "60")
        self.run.start()
        self.driver = int(self.run.started()["pid"])
        self.node = GpuNode(folder, library, kernel_log=kernel_log)

    def __enter__(self) -> _Sampled:
        return self

    def __exit__(self, *raised: object) -> None:
        try:
            self.node.__exit__()
        finally:
            assert self.run.process is not None
            self.run.process.terminate()
            self.run.process.communicate()

    def lines(self) -> list[dict[str, Any]]:
        (path,) = self.run.run_dir.glob("logs/azureml/telemetry-*.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]


KERNEL_SAYS = (
    "4,{record},{micros},-;NVRM: Xid (PCI:0000:{bus}:00): {number}, pid={pid}, name=python, GPU has fallen off the bus.\n"
)


@pytest.mark.needs_system("gcc")
def test_an_xid_goes_to_the_runs_that_it_concerns_once_also_across_restarts_of_the_agent(tmp_path: Path, library: Path) -> None:
    log = tmp_path / "kmsg"

    def kernel_says(record: int, bus: str, number: int, pid: object) -> None:
        micros = time.monotonic_ns() // 1000 if record > 1 else 1000  # the first one is of long ago
        with log.open("a") as file:
            file.write(KERNEL_SAYS.format(record=record, micros=micros, bus=bus, number=number, pid=pid))
            file.write(f"6,{record + 1},{micros},-;usb 1-1: nothing\n SUBSYSTEM=usb\n")

    kernel_says(1, "10", 43, 1)
    with _Sampled(tmp_path, library, log) as run:
        run.node.wish(gpus=2, pid=run.driver, pid_gpu=1)
        assert run.node.sample()["xids"] == 1
        kernel_says(3, "11", 31, run.driver)
        kernel_says(5, "11", 79, "'<unknown>'")
        kernel_says(7, "10", 62, os.getpid())
        assert run.node.sample()["xids"] == 4
        kernel_says(9, "11", 94, 0)
        with GpuNode(tmp_path, library, kernel_log=log, spool=run.run.run_dir.parent) as next_agent:
            next_agent.look()
            next_agent.look()
        events = [(line["xid"], line["concerns"]) for line in run.lines() if line.get("event")]
        assert events == [(31, "process"), (79, "gpu"), (62, "node"), (94, "gpu")]
        assert "fallen off the bus" in next(line for line in run.lines() if line.get("event"))["text"]
