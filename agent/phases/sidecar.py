"""The sidecar: where preparation and release take place when it is on. It lives from preparation to release.

Where the run's environment is a container, it is a container of its own, whose root file system is put together from this
node's own programs, read-only, so that it needs no image; otherwise a process in PID, IPC and UTS namespaces of its own.
Writes its three logs below logs/azureml/sidecar/<node_id>; what they gain is copied into 65 and 75 as it comes.
"""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import container
from runyard.agent.journal import PhaseLog
from runyard.errors import PhaseError
from runyard.spec import CONTAINER

from .copying import Copy
from .phase import Phase

ROOT_DIR = f"{names.PRIVATE_DIR}/sidecar/root"
# Of the node's own root file system: programs, libraries and their settings.
_SYSTEM_DIRS = ("usr", "etc", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
_EMPTY_DIRS = ("proc", "sys", "dev", "run", "tmp", "root", "var/tmp")
_VARIABLE = "RUNYARD_SIDECAR"


def become_sidecar(phase: Phase) -> dict[str, Any]:
    """Start the sidecar in this process's place. Comes back only by raising PhaseError."""
    is_container = phase.spec.environment.kind == CONTAINER
    argv = _container_argv(phase) if is_container else _namespace_argv(phase)
    kind = "a container" if is_container else "namespaces"
    phase.say(f"Starting the sidecar in {kind} of its own; preparation and release take place in it.")
    host = PhaseLog(str(phase.run_dir), names.execution_log(phase.run["node_id"]))
    host.say(f"Starting the sidecar in {kind} of its own; its logs lie in {names.sidecar_log(phase.run['node_id'], '*')}.")
    os.environ[_VARIABLE] = "container" if is_container else "namespace"
    try:
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        raise PhaseError(f"the sidecar cannot be started: {argv[0]}: {error.strerror}") from error


def _phase_argv() -> list[str]:
    """What this process was started with."""
    return [sys.executable, *sys.orig_argv[1:]]


def _namespace_argv(phase: Phase) -> list[str]:
    unshare = shutil.which("unshare")
    if unshare is None:
        raise PhaseError("the sidecar cannot be started: it needs unshare (util-linux) on this node")
    flags = ["--pid", "--ipc", "--uts", "--fork", "--kill-child=SIGKILL"]
    if os.geteuid() != 0:
        flags += ["--user", "--map-current-user"]
    if subprocess.run([unshare, *flags, "true"], capture_output=True, check=False).returncode:
        phase.say("This node lets us make no namespaces; the sidecar is a plain process.")
        return _phase_argv()
    return [unshare, *flags, *_phase_argv()]


def _container_argv(phase: Phase) -> list[str]:
    name = container.name_of(phase.run, container.SIDECAR)
    container.remove([name], 0)
    root = phase.run_dir / ROOT_DIR
    shutil.rmtree(root, ignore_errors=True)
    volumes = _system_volumes(root) + _own_volumes(phase)
    for source, _ in volumes:
        Path(root, source.lstrip("/")).mkdir(parents=True, exist_ok=True)
    flags = [f"--volume={source}:{source}:{mode}" for source, mode in volumes]
    flags += [f"--env={name}" for name in ("PATH", "HOME", "LANG", "RUNYARD_RUN_MARK", "RUNYARD_PHASE", _VARIABLE)]
    words = ["--rm", "--log-driver=passthrough", f"--name={name}", "--network=host", "--security-opt=label=disable"]
    return [container.PODMAN, "--log-level=error", "run", *words, *flags, "--rootfs", str(root), *_phase_argv()]


def _system_volumes(root: Path) -> list[tuple[str, str]]:
    """The node's own programs; makes the skeleton of the root file system."""
    found = []
    for name in _EMPTY_DIRS:
        Path(root, name).mkdir(parents=True, exist_ok=True)
    for name in _SYSTEM_DIRS:
        path = Path("/", name)
        if path.is_symlink():  # /bin is usr/bin where the two are merged
            Path(root, name).symlink_to(path.readlink())
        elif path.is_dir():
            found.append((str(path), "ro"))
    return found


def _own_volumes(phase: Phase) -> list[tuple[str, str]]:
    """What preparation and release work on, and the Python that they run in."""
    for folder in (phase.cache_dir, phase.work_dir):
        folder.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    volumes = [(str(folder), "rw") for folder in (phase.run_dir, phase.work_dir, phase.cache_dir)]
    volumes += [(one.local_path, "ro") for one in phase.spec.datastores if one.local_path]
    for manager in phase.spec.context_managers:
        url = str(manager.options.get("url", ""))
        if url.startswith(("file://", "/")):
            volumes.append((url.removeprefix("file://"), "rw"))
        if manager.options.get("root"):
            volumes.append((str(manager.options["root"]), "rw"))
    for path in (sys.prefix, sys.base_prefix, *sys.path):
        volumes.append((path, "ro"))
    return _outermost([(os.path.realpath(path), mode) for path, mode in volumes if os.path.isdir(path)])  # noqa: PTH112


def _outermost(volumes: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without those that lie in another one of the same mode, or in what the node's programs bring."""
    kept: list[tuple[str, str]] = []
    for path, mode in sorted(set(volumes)):
        inside = [outer for outer, outer_mode in kept if (path + "/").startswith(outer + "/") and outer_mode == mode]
        if not inside and not path.startswith(("/usr/", "/etc/", "/opt/")):
            kept.append((path, mode))
    return kept


class Sidecar:
    """The sidecar's side of the logs, in the process that lives in it."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._node_id = phase.run["node_id"]

    def begin_preparation(self, managers: list[str]) -> None:
        """Write start_cms.txt; from then on what this process prints goes to prep_cmd.txt, and from there into 65."""
        phase, kind = self._phase, os.environ[_VARIABLE]
        phase.log_to(self._log("start_cms"))
        what = "in a container of its own" if kind == "container" else "in namespaces of its own"
        phase.say(f"The sidecar runs {what} on {socket.gethostname()}; in there it is process {os.getpid()}.")
        phase.say(f"Python {platform.python_version()}, {sys.executable}; the run is {phase.run['run_id']}.")
        phase.say(f"Context managers of this run: {', '.join(managers) or 'none'}.")
        phase.say("The process that enters and leaves them is ready.")
        self._tee("prep_cmd", names.preparation_log(self._node_id))

    def begin_release(self) -> None:
        """From now on what this process prints goes to release_cmd.txt, and from there into 75."""
        self._tee("release_cmd", names.release_log(self._node_id))
        self._phase.say("Leaving the context managers in the sidecar.")

    def end_release(self) -> None:
        """All that was printed is in 75."""
        self._phase.say("The sidecar ends.")
        if self._phase.copy is not None:
            self._phase.copy.close()

    def _log(self, name: str) -> str:
        return names.sidecar_log(self._node_id, name)

    def _tee(self, name: str, into: str) -> None:
        phase = self._phase
        if phase.copy is not None:
            phase.copy.close()
        phase.log_to(self._log(name))
        phase.told_in = into
        mark = phase.run_dir / names.PRIVATE_DIR / "sidecar" / f"{name}.json"
        mark.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        phase.copy = Copy(phase.run_dir / self._log(name), phase.run_dir / into, mark)
