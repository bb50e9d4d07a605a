"""A clock that jumps: order is by offset, lengths of time are monotonic, and only timestamps show the jump."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from runyard import names
from runyard.timeindex import unpack
from tests.agent.node_runs import LOG, NodeRun
from tests.collector_process import running_collector
from tests.shifted_clock import needs_compiler, shifted_clock
from tests.waiting import wait_for

# It goes on behind each third of its lines once it may.
LINES = """
import os, sys, time
for number in range(60):
    print(number, flush=True)
    time.sleep(0.02)
    while number % 20 == 19 and not os.path.exists(f"{sys.argv[1]}/{number}"):
        time.sleep(0.02)
"""


def has_lines(run: NodeRun, count: int) -> bool:
    return run.log().count(b"\n") == count


@needs_compiler
@pytest.mark.parametrize("jumps_s", [(-3600, 7200), (86400, -86400)])
def test_a_clock_that_jumps_changes_timestamps_and_nothing_else(tmp_path: Path, jumps_s: tuple[int, int]) -> None:
    clock = shifted_clock(tmp_path)
    faked = clock.environ
    with running_collector(tmp_path, environ=faked) as collector:
        reached = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
        command = (sys.executable, "-c", LINES, str(tmp_path))
        run = NodeRun(tmp_path / "spool", *command, flags=("--timeout", "1h"), env=faked | reached)
        process = run.start()
        client = collector.client()
        for number, jump_s in enumerate(jumps_s):
            last = 20 * number + 19
            wait_for(partial(has_lines, run, last + 1), "some lines")
            wait_for(lambda: client.json("GET", "/runs/r")["status"] == "Running", "the run is Running")
            clock.shift(jump_s)
            assert client.json("GET", "/runs/r")["status"] == "Running"
            (tmp_path / str(last)).touch()
        (tmp_path / "59").touch()
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert out == b"".join(b"%d\n" % number for number in range(60))
        shown = client.json("GET", "/runs/r")
        assert (shown["status"], shown["is_complete"]) == ("Completed", True)
        (copy,) = collector.data_dir.glob(f"runs/default/r/*/{LOG}")
        assert copy.read_bytes() == out
    records = unpack(run.path(names.index_of(LOG)).read_bytes())
    walls = [record.wall_ns for record in records]
    assert walls != sorted(walls), "the clock did jump back"
    assert [record.mono_ns for record in records] == sorted(record.mono_ns for record in records)
    assert json.loads(run.path(names.STATE_FILE).read_text())["exit_code"] == 0
