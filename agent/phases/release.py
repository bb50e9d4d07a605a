"""The release phase: whatever preparation took is given back, each step even when one before it failed. Its log is 75.

Reads the context managers' ledger and the kernel's mounts; removes the run's work folder, containers and mounts, and what
killed builds have left.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import container, proctree, work_folder
from runyard.agent.journal import SystemLog
from runyard.agent.mounts import mounted_below, unmount
from runyard.atomic import read_json
from runyard.errors import PhaseError
from runyard.spec import CONTAINER

from . import leftovers
from .job import job_of, managers_of
from .managing import Managers
from .phase import Phase
from .sidecar import ROOT_DIR, Sidecar

# What is about to end by itself may take so long.
GOING_S = 1.0


def run(phase: Phase) -> dict[str, Any]:
    """Free the node. Raises PhaseError at the end where a context manager could not be left or something stayed behind."""
    _do(phase, (_leave_managers, *_FREEING))
    phase.say("What preparation took is given back.")
    SystemLog(str(phase.run_dir / names.RELEASE_SYSTEM_LOG), "runyard.release").info("the node is freed")
    return {}


def free(phase: Phase) -> None:
    """Free the node of all but its context managers. Raises PhaseError at the end where something stayed behind."""
    _do(phase, _FREEING)


def _do(phase: Phase, steps: Iterable[Callable[[Phase], list[str]]]) -> None:
    log = SystemLog(str(phase.run_dir / names.RELEASE_SYSTEM_LOG), "runyard.release")
    troubles = [trouble for step in steps for trouble in _tried(step, phase)]
    for trouble in troubles:
        log.error(trouble)
    if troubles:
        raise PhaseError("; ".join(dict.fromkeys(troubles)))


def _tried(step: Callable[[Phase], list[str]], phase: Phase) -> list[str]:
    try:
        return step(phase)
    except Exception as error:  # noqa: BLE001 - whatever goes wrong here, the other steps have to follow
        phase.say(f"{type(error).__name__}: {error}")
        return [str(error) or type(error).__name__]


def _leave_managers(phase: Phase) -> list[str]:
    wanted = managers_of(phase.spec)
    if not wanted:
        return []
    job = job_of(phase)
    job.outcome = (read_json(str(phase.run_dir / names.RELEASE_REQUEST)) or {}).get("outcome") or {}
    if job.code_dir is not None:
        sys.path.insert(0, str(job.code_dir))
    managers = Managers(wanted, job, phase.run_dir)
    sidecar = Sidecar(phase) if phase.spec.sidecar else None
    if sidecar is None or not sidecar.has_lived:
        managers.leave()
    else:
        sidecar.stand_in()
        try:
            managers.leave()
        finally:
            sidecar.end_copy()
            phase.log_to(names.release_log(phase.run["node_id"]))
    return managers.troubles()


def _clear_tools(phase: Phase) -> list[str]:
    leftovers.clear(phase)
    return []


def _remove_containers(phase: Phase) -> list[str]:
    if phase.spec.environment.kind != CONTAINER:
        return []
    for folder in (phase.run_dir / names.PRIVATE_DIR / "proc").glob("*/"):
        container.remove_variables(str(folder / container.VARIABLES_FILE))
    ours = [container.driver_name(phase.run, rank) for rank in phase.run["ranks"]]
    if phase.spec.sidecar:
        ours.append(container.name_of(phase.run, container.SIDECAR))
    for name in container.remove(ours, phase.run["grace_s"], mark=phase.run["mark"]):
        phase.say(f"The container {name} is removed.")
    shutil.rmtree(phase.run_dir / ROOT_DIR, ignore_errors=True)
    return []


def _end_processes(phase: Phase) -> list[str]:
    """What the phases before have left running, wherever it hangs in the tree."""
    for earlier in ("image", "execution", "preparation"):
        deadline_s = time.monotonic() + GOING_S
        while (left := _of_phase(phase, earlier)) and time.monotonic() < deadline_s:
            time.sleep(0.02)  # podman is about to end by itself, once its container has
        if left:
            phase.say(f"Ending what the phase {earlier} has left running: {', '.join(map(str, left))}.")
            proctree.send(left, signal.SIGKILL)
    return []


def _of_phase(phase: Phase, earlier: str) -> list[int]:
    return proctree.with_environment(proctree.marker(phase.run), f"RUNYARD_PHASE={earlier}")


def _unmount(phase: Phase) -> list[str]:
    if not work_folder.is_ours(phase.run):
        return []
    for place in mounted_below(phase.work_dir):
        phase.say(f"Taking off the mount {place}.")
    return unmount(phase.work_dir)


def _remove_work(phase: Phase) -> list[str]:
    work = phase.work_dir
    if not work_folder.is_ours(phase.run):
        if work.exists():
            phase.say(f"The folder {work} is not this run's own and stays as it is.")
        return [] if work_folder.remove(phase.run) else [f"what was to become {work} cannot be removed"]
    if mounted_below(work):  # what is mounted there is the user's, and is not to be removed with the folder
        return [f"the work folder {work} is not removed: something is still mounted in it"]
    users = work / ".users"
    with suppress(OSError):
        (users / phase.run["node_id"]).unlink()
    if users.exists() and any(users.iterdir()):
        phase.say(f"The work folder {work} is still used by other nodes; the last of them removes it.")
        return []
    with suppress(OSError, PhaseError):  # a courtesy: the archive may have left the cache
        _tell_new_files(phase)
    if not work_folder.remove(phase.run):
        return [f"the work folder {work} cannot be removed whole"]
    phase.say(f"The work folder {work} is removed.")
    return []


# What follows the context managers, however those were left.
_FREEING = (_clear_tools, _remove_containers, _end_processes, _unmount, _remove_work)


def _tell_new_files(phase: Phase) -> None:
    """Say what the run has left beside its code: it goes with the work folder."""
    job = job_of(phase)
    if job.code_dir is None or not job.code_dir.exists():
        return
    packed = _packed(phase)
    new = [path for path in _files(job.code_dir) if str(path.relative_to(job.code_dir)) not in packed]
    if new:
        shown = ", ".join(str(path.relative_to(job.code_dir)) for path in new[:5])
        more = f" and {len(new) - 5} more" if len(new) > 5 else ""
        phase.say(f"Not kept, since they lie beside the code and not in outputs/ or logs/: {shown}{more}.")


def _packed(phase: Phase) -> set[str]:
    from . import snapshot

    archive = snapshot.fetch(phase.run["snapshot"]["id"], phase.cache_dir, None)
    with tarfile.open(archive) as archive_file:
        return {name.removeprefix("./") for name in archive_file.getnames()}


def _files(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [Path(parent, name) for name in files if not Path(parent, name).is_symlink()]
    return sorted(found)
