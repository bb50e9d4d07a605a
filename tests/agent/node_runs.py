"""Real `runyard run` processes for tests, each with a spool of its own, and what is read from that spool afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runyard import names
from runyard.timeindex import STDERR, unpack
from tests.waiting import wait_for

DEADLINE_S = 30.0
LOG = names.driver_log(0, 1)


class NodeRun:
    """One run on this node: its command line, its process and its folder in the spool."""

    def __init__(self, spool: Path, *command: str, run_id: str = "r", flags: tuple[str, ...] = (), env: Mapping[str, str] = {}):
        self.run_dir = spool / run_id
        self.argv = [sys.executable, "-m", "runyard", "run", "--run-id", run_id, *flags, "--", *command]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RUNYARD_")}
        self.env = inherited | {"RUNYARD_SPOOL__DIR": str(spool), "RUNYARD_RUN__GRACE_S": "1"} | dict(env)
        self.process: subprocess.Popen[bytes] | None = None

    def complete(self, **options: Any) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end with both outputs caught."""
        return subprocess.run(self.argv, env=self.env, capture_output=True, timeout=DEADLINE_S * 3, check=False, **options)

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and come back at once."""
        self.process = subprocess.Popen(
            self.argv, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        return self.process

    def start(self) -> subprocess.Popen[bytes]:
        """Start it and come back when the driver runs."""
        process = self.launch()
        wait_for(lambda: self.started() and self.state(), "the driver's start")
        return process

    def path(self, name: str) -> Path:
        return self.run_dir / name

    def json(self, name: str) -> Any:
        """The value in a file, None while there is none."""
        path = self.path(name)
        return json.loads(path.read_text()) if path.exists() else None

    def state(self) -> dict[str, Any]:
        return self.json(names.STATE_FILE) or {}

    def started(self) -> dict[str, Any]:
        return self.json(names.process_dir(0) + "/started.json") or {}

    def final_state(self) -> dict[str, Any]:
        """Wait for the node's last word."""
        wait_for(lambda: self.state().get("ended_ns"), "the run's end")
        return self.state()

    def log(self) -> bytes:
        return self.path(LOG).read_bytes()

    def split(self) -> tuple[bytes, bytes]:
        """(stdout, stderr) as the time index tells them apart in the one log."""
        log, parts, start = self.log(), {False: bytearray(), True: bytearray()}, 0
        for record in unpack(self.path(names.index_of(LOG)).read_bytes()):
            parts[record.source == STDERR] += log[start : record.end]
            start = record.end
        assert start == len(log)
        return bytes(parts[False]), bytes(parts[True])

    def lines(self, name: str) -> list[dict[str, Any]]:
        """The values of a JSON Lines file."""
        return [json.loads(line) for line in self.path(name).read_text().splitlines()]

    def capture_pid(self) -> int:
        """The capture process that lives, or lived last."""
        lock = self.path(names.process_dir(0) + "/capture.lock")
        return int(wait_for(lambda: lock.exists() and lock.read_text(), "a capture's pid"))


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # the latter where it goes while its file is read
        return False
