"""Phases in which there is nothing to do for a run: the shepherd says so itself, and no process is started for it.

Writes to the phase's log and system log. Standard library only.
"""

from __future__ import annotations

from runyard import names

from .journal import PhaseLog, SystemLog
from .local_run import LocalRun

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

    from .stage import Stage

RENDEZVOUS_PATIENCE_S = 60.0


class Inline:
    """A phase that is over as soon as it has been said that there is nothing to do."""

    def __init__(self, local: LocalRun, phase: str) -> None:
        self.phase = phase
        self.result: dict[str, Any] | None = None
        self._local = local

    def step(self) -> None:
        """Say it."""
        if self.phase == "execution":
            self._local.host.say("The driver runs in the environment of this host; there is no image to pull.")
        else:
            self._prepare()
        self.result = {"result": "done"}

    def _prepare(self) -> None:
        run = self._local.run
        log = PhaseLog(self._local.run_dir, names.preparation_log(self._local.node_id))
        log.say(f"Starting job preparation on node {self._local.node_id} ({run['node_ip']}).")
        how = "runs already" if run.get("attached") else "starts"
        log.say(f"Neither code nor datastores were asked for; the driver {how} in {run['cwd']}.")
        log.say("Job preparation is complete.")
        log.close()
        system_log = SystemLog(self._local.path(names.PREPARATION_SYSTEM_LOG), "runyard.preparation")
        system_log.info("nothing is to be prepared", run_id=run["run_id"], node_id=self._local.node_id)

    def reaped(self, pid: int) -> bool:
        """There is no process."""
        del pid
        return False

    def ask_stop(self, number: int) -> None:
        """It is over already."""

    def kill(self) -> None:
        """It is over already."""


def is_built(local: LocalRun) -> bool:
    """Whether the run's environment may have to be built."""
    environment = local.spec.get("environment") or {}
    return environment.get("kind") == "venv" or (environment.get("kind") == "container" and not environment.get("image"))


def takes_place(local: LocalRun, phase: str) -> bool:
    """Whether the run has this phase at all."""
    if phase == "rendezvous":
        return node_count(local) > 1
    return phase != "image" or is_built(local)


def node_count(local: LocalRun) -> int:
    """How many nodes the run has."""
    return int((local.run.get("distribution") or {}).get("node_count", 1))


def stage_of(local: LocalRun, phase: str) -> Inline | Stage:
    """The stage of a phase before the driver."""
    if not local.spec and phase != "rendezvous":
        return Inline(local, phase)
    from .stage import Stage

    host_log = names.execution_log(local.node_id)
    if phase == "rendezvous":  # its process keeps the time itself, and says who has not come; this is for one that hangs
        return Stage(local, phase, host_log, limit_s=float(local.run["distribution"]["rendezvous_s"]) + RENDEZVOUS_PATIENCE_S)
    if phase == "image":
        return Stage(local, phase, host_log)
    if phase == "execution":
        return Stage(local, phase, host_log) if local.is_container else Inline(local, phase)
    return Stage(local, phase, names.preparation_log(local.node_id)) if local.is_prepared else Inline(local, phase)
