"""What goes wrong between nodes costs no byte, no line and no order: cables, collectors, clocks, packets, slow links."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import pytest

from runyard import names
from tests.netns_site import hub_collector, namespaces, needs_namespaces
from tests.shifted_clock import needs_compiler, shifted_clock
from tests.training_site import TRAINING_PYTHON, needs_torch
from tests.waiting import wait_for

from .launched import Launched, driver_logs, launched
from .test_ddp import FLAGS
from .training import PROGRAM, all_is_there, in_order

# How long a node is cut off. The promise is for 60 s; what can go wrong goes wrong within these, and 60 is set by hand.
PARTITION_S = float(os.environ.get("PARTITION_S", "12"))
PRINTING = """
import os, sys, time
rank, folder = os.environ["RANK"], sys.argv[2]
copies = {1: open(f"{folder}/{rank}.out", "wb", 0), 2: open(f"{folder}/{rank}.err", "wb", 0)}
def tell(descriptor, text):
    line = f"{text} at={time.monotonic_ns()}\\n".encode()
    copies[descriptor].write(line)
    os.write(descriptor, line)
deadline = time.monotonic() + float(sys.argv[1])
number = 0
while time.monotonic() < deadline:
    tell(1, f"rank {rank} line {number}")
    if number % 10 == 0:
        tell(2, f"rank {rank} warns of line {number}")
    number += 1
    time.sleep(0.02)
"""


def step_is_at(run: Launched, node: int, rank: int, step: int) -> bool:
    log = run.spool(run.site.nodes[node]) / names.driver_log(rank, 6)
    return log.exists() and f" step {step}/".encode() in log.read_bytes()


@pytest.mark.xdist_group("torch")
@pytest.mark.timeout(300)
@needs_torch
@needs_namespaces
@needs_compiler
def test_a_partition_two_killed_collectors_and_a_wrong_clock_change_nothing(tmp_path: Path) -> None:
    """One of six ranks' nodes cannot reach the collector for a while (its training goes on over another cable than ours: it is
    the collector that is cut off from it), the collector is killed twice, another node's clock is 5 minutes off and jumps."""
    copies = tmp_path / "copies"
    copies.mkdir()
    clock = shifted_clock(tmp_path, 300)
    command = (str(TRAINING_PYTHON), str(PROGRAM), "150", "0.02", str(copies))
    with namespaces(3) as site, hub_collector(site, tmp_path) as collector:
        site.nodes[1].environ |= clock.environ
        with launched(collector, site, tmp_path, FLAGS, command) as run:
            wait_for(partial(step_is_at, run, 2, 4, 20), "the training's begin", limit_s=90)
            site.cut_off(site.nodes[2], site.hub)
            wait_for(partial(step_is_at, run, 2, 4, 60), "some steps while it is cut off", limit_s=60)
            collector.kill()
            clock.shift(-300)
            time.sleep(PARTITION_S / 2)
            collector.start()
            wait_for(partial(step_is_at, run, 0, 0, 100), "some steps more", limit_s=60)
            collector.kill()
            collector.start()
            time.sleep(PARTITION_S / 2)
            site.join(site.nodes[2])
            for name, (code, said) in run.ended(200).items():
                assert code == 0, f"{name}: {said}"
            assert run.completed()["status"] == "Completed"
            all_is_there(run, copies, 6)
            in_order(run)


@pytest.mark.timeout(200)
@needs_namespaces
def test_lost_packets_a_slow_link_and_a_cable_that_is_out_cost_nothing(tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    program = tmp_path / "printing.py"
    program.write_text(PRINTING)
    command = ("python3", str(program), "10", str(copies))
    with namespaces(3) as site, hub_collector(site, tmp_path) as collector:
        site.lossy(site.nodes[0], 20)
        site.slow(site.nodes[1], "512kbit")
        with launched(collector, site, tmp_path, FLAGS, command) as run:
            wait_for((copies / "5.out").exists, "the last rank's start", limit_s=90)
            site.partition(site.nodes[2])
            wait_for(lambda: (copies / "5.out").read_bytes().count(b"\n") > 200, "lines while the cable is out", limit_s=60)
            site.heal(site.nodes[2])
            for name, (code, said) in run.ended(150).items():
                assert code == 0, f"{name}: {said}"
            assert run.completed()["status"] == "Completed"
            assert len(driver_logs(run.root, site, 6)) == 6
            all_is_there(run, copies, 6)
