"""The sidecar: where preparation and release take place when it is on. It lives from preparation to release.

Where the run's environment is a container, it is a container of its own, whose root file system is put together from this
node's own programs, read-only, so that it needs no image; otherwise a process in PID, IPC and UTS namespaces of its own, or
a plain one where the node lets us make none. The container shares the node's process ids: what samples the drivers has to see
them. The runtime ends all that is in its cgroup with it, and release whatever carries the phase's mark.
Writes its three logs below logs/azureml/sidecar/<node_id>; what they gain is copied into 65 and 75 as it comes.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from types import FrameType
from typing import Any, NoReturn

from runyard import names
from runyard.agent import container, work_folder
from runyard.agent.journal import PhaseLog
from runyard.errors import PhaseError
from runyard.spec import CONTAINER

from .copying import Copy
from .phase import Phase
from .sidecar_mounts import volumes
from .words import since, telling

ROOT_DIR = f"{names.PRIVATE_DIR}/sidecar/root"
_VARIABLE = "RUNYARD_SIDECAR"
_KINDS = {
    "container": "in a container of its own",
    "namespace": "in namespaces of its own",
    "process": "as a plain process, since this node lets us make no namespaces",
}
# podman's own exit codes for a container that it could not start.
_NOT_STARTED = (125, 126, 127)


def become_sidecar(phase: Phase) -> dict[str, Any]:
    """Let the sidecar do this process's work: in its place, or in a container that it waits for. Comes back only by raising
    PhaseError where it cannot be started."""
    work_folder.claim(phase.run)
    if phase.spec.environment.kind == CONTAINER:
        kind, argv = "container", _container_argv(phase)
    else:
        kind, argv = _namespace_argv()
    phase.say(f"Starting the sidecar {_KINDS[kind]}; preparation and release take place in it.")
    host = PhaseLog(str(phase.run_dir), names.execution_log(phase.run["node_id"]))
    host.say(f"Starting the sidecar {_KINDS[kind]}; its logs lie in {names.sidecar_log(phase.run['node_id'], '*')}.")
    os.environ[_VARIABLE] = kind
    try:
        if kind == "container":
            _wait_for_container(phase, argv)
        os.execvp(argv[0], argv)  # noqa: S606
    except OSError as error:
        raise PhaseError(f"the sidecar cannot be started: {argv[0]}: {error.strerror}") from error


def _wait_for_container(phase: Phase, argv: list[str]) -> NoReturn:
    """Never returns; PhaseError where podman does not get so far as to start what writes the phase's result itself."""
    said = phase.log_end()
    podman = subprocess.Popen(argv, stdin=subprocess.DEVNULL)

    def pass_on(number: int, frame: FrameType | None) -> None:
        del frame
        podman.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    code = podman.wait()
    if code in _NOT_STARTED and not (phase.run_dir / names.phase_dir(phase.name) / "result.json").exists():
        raise PhaseError(f"podman cannot start the sidecar: {telling(since(said)) or f'its exit code is {code}'}")
    os._exit(code if code >= 0 else 128 - code)


def _phase_argv() -> list[str]:
    """What this process was started with."""
    return [sys.executable, *sys.orig_argv[1:]]


def _namespace_argv() -> tuple[str, list[str]]:
    """(kind, command line)."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise PhaseError("the sidecar cannot be started: it needs unshare (util-linux) on this node")
    flags = ["--pid", "--ipc", "--uts", "--fork", "--kill-child=SIGKILL"]
    if os.geteuid() != 0:
        flags += ["--user", "--map-current-user"]
    if subprocess.run([unshare, *flags, "true"], capture_output=True, check=False).returncode:
        return "process", _phase_argv()
    return "namespace", [unshare, *flags, *_phase_argv()]


def _container_argv(phase: Phase) -> list[str]:
    name = container.name_of(phase.run, container.SIDECAR)
    container.remove([name], 0, mark=phase.run["mark"])
    root = phase.run_dir / ROOT_DIR
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=names.DIR_MODE, parents=True)
    flags = [container.volume_flag(asdict(volume)) for volume in volumes(phase, root)]
    flags += [f"--env={name}" for name in ("PATH", "HOME", "LANG", "RUNYARD_RUN_MARK", "RUNYARD_PHASE", _VARIABLE)]
    words = ["--rm", "--log-driver=passthrough", f"--name={name}", "--network=host", "--pid=host"]
    words += ["--security-opt=label=disable", container.label_flag(phase.run)]
    argv = [container.PODMAN, "--log-level=error", "run", *words, *flags]
    return [*argv, "--rootfs", str(root.resolve()), *_phase_argv()]


class Sidecar:
    """The sidecar's side of the logs, in the process that lives in it."""

    def __init__(self, phase: Phase) -> None:
        self._phase = phase
        self._node_id = phase.run["node_id"]

    def begin_preparation(self, managers: list[str]) -> None:
        """Write start_cms.txt; from then on what this process prints goes to prep_cmd.txt, and from there into 65."""
        phase = self._phase
        phase.log_to(self._log("start_cms"))
        where = f"on {socket.gethostname()}; its process id, as it sees it, is {os.getpid()}"
        phase.say(f"The sidecar runs {_KINDS[os.environ[_VARIABLE]]}, {where}.")
        phase.say(f"Python {platform.python_version()}, {sys.executable}; the run is {phase.run['run_id']}.")
        phase.say(f"Context managers of this run: {', '.join(managers) or 'none'}.")
        phase.say("The process that enters and leaves them is ready.")
        self._tee("prep_cmd", names.preparation_log(self._node_id))

    def begin_release(self) -> None:
        """From now on what this process prints goes to release_cmd.txt, and from there into 75."""
        self._tee("release_cmd", names.release_log(self._node_id))
        self._phase.say("Leaving the context managers in the sidecar.")

    def stand_in(self) -> None:
        """The same in release's own process, on the node: the sidecar is gone, and some of its work may be left."""
        is_new = not (self._phase.run_dir / self._log("release_cmd")).exists()
        self._tee("release_cmd", names.release_log(self._node_id))
        if is_new:
            self._phase.say("The sidecar is gone (was it killed?): release leaves the context managers itself, outside of it.")

    @property
    def has_lived(self) -> bool:
        """Whether there was one that got as far as to prepare."""
        return (self._phase.run_dir / self._log("prep_cmd")).exists()

    def end_release(self) -> None:
        """All that was printed is in 75."""
        self._phase.say("The sidecar ends.")
        self.end_copy()

    def end_copy(self) -> None:
        """All that was printed so far is where it is copied to; nothing is copied any more."""
        if self._phase.copy is not None:
            self._phase.copy.close()
            self._phase.copy = None

    def _log(self, name: str) -> str:
        return names.sidecar_log(self._node_id, name)

    def _tee(self, name: str, into: str) -> None:
        phase = self._phase
        self.end_copy()
        phase.log_to(self._log(name))
        phase.told_in = into
        mark = phase.run_dir / names.PRIVATE_DIR / "sidecar" / f"{name}.json"
        mark.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        phase.copy = Copy(phase.run_dir / self._log(name), phase.run_dir / into, mark)
