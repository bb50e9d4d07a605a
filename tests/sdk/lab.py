"""What a notebook has before it: a collector, a cluster of one node, and a folder of its own for what runs on this machine.

`with lab(folder) as site:`. Settings are this process's variables, as a notebook's are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runyard import Experiment, Run, ScriptRunConfig, Workspace, names
from runyard.agent import proctree
from runyard.atomic import read_json
from tests.agent_process import CLUSTER, AgentProcess, running_agent
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

LIMIT_S = 60.0
LOG = names.driver_log(0, 1)
# Says that it is there, and goes on until a file is there that it is told of; ends with the exit code in that file.
WAITER = """
import os, pathlib, sys, time
end = pathlib.Path(sys.argv[1])
print("here as", os.getpid(), flush=True)
while not end.exists():
    time.sleep(0.02)
print("told to end", flush=True)
sys.exit(int(end.read_text()))
"""


@dataclass(frozen=True)
class Lab:
    """A collector, an agent, and how a notebook knows them."""

    collector: CollectorProcess
    agent: AgentProcess
    folder: Path

    @property
    def workspace(self) -> Workspace:
        """As a notebook makes it."""
        return Workspace.from_config()

    @property
    def experiment(self) -> Experiment:
        """One of these tests'."""
        return Experiment(self.workspace, "digits")

    @property
    def spool(self) -> Path:
        """Of the runs on this machine."""
        return self.folder / "notebook" / "spool"

    def code(self, script: str, name: str = "train.py") -> Path:
        """A folder with that script in it."""
        folder = self.folder / f"code-{os.urandom(4).hex()}"
        folder.mkdir()
        (folder / name).write_text(script)
        return folder

    def config(self, script: str, *arguments: Any, cluster: str = "", **more: Any) -> ScriptRunConfig:
        """A config of a folder with that script."""
        # A part of the node, so that several runs have room.
        more |= {"compute_target": cluster, "cpus": 0.1} if cluster else {}
        return ScriptRunConfig(self.code(script), "train.py", list(arguments), **more)

    def submit(self, script: str, *arguments: Any, cluster: str = "", tags: Any = None, **more: Any) -> Run:
        """Submit a script: to the cluster, or to this machine."""
        return self.experiment.submit(self.config(script, *arguments, cluster=cluster, **more), tags)

    def waiter(self, end: Path, cluster: str = "", **more: Any) -> Run:
        """Submit a script that waits for a file, and wait until it runs."""
        run = self.submit(WAITER, end, cluster=cluster, **more)
        wait_for(lambda: b"here as" in self.log(run), f"{run.id} runs", limit_s=LIMIT_S)
        return run

    def log(self, run: Run) -> bytes:
        """What its driver has written so far, on the node."""
        for spool in (self.spool, self.agent.spool):
            path = spool / run.id / LOG
            if path.exists():
                return path.read_bytes()
        return b""

    def file(self, run: Run, path: str) -> bytes:
        """A file of a run, as the collector has it."""
        with self.collector.client().stream("GET", f"/runs/{run.id}/files/{path}") as response:
            return response.read()

    def numbered_logs(self, run: Run) -> dict[str, bytes]:
        """The numbered logs of a run that is complete."""
        client = self.collector.client()
        wait_for(lambda: client.json("GET", f"/runs/{run.id}")["is_complete"], f"{run.id} is complete", limit_s=LIMIT_S)
        files = client.json("GET", f"/runs/{run.id}/files", params={"page_size": 1000})["files"]
        paths = [file["path"] for file in files if "azureml-logs/" in file["path"] and file["path"].endswith(".txt")]
        return {path: self.file(run, path) for path in paths}

    def notebook(self, text: str, *arguments: str) -> subprocess.Popen[str]:
        """A notebook's process of its own, with this one's settings."""
        argv = [sys.executable, "-c", text, *arguments]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def close(self) -> None:
        """End what runs on this machine."""
        for path in self.spool.glob(f"*/{names.RUN_FILE}"):
            run = read_json(str(path))
            if isinstance(run, dict):
                senders = proctree.with_argument(run["run_id"])  # they would wait for their collector for a day
                proctree.send([*proctree.with_environment(proctree.marker(run)), *senders], 9)


@contextmanager
def lab(folder: Path) -> Iterator[Lab]:
    """A collector and a cluster of one node; ended at the end of the block."""
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        collector = stack.enter_context(running_collector(folder))
        agent = stack.enter_context(running_agent(folder / "node", collector))
        site = Lab(collector, agent, folder)
        for name in [name for name in os.environ if name.startswith(("RUNYARD_", "MLFLOW_"))]:
            patch.delenv(name)
        patch.setenv("RUNYARD_COLLECTOR_URL", collector.url)
        patch.setenv("RUNYARD_TOKEN", collector.token)
        patch.setenv("RUNYARD_SPOOL__DIR", str(site.spool))
        patch.setenv("RUNYARD_ENVIRONMENT__CACHE_DIR", str(folder / "notebook" / "cache"))
        patch.setenv("RUNYARD_RUN__GRACE_S", "2")
        patch.setenv("RUNYARD_SHIP__BACKOFF_MAX_S", "0.5")
        try:
            yield site
        finally:
            site.close()


__all__ = ["CLUSTER", "LIMIT_S", "LOG", "WAITER", "Lab", "lab"]
