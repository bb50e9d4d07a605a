"""Scripts that record as users' do, in a process of their own, and what stands in their journals afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runyard.sdk.recording import JournalRecorder
from runyard.sdk.run import Run
from runyard.tracking import records

LIMIT_S = 100.0  # PyTorch takes its time on a busy machine


class Job:
    """A folder as the agent gives it to a job, without an agent and a collector."""

    def __init__(self, folder: Path) -> None:
        self.tracking_dir = folder / "tracking"
        self.blobs_dir = folder / "blobs"
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("RUNYARD_")} | {
            "RUNYARD_RUN_ID": "r",
            "RUNYARD_TRACKING_DIR": str(self.tracking_dir),
            "RUNYARD_BLOBS_DIR": str(self.blobs_dir),
        }

    def run(self) -> Run:
        """The run as get_context gives it, in this process."""
        recorder = JournalRecorder(str(self.tracking_dir), str(self.blobs_dir), "r", None)
        return Run._made("r", "digits", None, recorder, is_context=True)

    def script(self, text: str, *arguments: str, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
        """Run a script to its end as the job's driver."""
        argv = [python, "-c", text, *arguments]
        return subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    def journals(self) -> list[list[Any]]:
        """The records of each journal, as the collector reads them; fails where a line is none."""
        return [records_of(path) for path in sorted(self.tracking_dir.glob("*.jsonl"))]

    def records(self) -> list[Any]:
        """The records of all journals."""
        return [record for journal in self.journals() for record in journal]


def records_of(path: Path) -> list[Any]:
    """The records of one journal, which ends with a whole line."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    return [records.decoder.decode(line) for line in data.splitlines()]


def values_of(found: Sequence[Any], name: str) -> list[Any]:
    """The values recorded under a name, in order."""
    return [record.value for record in found if isinstance(record, records.Metric | records.Word) and record.name == name]
