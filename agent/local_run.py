"""One run on this node, as the shepherd and its stages share it: folder, description, logs, and what it was asked.

Reads run.json and stop.json; writes the 55 and 110 logs. Standard library only.
"""

from __future__ import annotations

import os

from runyard import names
from runyard.atomic import read_json

from . import proctree
from .journal import PhaseLog, SystemLog
from .stop import new_stop, read_stop, request_stop

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms


class LocalRun:
    """What every stage of a run works with."""

    def __init__(self, run_dir: str) -> None:
        self.run_dir = run_dir
        self.run: dict[str, Any] = read_json(os.path.join(run_dir, names.RUN_FILE))
        self.spec: dict[str, Any] = self.run.get("spec") or {}
        self.node_id: str = self.run["node_id"]
        self.log = SystemLog(self.path(names.SYSTEM_LOG), "runyard.shepherd")
        self.host = PhaseLog(run_dir, names.execution_log(self.node_id))
        self._asked: dict[str, Any] | None = None  # a stop that a full disk did not let us write down

    def path(self, name: str) -> str:
        """The run's file `name`."""
        return os.path.join(self.run_dir, name)

    def stop(self) -> dict[str, Any] | None:
        """What the run was asked, None where it was not asked to stop."""
        return read_stop(self.run_dir) or self._asked

    def ask_stop(self, number: int, reason: str, *, is_time_limit: bool = False, is_failure: bool = False) -> dict[str, Any]:
        """Ask it to stop, durably where the disk lets us; returns what is asked now."""
        grace_s, why = self.run["grace_s"], {"is_time_limit": is_time_limit, "is_failure": is_failure}
        try:
            return request_stop(self.run_dir, number, grace_s, reason, **why)
        except OSError:  # a full disk: asked for as long as we live
            self._asked = self._asked or new_stop(number, grace_s, reason, **why)
            return self._asked

    def limit_s(self, phase: str) -> float:
        """The time limit of a phase in seconds; 0: none."""
        return float((self.spec.get("limits") or {}).get(f"{phase}_s") or 0.0)

    def retries(self, phase: str) -> int:
        """How often a phase that failed is tried again."""
        return int((self.spec.get("retries") or {}).get(phase) or 0)

    @property
    def is_container(self) -> bool:
        """Whether the driver runs in a container."""
        return bool((self.spec.get("environment") or {}).get("kind") == "container")

    @property
    def is_prepared(self) -> bool:
        """Whether preparation has anything to do: code, data or context managers."""
        return any(self.spec.get(key) for key in ("code", "datastores", "context_managers", "sidecar"))

    def markers(self, phase: str) -> tuple[str, str]:
        """The environment by which processes of a phase are found, whoever has become their parent."""
        return proctree.marker(self.run), f"RUNYARD_PHASE={phase}"

    def kill_marked(self, phase: str) -> None:
        """SIGKILL to every process of a phase."""
        proctree.send(proctree.with_environment(*self.markers(phase)), signal.SIGKILL)
