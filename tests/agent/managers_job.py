"""A run as its context managers are told of it, for tests that need no run: its folders lie in one place."""

from __future__ import annotations

from pathlib import Path

from runyard.context import Job


def job_in(folder: Path) -> Job:
    """The job of a run `r`; what it says goes to stdout."""
    return Job(
        run_id="r",
        experiment="e",
        node_id="n",
        work_dir=folder / "work",
        data_dir=folder / "work" / "data",
        code_dir=None,
        outputs_dir=folder / "outputs",
        logs_dir=folder / "logs",
        processes_dir=folder / "proc",
        is_container=False,
        say=print,
        secrets=lambda references: dict(references),
    )
