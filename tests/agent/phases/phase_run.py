"""One phase of a run in a process of its own, started as the shepherd starts it, without a shepherd and a collector."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import proctree
from runyard.spec import Spec
from tests.waiting import wait_for

NODE = "node1"
LIMIT_S = 100.0
_MAIN = "import sys; from runyard.agent.phases.main import main; main(sys.argv[1], sys.argv[2])"


class PhaseRun:
    """A run's folder, and the phases that take place in it one by one."""

    def __init__(self, folder: Path, spec: Spec, *, cache_dir: Path, environ: Mapping[str, str] = {}, builder: str = "auto"):
        self.run_dir = folder
        self.run = {
            "run_id": folder.name,
            "node_id": NODE,
            "spec": spec.to_json(),
            "world_size": 1,
            "ranks": [0],
            "builder": builder,
            "grace_s": 1.0,
            "mark": os.urandom(8).hex(),
        }
        self.run |= {"cache_dir": str(cache_dir), "work_dir": str(folder / "work"), "node_ip": "127.0.0.1"}
        (folder / names.PRIVATE_DIR).mkdir(parents=True)
        (folder / names.RUN_FILE).write_text(json.dumps(self.run))
        self._environ = os.environ | {"RUNYARD_RUN_MARK": str(self.run["mark"])} | dict(environ)

    @contextmanager
    def started(self, phase: str) -> Iterator[subprocess.Popen[bytes]]:
        """The phase's process, which is there for the block."""
        (self.run_dir / names.phase_dir(phase) / "result.json").unlink(missing_ok=True)
        log = self.run_dir / names.execution_log(NODE)
        log.parent.mkdir(parents=True, exist_ok=True)
        environ = self._environ | {"RUNYARD_PHASE": phase}
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-I", "-c", _MAIN, str(self.run_dir), phase],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=environ,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def complete(self, phase: str) -> dict[str, Any]:
        """Run the phase to its end; its result."""
        with self.started(phase) as process:
            process.wait(LIMIT_S)
        return self.result(phase)

    def done(self, phase: str) -> dict[str, Any]:
        """Run the phase to its end, which has to be a good one; what it hands on."""
        result = self.complete(phase)
        assert result["result"] == "done", (result, self.log(), self.image_log())
        data: dict[str, Any] = result["data"]
        return data

    def failed(self, phase: str) -> str:
        """Run the phase to its end, which has to be a failure; the cause."""
        result = self.complete(phase)
        assert result["result"] == "failed", result
        cause: str = result["cause"]
        return cause

    def result(self, phase: str) -> dict[str, Any]:
        """What the phase has come to."""
        result: dict[str, Any] = json.loads((self.run_dir / names.phase_dir(phase) / "result.json").read_text())
        return result

    def cancel(self) -> None:
        """Ask the run to stop, as `runyard` does."""
        (self.run_dir / names.STOP_FILE).write_text(json.dumps({"signal": int(signal.SIGTERM), "reason": "the test"}))

    def log(self) -> str:
        """The execution log, 55."""
        return self._text(names.execution_log(NODE))

    def image_log(self) -> str:
        """The image build log, 20; empty where there is none."""
        return self._text(names.IMAGE_LOG)

    @property
    def has_image_log(self) -> bool:
        """Whether 20 is there."""
        return (self.run_dir / names.IMAGE_LOG).exists()

    def tools(self) -> list[int]:
        """Processes that phases of this run have started and that live."""
        return proctree.with_environment(proctree.marker(self.run))

    def wait_for_end_of_tools(self) -> None:
        """Until nothing of this run lives."""
        wait_for(lambda: not self.tools(), "the end of the phase's tools")

    def _text(self, name: str) -> str:
        path = self.run_dir / name
        return path.read_text(errors="replace") if path.exists() else ""
