"""A driver in a container: how it is started, what podman knows of it, and removing it.

Runs podman; the container's stdout and stderr are the very descriptors that are handed over (log driver passthrough), so that
nothing stands between it and its log. What survives a kill -9 of everything of ours: the container, its log, and its exit code,
which podman keeps until the container is removed. Standard library only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PODMAN = "podman"
SIDECAR = "-sidecar"
# Where podman looks for the process that reaps and passes signals on within a container.
_INITS = ("/usr/libexec/podman/catatonit", "/usr/local/libexec/podman/catatonit", "/usr/bin/catatonit")
# From a process's end until podman has written its exit code down.
SETTLE_S = 20.0
_LOOK_S = 0.05


class ContainerError(Exception):
    """What podman said when it could not start the container."""


def name_of(run: dict[str, Any], part: str = "") -> str:
    """The name of the run's container, or of its sidecar; `run` is its run.json. No other run on the node has it."""
    return f"runyard-{run['run_id']}-{run['mark'][:8]}{part}"


def run_argv(argv: list[str], env: dict[str, str], cwd: str, wanted: dict[str, Any]) -> list[str]:
    """podman's command line. Values of variables are not on it: podman takes them from its own environment."""
    flags = ["--detach", "--log-driver=passthrough", f"--name={wanted['name']}", f"--pidfile={wanted['pid_file']}"]
    flags += ["--pull=never", "--network=host"]
    flags += ["--ipc=private", "--security-opt=label=disable", "--pids-limit=-1", f"--workdir={cwd}"]
    if any(os.access(path, os.X_OK) for path in _INITS):
        flags.append("--init")
    # Values stay off the command line; those that podman itself would be led astray by (a PATH of the image's) are no secrets.
    flags += [f"--env={name}={value}" if name in os.environ else f"--env={name}" for name, value in env.items()]
    flags += [volume_flag(volume) for volume in wanted["volumes"]]
    flags += [*wanted["flags"], "--entrypoint="]
    return [PODMAN, "--log-level=error", "run", *flags, wanted["image"], *argv]


def volume_flag(volume: dict[str, Any]) -> str:
    """A volume as podman takes it."""
    return f"--volume={volume['source']}:{volume['target']}:{'ro' if volume.get('read_only') else 'rw'}"


def start(argv: list[str], env: dict[str, str], out: int, err: int) -> None:
    """Start it detached, with `out` and `err` as its own. Raises ContainerError; blocks for about as long as podman takes."""
    process = subprocess.Popen(argv, env=env | dict(os.environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    code = process.wait()
    if code:
        raise ContainerError(f"podman could not start the container (its exit code is {code}); its words are in the log")


def pid(path: str) -> int:
    """The process id, on this node, of the container's first process, from the file that podman wrote; 0: none is known."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def state(name: str) -> dict[str, Any] | None:
    """{"Status","Pid","ExitCode","OOMKilled",…}; None where there is no such container."""
    done = subprocess.run([PODMAN, "container", "inspect", name], capture_output=True, check=False)
    if done.returncode:
        return None
    try:
        found: dict[str, Any] = json.loads(done.stdout)[0]["State"]
    except (ValueError, LookupError, TypeError):
        return None
    return found


def final_state(name: str) -> dict[str, Any] | None:
    """Its state once it has ended; None where podman does not know it or its end."""
    deadline_s = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline_s:
        found = state(name)
        if found is None or found["Status"] in ("exited", "stopped"):
            return found
        time.sleep(_LOOK_S)
    return None


def remove(names: list[str], grace_s: float) -> list[str]:
    """Remove those of the containers that are there, running or not; which they were."""
    if shutil.which(PODMAN) is None:
        return []
    there = [name for name in names if state(name) is not None]
    for name in there:
        words = ["rm", "--force", "--ignore", f"--time={int(grace_s)}", name]
        done = subprocess.run([PODMAN, *words], capture_output=True, check=False)
        if done.returncode and state(name) is not None:
            raise OSError(f"the container {name} cannot be removed: {done.stderr.decode(errors='replace').strip()}")
    return there
