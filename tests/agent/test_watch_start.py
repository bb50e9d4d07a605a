"""The watch over a node's ranks ends with the drivers, however young it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from runyard import names

# As the shepherd does it, without a driver that would give the watch time to begin.
PROGRAM = """
import os, sys
from runyard.agent.local_run import LocalRun
from runyard.agent.watch_start import WatchStart

local = LocalRun(sys.argv[1])
for _ in range(10):
    watch = WatchStart(local)
    watch.step()
    watch.end()
    pid, status = os.wait()
    print(os.waitstatus_to_exitcode(status), watch.reaped(pid))
"""


def test_a_watch_that_has_just_been_started_is_ended_with_the_drivers(tmp_path: Path) -> None:
    (tmp_path / names.RUN_FILE).parent.mkdir()
    (tmp_path / names.RUN_FILE).write_text(json.dumps({"node_id": "node", "spec": None}))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said.splitlines() == ["-9 True"] * 10
