"""A data-parallel training on several nodes is one run: a folder for each node's address, one merged view, nothing lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runyard import names
from tests.netns_site import hub_collector, namespaces, needs_namespaces
from tests.torch_site import TORCH_PYTHON, needs_torch

from .launched import Launched, driver_logs, is_ours, launched, overall, worst_disorder_ns

PROGRAM = Path(__file__).with_name("programs") / "ddp.py"
FLAGS = ("--nproc-per-node", "2", "--distribution", "pytorch", "--rendezvous")
# Capture looks at a log at least so often: by so much a line's time may be later than the line.
LOOK_NS = 100_000_000


def all_is_there(run: Launched, copies: Path, world_size: int) -> None:
    """What the ranks printed is in their logs at the collector, byte for byte, and in the overall logs exactly once; torch has
    words of its own on stderr, between them."""
    run.completed()
    logs = driver_logs(run.root, run.site, world_size)
    out = {rank: (copies / f"{rank}.out").read_bytes() for rank in logs}
    err = {rank: (copies / f"{rank}.err").read_bytes() for rank in logs}
    for node in run.site.nodes:
        for path in run.spool(node).glob("azureml-logs/70_driver_log_*"):
            assert path.read_bytes() == logs[int(path.stem.rpartition("_")[2])]
    for rank, log in logs.items():
        assert sorted(filter(is_ours, log.splitlines())) == sorted((out[rank] + err[rank]).splitlines()), f"rank {rank}"
    for name, printed in ((names.STDOUT_LOGS, out), (names.STDERR_LOGS, err)):
        lines = overall(run.root, name)
        for rank in logs:
            own = [line.text for line in lines if line.rank == rank and is_ours(line.text)]
            assert own == printed[rank].splitlines(), f"rank {rank} in {name}"
        assert sum(is_ours(line.text) for line in lines) == sum(text.count(b"\n") for text in printed.values())


def in_order(run: Launched) -> None:
    """No two lines of different nodes are out of order by more than the clocks' error and the time between two looks."""
    errors = [node["clock"]["error_ns"] for node in run.run()["nodes"]]
    for name in (names.STDOUT_LOGS, names.STDERR_LOGS):
        assert (
            worst_disorder_ns([line for line in overall(run.root, name) if is_ours(line.text)]) <= 2 * max(errors) + LOOK_NS
        ), name


@pytest.mark.row("A4")
@pytest.mark.row("A7")
@pytest.mark.row("A8")
@pytest.mark.row("A15")
@pytest.mark.xdist_group("torch")
@needs_torch
@needs_namespaces
def test_a_training_on_three_nodes_is_one_run(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    command = (str(TORCH_PYTHON), str(PROGRAM), "60", "0.02", str(copies))
    with (
        namespaces(3) as site,
        hub_collector(site, tmp_path) as collector,
        launched(collector, site, tmp_path, FLAGS, command) as run,
    ):
        for name, (code, said) in run.ended().items():
            assert code == 0, f"{name}: {said}"
        shown = run.completed()
        assert shown["status"] == "Completed"
        assert [node["folder"] for node in shown["nodes"]] == [node.ip for node in site.nodes]
        assert [process["rank"] for process in shown["processes"]] == list(range(6))
        all_is_there(run, copies, 6)
        in_order(run)
        info = [json.loads(line) for line in (run.root / names.PROCESS_INFO).read_text().splitlines()]
        assert {(one["process_name"], one["private_ip"]) for one in info} == {
            (f"worker_{rank}", site.nodes[rank // 2].ip) for rank in range(6)
        }
        states = [json.loads(line) for line in (run.root / names.PROCESS_STATUS).read_text().splitlines()]
        assert [one["process_name"] for one in states].count("*") == 1
        for rank in range(6):
            own = [one["status"] for one in states if one["process_name"] == f"worker_{rank}"]
            assert own == ["Started", "Completed"]
