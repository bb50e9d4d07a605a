"""A driver in a container: how it is started, what podman knows of it, and removing it.

Runs podman; the container's stdout and stderr are the very descriptors that are handed over (log driver passthrough), so that
nothing stands between it and its log. What survives a kill -9 of everything of ours: the container, its log, and its exit code,
which podman keeps until the container is removed. Standard library only.

The driver's variables reach the container in a file that is its owner's alone, there only until the container has started:
neither on podman's command line, which everybody on the node can read, nor in podman's own environment, which is ours and
would be changed by a PATH or LD_PRELOAD that is meant for the driver.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time

from runyard.atomic import write_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PODMAN = "podman"
SIDECAR = "-sidecar"
# Each container of a run has it, with the run's mark as its value.
LABEL = "runyard.mark"
# Beside the pid file: the driver's variables, until its container has started.
VARIABLES_FILE = "container.env"
# Where podman looks for the process that reaps and passes signals on within a container.
_INITS = ("/usr/libexec/podman/catatonit", "/usr/local/libexec/podman/catatonit", "/usr/bin/catatonit")
_ENV_FILE = "--env-file="
# podman reads its file of variables line by line, and no line of 64 KiB.
_MOST_LINE_BYTES = 60_000
# What podman, its helpers, the Go runtime and the C library read themselves.
_OBEYED = (
    *("PATH", "HOME", "USER", "LANG", "LC_", "TERM", "TMPDIR", "TZ", "LD_", "GO", "GCONV_", "GLIBC_", "MALLOC_", "LOCPATH"),
    *("CONTAINER", "PODMAN", "LIBPOD", "BUILDAH", "DOCKER", "NETAVARK", "STORAGE_", "REGISTRY_", "XDG_", "DBUS_", "SSL_"),
    *("NOTIFY_", "LISTEN_", "SYSTEMD_", "INVOCATION_", "_"),
)
# From a process's end until podman has written its exit code down.
SETTLE_S = 20.0
_LOOK_S = 0.05


class ContainerError(Exception):
    """What podman said when it could not start the container."""


def name_of(run: dict[str, Any], part: str = "") -> str:
    """The name of the run's container, or of its sidecar; `run` is its run.json. No other run on the node has it."""
    return f"runyard-{run['run_id']}-{run['mark'][:8]}{part}"


def driver_name(run: dict[str, Any], rank: int) -> str:
    """The name of the container of one of the run's drivers: with the rank, where the run has several."""
    return name_of(run, "" if run["world_size"] == 1 else f"-{rank}")


def label_flag(run: dict[str, Any]) -> str:
    """What tells later that a container is this run's; `run` is its run.json."""
    return f"--label={LABEL}={run['mark']}"


def run_argv(argv: list[str], env: dict[str, str], cwd: str, wanted: dict[str, Any]) -> list[str]:
    """podman's command line; writes the variables' file, which `start` removes. An empty `cwd`: where the image says.

    `wanted`: {"name","image","flags","volumes","pid_file"}. Raises ContainerError for a variable that cannot be handed over.
    """
    flags = ["--detach", "--log-driver=passthrough", f"--name={wanted['name']}", f"--pidfile={wanted['pid_file']}"]
    flags += ["--pull=never", "--network=host"]
    flags += ["--ipc=private", "--security-opt=label=disable", "--pids-limit=-1"]
    # The run's folders are their owner's alone. Root in there is that owner: root itself, or whoever's podman is rootless.
    flags.append("--user=0:0")
    if cwd:
        flags.append(f"--workdir={cwd}")
    if any(os.access(path, os.X_OK) for path in _INITS):
        flags.append("--init")
    variables = os.path.join(os.path.dirname(wanted["pid_file"]), VARIABLES_FILE)
    _write_variables(variables, env)
    flags += [f"{_ENV_FILE}{variables}", *(f"--env={name}" for name in _named(env))]
    flags += [volume_flag(volume) for volume in wanted["volumes"]]
    flags += [*wanted["flags"], "--entrypoint="]
    return [PODMAN, "--log-level=error", "run", *flags, wanted["image"], *argv]


