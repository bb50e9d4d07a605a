"""`datastore_mount`: a local folder, mounted read-only where the driver looks for its data. Taken off in release.

In front of a host's driver it is a bind mount, which needs root; a container gets it as a volume. Reads /proc/self/mountinfo.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from runyard.agent.mounts import mounted_below, unmount
from runyard.context import ContextManager, Job, Volume
from runyard.errors import PhaseError


class DatastoreMount(ContextManager):
    """`source`: an absolute path on the node; `path`: below the run's data folder; `variable`: tells the driver where it is."""

    def __init__(self, job: Job, *, name: str, source: str, path: str, variable: str) -> None:
        super().__init__(job)
        self._name = name
        self._source = source
        self._target = job.data_dir / path
        self._variable = variable

    def __enter__(self) -> DatastoreMount:
        self.job.env[self._variable] = str(self._target)
        if self.job.is_container:
            self.job.volumes.append(Volume(self._source, str(self._target), read_only=True))
            self.job.say(f"The datastore {self._name} ({self._source}) is given to the container at {self._target}, read-only.")
            return self
        self._target.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state["target"] = str(self._target)
        self._mount("--bind", self._source, str(self._target))
        self._mount("-o", "remount,bind,ro", str(self._target))
        self.job.say(f"The datastore {self._name} ({self._source}) is mounted at {self._target}, read-only.")
        return self

    def __exit__(self, *raised: object) -> None:
        if self.job.is_container or not mounted_below(self._target):
            return
        troubles = unmount(self._target)
        if troubles:
            raise PhaseError("; ".join(troubles))
        self.job.say(f"The datastore {self._name} is taken off {self._target}.")

    def _mount(self, *words: str) -> None:
        done = subprocess.run(["mount", *words], capture_output=True, check=False)
        if done.returncode == 0:
            return
        unmount(self._target)
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        why = f'; {Path(self._source)} has to exist, and mounting needs root (or use mode = "download", or a container)'
        raise PhaseError(f"the datastore {self._name} cannot be mounted: {said}{why}")
