"""A driver in a container, as its capture sees it: started or found, and how it has ended.

Reads from and writes to podman, by container.py; writes to the node's execution log. What survives a kill -9 of the capture:
the container, which the next one finds by its name. Standard library only; loaded for runs in containers alone.
"""

from __future__ import annotations

import os
import signal

from runyard.names import execution_log, process_dir

from . import container, proctree
from .journal import PhaseLog

TYPE_CHECKING = False  # as in capture.py
if TYPE_CHECKING:
    from typing import Any


class NotStarted(Exception):  # noqa: N818 - the name tells the state
    """Why the driver's container could not be started, for people."""


def start(run_dir: str, run: dict[str, Any], rank: int, launch: dict[str, Any], outs: tuple[int, int]) -> int:
    """Start the driver's container, or find that an earlier capture has; its first process's pid, 0 where it is not known.

    `outs` are the descriptors of its stdout and stderr. Blocks; raises NotStarted.
    """
    wanted = launch["container"] | {"pid_file": os.path.join(run_dir, process_dir(rank), "container.pid")}
    host = PhaseLog(run_dir, execution_log(run["node_id"]))
    host.say(f"The driver of rank {rank} runs in the container {wanted['name']}, image {wanted['image']}.")
    for volume in wanted["volumes"]:
        host.say(f"Mounted in it: {container.volume_flag(volume).partition('=')[2]}")
    # What an earlier capture has begun to start and did not live to see started is in the way.
    proctree.send(proctree.with_argument(f"--name={wanted['name']}"), signal.SIGKILL)
    state = container.state(wanted["name"])
    if state is not None and not container.is_ours(wanted["name"], run["mark"]):
        raise NotStarted(f"there is another container called {wanted['name']}, which is not this run's")
    if state is not None and state["Status"] in ("created", "configured", "initialized"):
        container.remove([wanted["name"]], 0)
        state = None
    try:
        if state is None:
            container.start(container.run_argv(launch["argv"], launch["env"], launch["cwd"], wanted), launch["env"], *outs)
    except (container.ContainerError, OSError) as error:
        raise NotStarted(str(error)) from error
    return container.pid(wanted["pid_file"]) or int((state or {}).get("Pid") or 0)


def end_of(name: str) -> dict[str, Any] | None:
    """How the driver in the container has ended, as write_exit in capture.py takes it; None: podman has lost it. Blocks."""
    state = container.final_state(name)
    if state is None:
        return None
    code = int(state["ExitCode"])
    return {
        "exit_code": code,
        "signal_number": code - 128 if 128 < code < 128 + signal.NSIG else None,
        "cause": "killed by the kernel: the container has used up its memory" if state.get("OOMKilled") else "",
    }
