"""What a data-parallel training leaves behind, whoever has started its processes: one run, nothing lost, in order."""

from __future__ import annotations

import json
from pathlib import Path

from runyard import names

from .launched import Launched, driver_logs, is_ours, overall, worst_disorder_ns

PROGRAM = Path(__file__).with_name("programs") / "ddp.py"
# Capture looks at a log at least so often: by so much a line's time may be later than the line.
LOOK_NS = 100_000_000


def is_one_run(run: Launched, copies: Path, world_size: int) -> None:
    """A folder for each node's address, a log and states for each rank, one merged view."""
    shown = run.completed()
    assert shown["status"] == "Completed"
    assert [node["folder"] for node in shown["nodes"]] == [node.ip for node in run.site.nodes]
    assert [process["rank"] for process in shown["processes"]] == list(range(world_size))
    all_is_there(run, copies, world_size)
    in_order(run)
    per_node = world_size // len(run.site.nodes)
    info = [json.loads(line) for line in (run.root / names.PROCESS_INFO).read_text().splitlines()]
    assert {(one["process_name"], one["private_ip"]) for one in info} == {
        (f"worker_{rank}", run.site.nodes[rank // per_node].ip) for rank in range(world_size)
    }
    states = [json.loads(line) for line in (run.root / names.PROCESS_STATUS).read_text().splitlines()]
    assert [one["process_name"] for one in states].count("*") == 1
    for rank in range(world_size):
        own = [one["status"] for one in states if one["process_name"] == f"worker_{rank}"]
        assert own == ["Started", "Completed"]


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
