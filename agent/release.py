"""The release phase: what preparation took is given back, and the logs are waited for until they are shipped. It always runs.

Reads .runyard/drain.json, in which the shipper says how far it is; writes the 75 log, its system log and, for the process that
still holds what was prepared, .runyard/phase/release/request.json. Standard library only.
"""

from __future__ import annotations

import os
import time

from runyard import names
from runyard.atomic import read_json, write_json

from .journal import PhaseLog, SystemLog
from .local_run import LocalRun

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any

    from .stage import Stage
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

# A collector that has taken nothing all the time will hardly begin now.
SHORT_PATIENCE_S = 1.0
# On a node that has much else to do the shipper's first word may take a while.
SILENCE_S = 5.0
# Logs that take longer are shipped after the run has ended on its node; limits.release, where the run has one, goes before.
DRAIN_LIMIT_S = 600.0
# For what is freed after the context managers: containers, mounts, folders.
CLEANUP_LIMIT_S = 120.0


class Release:
    """The stage of the release; `result` is None until it is over."""

    phase = "release"

    def __init__(self, local: LocalRun, state: dict[str, Any]) -> None:
        self.result: dict[str, Any] | None = None
        self._local = local
        self._outcome = state.get("driver") or {}
        self._log = PhaseLog(local.run_dir, names.release_log(local.node_id))
        self._system_log = SystemLog(local.path(names.RELEASE_SYSTEM_LOG), "runyard.release")
        self._begun_s = time.monotonic()
        self._is_begun = self._is_freed = self._is_hastened = False
        self._holder: Stage | None = None
        self._free_stage: Stage | None = None
        if local.spec:
            from .stage import Stage

            self._free_stage = Stage(local, "release", names.release_log(local.node_id))
            if local.is_prepared:
                self._holder = Stage(local, "preparation", names.preparation_log(local.node_id))
        self._given_up: dict[str, Any] | None = None  # what release's own process has come to, where another one had to go on
        self._moved_s = self._freed_s = 0.0
        self._told: dict[str, Any] = {}

    def step(self) -> None:
        """Look at where it stands and do what comes next."""
        if not self._is_begun:
            self._begin()
        if not self._is_freed:
            self._free()
        if self._is_freed:
            self._drain()

    def reaped(self, pid: int) -> bool:
        """Whether `pid`, which has ended, was a process of this phase."""
        return self._free_stage is not None and self._free_stage.reaped(pid)

    def ask_stop(self, number: int) -> None:
        """Release is not stopped; who asks twice is not kept waiting for the shipping."""
        self._is_hastened = self._is_hastened or number == signal.SIGKILL

    def kill(self) -> None:
        """Release is not stopped."""

    def _begin(self) -> None:
        outcome = self._outcome
        how = (
            f"the driver has ended: {outcome['status']}, exit code {outcome['exit_code']}"
            if outcome
            else "no driver was started"
        )
        self._log.say(f"Starting job release on node {self._local.node_id}; {how}.")
        self._system_log.info("release starts", run_id=self._local.run["run_id"], node_id=self._local.node_id)
        if self._free_stage is not None:
            write_json(self._local.path(names.RELEASE_REQUEST), {"outcome": outcome}, durable=False)
        self._is_begun = True

    def _free(self) -> None:
        if self._free_stage is None:
            self._log.say("Preparation took nothing on this node: there is nothing to give back.")
            self._is_freed = True
        elif self._holder is not None and self._holder.is_alive:
            self._end_late_holder(self._holder)
        else:
            self._free_stage.step()
            self._is_freed = self._free_stage.result is not None and not self._goes_on(self._free_stage)
        if self._is_freed:
            self._moved_s = self._freed_s = time.monotonic()
            self._forget_drain()

    def _end_late_holder(self, holder: Stage) -> None:
        limit_s = self._local.limit_s("release")
        if limit_s and time.monotonic() > self._begun_s + limit_s:
            self._system_log.error("the context managers were not left in time; their process is killed", limit_s=limit_s)
            holder.kill()

    def _goes_on(self, stage: Stage) -> bool:
        """Where leaving the context managers took too long, or its process died over it, the rest is freed without them."""
        result = stage.result or {}
        if stage.phase != "release" or not result.get("is_given_up"):
            return False
        from .stage import Stage

        self._given_up = result
        self._log.say(f"Going on without the context managers that are left: {result['cause']}.")
        self._free_stage = Stage(self._local, "cleanup", names.release_log(self._local.node_id), limit_s=CLEANUP_LIMIT_S)
        return True

    def _forget_drain(self) -> None:
        # What was shipped before this moment is not all that there is to ship.
        if os.path.exists(self._local.path(names.DRAIN_FILE)):
            os.unlink(self._local.path(names.DRAIN_FILE))

    def _drain(self) -> None:
        why = self._why_not_waiting()
        if why is None:
            return
        self._log.say(why)
        freed = self._free_stage.result if self._free_stage is not None else None
        self.result = self._given_up or freed or {"result": "done"}
        is_free = self.result["result"] == "done"
        self._log.say(f"Job release is complete{'; the node is free' if is_free else ', but not all was given back'}.")
        self._system_log.info("release is complete", result=self.result["result"])

    def _why_not_waiting(self) -> str | None:
        """What is to be said of the shipping, once there is nothing more to wait for."""
        url, run_dir = self._local.run["collector_url"], self._local.run_dir
        if not url:
            return f"No collector is configured: the logs stay in {run_dir}."
        told = read_json(self._local.path(names.DRAIN_FILE)) or {}
        if told.get("is_drained"):
            return f"The logs are shipped: {told['durable_bytes']} bytes are durable at {url}."
        if told.get("durable_bytes") != self._told.get("durable_bytes"):
            self._moved_s = time.monotonic()
        self._told = told
        patience_s = self._local.run["drain_s"]
        if not told.get("durable_bytes"):
            patience_s = min(patience_s, SHORT_PATIENCE_S if told else SILENCE_S)
        now_s, limit_s = time.monotonic(), self._local.limit_s("release") or DRAIN_LIMIT_S
        if not self._is_hastened and now_s < min(self._moved_s + patience_s, self._freed_s + limit_s):
            return None
        left = f"{told['unsent_bytes']} bytes are not shipped yet" if told else "nobody ships this run's logs now"
        trouble = f" ({told['trouble']})" if told.get("trouble") else ""
        return f"Not waited for any longer: {left}{trouble}; they stay in {run_dir} until they are sent."
