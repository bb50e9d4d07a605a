"""The run as its context managers see it: folders, secrets, and the managers that it asked for. Pure but for secrets' files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from runyard import names
from runyard.context import Job
from runyard.errors import PhaseError
from runyard.spec import CONTAINER, MOUNT, Manager, Spec

from .phase import Phase

CODE_DIR = "code"
DATA_DIR = "data"
# For mounting, and for taking it off again.
MOUNT_TIMEOUT_S = 60.0


def job_of(phase: Phase) -> Job:
    """What the run's context managers are told."""
    run = phase.run
    code_dir = phase.work_dir / CODE_DIR
    return Job(
        run_id=run["run_id"],
        experiment=run["experiment"],
        node_id=run["node_id"],
        work_dir=phase.work_dir,
        data_dir=phase.work_dir / DATA_DIR,
        code_dir=code_dir if run.get("snapshot") else None,
        outputs_dir=phase.run_dir / names.OUTPUTS_DIR,
        logs_dir=phase.run_dir / names.USER_LOGS_DIR,
        processes_dir=phase.run_dir / names.PRIVATE_DIR / "proc",
        is_container=phase.spec.environment.kind == CONTAINER,
        say=phase.say,
        secrets=lambda references: resolved(references, phase.environment),
    )


def managers_of(spec: Spec) -> list[Manager]:
    """The managers of a run in the order in which they are entered: what mounts its datastores first."""
    mounts = [
        Manager(
            use="datastore_mount",
            options={"name": one.name, "source": one.local_path, "path": one.path or one.name, "variable": one.variable},
            timeout_s=MOUNT_TIMEOUT_S,
        )
        for one in spec.datastores
        if one.mode == MOUNT
    ]
    return [*mounts, *spec.context_managers]


def resolved(references: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The values of `env:NAME` and `file:PATH` references; raises PhaseError, which never tells a value."""
    return {option: _value(option, word, environment) for option, word in references.items()}


def _value(option: str, word: str, environment: Mapping[str, str]) -> str:
    kind, _, where = word.partition(":")
    if kind == "env":
        if where not in environment:
            raise PhaseError(
                f"the secret {option} is to be in the variable {where}, which was not set where the run was started"
            )
        return environment[where]
    if kind == "file":
        try:
            return Path(where).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise PhaseError(f"the secret {option} is to be in the file {where}, which cannot be read: {reason}") from None
    raise PhaseError(f"the secret {option} has to be given as env:NAME or file:PATH")
