"""Real agents for tests, each with folders of its own, as if each were a node; and runs for the cluster that they are in.

`with running_agent(folder, collector) as agent:`. What an agent has started outlives it, as it should; `close` ends that, too.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import proctree
from runyard.errors import CollectorRefused
from runyard.spec import Spec
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

STOP_LIMIT_S = 15.0
CLUSTER = "lab"
# Quick looks, so that no test waits for a period to pass.
QUICK = {
    "RUNYARD_AGENT__HEARTBEAT_S": "0.5",
    "RUNYARD_AGENT__WORK_WAIT_S": "5",
    "RUNYARD_AGENT__SAMPLE_S": "0",
    "RUNYARD_SHIP__BACKOFF_MAX_S": "0.5",
    "RUNYARD_RUN__GRACE_S": "2",
}


class AgentProcess:
    """One agent. Its log (JSON lines) lies in `log_file`; its join token is in `join_token_file`."""

    def __init__(
        self, folder: Path, collector: CollectorProcess, *, environ: Mapping[str, str] = {}, python: str = sys.executable
    ) -> None:
        self._python = python
        self.spool = folder / "spool"
        self.state_dir = folder / "state"
        self.join_token_file = folder / "join.token"
        self.log_file = folder / "agent.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "XDG_"))}
        settings = {
            "RUNYARD_COLLECTOR_URL": collector.url,
            "RUNYARD_SPOOL__DIR": str(self.spool),
            "RUNYARD_ENVIRONMENT__CACHE_DIR": str(folder / "cache"),
            "RUNYARD_AGENT__STATE_DIR": str(self.state_dir),
            "RUNYARD_AGENT__JOIN_TOKEN_FILE": str(self.join_token_file),
        }
        self._environ = kept | QUICK | settings | dict(environ)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pid(self) -> int:
        """Of the agent that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def node_id(self) -> str:
        """As it is kept in the spool."""
        return (self.spool / ".node_id").read_text().strip()

    @property
    def log_text(self) -> str:
        """Everything it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log whose sentence holds `event`."""
        lines = [json.loads(line) for line in self.log_text.splitlines() if line.startswith("{")]
        return [line for line in lines if event in line["event"]]

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it and come back at once."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [self._python, "-m", "runyard", "agent"], env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self._process

    def start(self) -> None:
        """Start it and wait until it is ready."""
        before = len(self.said("ready"))
        process = self.launch()
        wait_for(lambda: process.poll() is not None or len(self.said("ready")) > before, "the agent's start")
        assert process.poll() is None, self.log_text

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it and wait; returns the exit code (negative: the signal)."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the agent did not stop within {STOP_LIMIT_S} s") from None

    def kill(self) -> None:
        """SIGKILL."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it, and start the next one with the same folders."""
        self.stop()
        self.start()

    def run_dir(self, run_id: str, attempt: int = 0) -> Path:
        """A run's folder in its spool."""
        return self.spool / names.attempt_dir(run_id, attempt)

    def log_of(self, run_id: str, attempt: int = 0) -> bytes:
        """What the run's only driver has written so far."""
        path = self.run_dir(run_id, attempt) / names.driver_log(0, 1)
        return path.read_bytes() if path.exists() else b""

    def json_of(self, run_id: str, name: str, attempt: int = 0) -> Any:
        """The value in a run's file, None while there is none."""
        path = self.run_dir(run_id, attempt) / name
        return json.loads(path.read_text()) if path.exists() else None

    def close(self) -> None:
        """End the agent and all that its runs still have."""
        self.stop(signal.SIGKILL)
        for path in self.spool.glob(f"*/{names.RUN_FILE}"):
            with suppress(OSError, ValueError):
                run = json.loads(path.read_text())
                state = json.loads((path.parent.parent / names.STATE_FILE).read_text())
                if not state.get("ended_ns"):
                    proctree.send([int(state["shepherd_pid"])], signal.SIGKILL)
                proctree.send(proctree.with_environment(proctree.marker(run)), signal.SIGKILL)


@contextmanager
def running_agent(folder: Path, collector: CollectorProcess, *, cluster: str = CLUSTER, **how: Any) -> Iterator[AgentProcess]:
    """An agent that has joined the cluster with a token of its own, ended at the end of the block with all that it started."""
    agent = AgentProcess(folder, collector, **how)
    agent.join_token_file.write_text(join_token(collector, cluster=cluster) + "\n")
    try:
        agent.start()
        yield agent
    finally:
        agent.close()


def join_token(collector: CollectorProcess, *, cluster: str = CLUSTER, uses: int = 1, valid_s: float = 60.0) -> str:
    """A token with which nodes join."""
    made = collector.client().json("POST", f"/clusters/{cluster}/join-tokens", {"uses": uses, "valid_s": valid_s})
    return str(made["token"])


def submit(
    collector: CollectorProcess,
    run_id: str,
    command: Sequence[str],
    *,
    spec: Spec | None = None,
    user: str = "",
    cluster: str = CLUSTER,
    **wanted: Any,
) -> None:
    """Put a run into the cluster's queue; `wanted` are further members of SubmitRun."""
    described = (spec or Spec()).to_json() | {"command": list(command)}
    body = {"run_id": run_id, "order": {"spec": described, "user": user}, "request": {"cpus": 0.1}} | wanted
    collector.client().json("POST", f"/clusters/{cluster}/runs", body)


def status_of(collector: CollectorProcess, run_id: str) -> str:
    """A run's status at the collector; empty where it knows of none."""
    try:
        return str(collector.client().json("GET", f"/runs/{run_id}")["status"])
    except CollectorRefused:
        return ""


def node_of(collector: CollectorProcess, agent: AgentProcess) -> dict[str, Any]:
    """The agent's node at the collector."""
    found: dict[str, Any] = collector.client().json("GET", f"/nodes/{agent.node_id}")
    return found