def _write_variables(path: str, env: dict[str, str]) -> None:
    lines = [f"{name}={value}\n" for name, value in env.items() if not _is_long(value)]
    write_bytes(path, os.fsencode("".join(lines)), durable=False)


def _is_long(value: str) -> bool:
    """Whether podman's file of variables cannot hold the value."""
    return "\n" in value or "\r" in value or len(os.fsencode(value)) > _MOST_LINE_BYTES


def _named(env: dict[str, str]) -> dict[str, str]:
    """The variables that have to go through podman's own environment. Raises ContainerError for one that podman would obey."""
    found = {name: value for name, value in env.items() if _is_long(value)}
    for name in found:
        if name.startswith(_OBEYED) or name.upper().endswith("_PROXY"):
            raise ContainerError(
                f"the variable {name} cannot be given to the container: its value has several lines (or more than"
                f" {_MOST_LINE_BYTES} bytes), and podman itself would obey a variable of that name; give it in one line"
            )
    return found


def volume_flag(volume: dict[str, Any]) -> str:
    """A volume as podman takes it."""
    return f"--volume={volume['source']}:{volume['target']}:{'ro' if volume.get('read_only') else 'rw'}"


def start(argv: list[str], env: dict[str, str], out: int, err: int) -> None:
    """Start what `run_argv` says, detached, with `out` and `err` as its own. Raises ContainerError; blocks as podman does."""
    try:
        environ = dict(os.environ) | _named(env)
        process = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        code = process.wait()
    finally:
        remove_variables(next(word for word in argv if word.startswith(_ENV_FILE)).removeprefix(_ENV_FILE))
    if code:
        raise ContainerError(f"podman could not start the container (its exit code is {code}); its words are in the log")


def remove_variables(path: str) -> None:
    """Remove the variables' file where it is there, and what a killed capture has left half written beside it."""
    folder, name = os.path.split(path)
    for found in os.listdir(folder):
        if found.startswith(name):
            os.unlink(os.path.join(folder, found))


def pid(path: str) -> int:
    """The process id, on this node, of the container's first process, from the file that podman wrote; 0: none is known."""
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def state(name: str) -> dict[str, Any] | None:
    """{"Status","Pid","ExitCode","OOMKilled",…}; None where there is no such container."""
    found = _inspected(name)
    return None if found is None else found["State"]


def is_ours(name: str, mark: str) -> bool:
    """Whether there is a container of that name and it was made for the run of that mark."""
    return _label_of(_inspected(name)) == mark


def _inspected(name: str) -> dict[str, Any] | None:
    done = subprocess.run([PODMAN, "container", "inspect", name], capture_output=True, check=False)
    if done.returncode:
        return None
    try:
        found: dict[str, Any] = json.loads(done.stdout)[0]
    except (ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found.get("State"), dict) else None


def _label_of(inspected: dict[str, Any] | None) -> str:
    return str((((inspected or {}).get("Config") or {}).get("Labels") or {}).get(LABEL, ""))


def final_state(name: str) -> dict[str, Any] | None:
    """Its state once it has ended; None where podman does not know it or its end."""
    deadline_s = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline_s:
        found = state(name)
        if found is None or found["Status"] in ("exited", "stopped"):
            return found
        time.sleep(_LOOK_S)
    return None


def remove(names: list[str], grace_s: float, *, mark: str = "") -> list[str]:
    """Remove those of the containers that are there, running or not; which they were.

    Only those of the run of that mark; without one, of any run. What else has such a name is somebody's own, and stays.
    """
    if shutil.which(PODMAN) is None:
        return []
    labels = {name: _label_of(_inspected(name)) for name in names}
    there = [name for name, label in labels.items() if label and label == (mark or label)]
    for name in there:
        words = ["rm", "--force", "--ignore", f"--time={int(grace_s)}", name]
        done = subprocess.run([PODMAN, *words], capture_output=True, check=False)
        if done.returncode and state(name) is not None:
            raise OSError(f"the container {name} cannot be removed: {done.stderr.decode(errors='replace').strip()}")
    return there
