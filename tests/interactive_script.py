"""Real processes that make runs of themselves, as a notebook or a script does, and what is read from their spool afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import proctree
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

LIMIT_S = 60.0
# Without a collector; one with it begins with WITH_COLLECTOR.
ALONE = """
import os, signal, sys, time
from runyard import Experiment
from runyard.sdk.local_workspace import LocalWorkspace
experiment = Experiment(LocalWorkspace(), "e")
run = experiment.start_logging(run_id=os.environ["RUN"])
print("begun", flush=True)
"""
WITH_COLLECTOR = """
import os, signal, sys, time
from runyard import Experiment, Workspace
experiment = Experiment(Workspace.from_config(), "e")
run = experiment.start_logging(run_id=os.environ["RUN"])
print("begun", flush=True)
"""


class Script:
    """A Python process in `folder`, with a spool there; `code` is its program, and what it reads are lines of a test. `within`
    are words that start it in another place."""

    def __init__(
        self,
        folder: Path,
        code: str,
        *flags: str,
        collector: CollectorProcess | None = None,
        run_id: str = "r",
        env: Mapping[str, str] = {},
        within: Sequence[str] = (),
    ) -> None:
        self.spool = folder / "spool"
        self.run_id = run_id
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "XDG_"))}
        self.env = clean | {"RUNYARD_SPOOL__DIR": str(self.spool), "PYTHONPATH": str(Path.cwd()), "RUN": run_id} | dict(env)
        self.env |= {"RUNYARD_SHIP__HEARTBEAT_S": "0.5", "RUNYARD_SHIP__BACKOFF_MAX_S": "0.5"}
        if collector is not None:
            self.env |= {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
        words = [*within, sys.executable, "-u", *flags, *(["-c", code] if code else [])]
        self.process = subprocess.Popen(
            words,
            env=self.env,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_line(self, wanted: str) -> None:
        """Read what it prints until the line is there."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.rstrip() == wanted:
                return
        raise AssertionError(f"{wanted!r} was never printed: {self.end()}")

    def end(self) -> tuple[str, str]:
        """Wait for its end; what it printed, and what it said on stderr."""
        return self.process.communicate(timeout=LIMIT_S)

    def close(self) -> None:
        """End it and what looks after its runs, however the test went."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        for folder in self.spool.glob("*/.runyard"):
            for pid in [*attach_pids(folder.parent), shepherd_pid(folder.parent)]:
                proctree.send([pid], 9)

    def run_dir(self, run_id: str = "") -> Path:
        """The run's folder."""
        return self.spool / (run_id or self.run_id)

    def json(self, name: str, run_id: str = "") -> Any:
        """The value in a file of the run; None while there is none."""
        path = self.run_dir(run_id) / name
        return json.loads(path.read_text()) if path.exists() else None

    def state(self, run_id: str = "") -> dict[str, Any]:
        """state.json."""
        return self.json(names.STATE_FILE, run_id) or {}

    def final_state(self, run_id: str = "") -> dict[str, Any]:
        """Wait for the node's last word."""
        wait_for(lambda: self.state(run_id).get("ended_ns"), "the run's end")
        return self.state(run_id)

    def wait_until_running(self, run_id: str = "") -> None:
        """Wait until the shepherd watches the process."""
        wait_for(lambda: self.state(run_id).get("status") == "Running", "the run to be Running")

    def kill_watchers(self, run_id: str = "") -> None:
        """kill -9 to the shepherd and to the process of agent/attach.py; both are gone when this returns."""
        pids = [*attach_pids(self.run_dir(run_id)), shepherd_pid(self.run_dir(run_id))]
        proctree.send(pids, signal.SIGKILL)
        wait_for(
            lambda: not [pid for pid in pids if pid and proctree.is_running(pid, proctree.start_ticks(pid) or 0)], "their end"
        )

    def lines(self, name: str, run_id: str = "") -> list[dict[str, Any]]:
        """The values of a JSON Lines file."""
        return [json.loads(line) for line in (self.run_dir(run_id) / name).read_text().splitlines()]

    def runyard(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A `runyard` command with this script's settings."""
        command = [sys.executable, "-m", "runyard", *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def attach_pids(run_dir: Path) -> list[int]:
    """What looks after the run on its node: the process of agent/attach.py. Other tests have runs of that name, too."""
    spool = f"RUNYARD_SPOOL__DIR={run_dir.parent}".encode()
    found = []
    for pid in proctree.with_argument(run_dir.name):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"runyard.agent.attach" in words and spool in variables:
            found.append(pid)
    return found


def shepherd_pid(run_dir: Path) -> int:
    """The run's shepherd; 0 where there is none."""
    path = run_dir / names.STATE_FILE
    state = json.loads(path.read_text()) if path.exists() else {}
    pid = int(state.get("shepherd_pid") or 0)
    return pid if not state.get("ended_ns") and pid in proctree.with_argument(str(run_dir)) else 0
