"""`scratch`: a folder of the run's own for what need not outlive it. Removed in release, whatever is in it.

Writes only below the folder that it makes; reads /proc/self/mountinfo: what the driver has mounted there is taken off first.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from runyard.agent.mounts import mounted_below, unmount
from runyard.context import ContextManager, Job, Volume
from runyard.errors import InputError, PhaseError

VARIABLE = "RUNYARD_SCRATCH_DIR"


class Scratch(ContextManager):
    """`root`: the folder below which it is made, a fast local disk for instance; default: the run's work folder."""

    def __init__(self, job: Job, *, root: str = "") -> None:
        super().__init__(job)
        if root and not Path(root).is_absolute():
            raise InputError(f"scratch: root {root!r} is no absolute path")
        self._root = Path(root) if root else job.work_dir
        self._is_apart = bool(root)
        # Nobody else has this name, and the ledger knows it before the folder is made.
        self.state["path"] = str(self._root / f"runyard-{job.run_id}-{secrets.token_hex(4)}")

    def __enter__(self) -> Scratch:
        path = Path(self.state["path"])
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            raise PhaseError(f"the scratch folder {path} is there already, and is somebody else's") from None
        except OSError as error:
            raise PhaseError(f"no scratch folder can be made in {self._root}: {error.strerror}") from None
        self.job.env[VARIABLE] = str(path)
        if self._is_apart:
            self.job.volumes.append(Volume(str(path), str(path)))
        self.job.say(f"The scratch folder is {path}.")
        return self

    def __exit__(self, *raised: object) -> None:
        given = self.state.get("path")
        if not given or not os.path.lexists(given):
            return
        path = Path(given)
        for place in mounted_below(path):
            self.job.say(f"Taking off the mount {place}.")
        troubles = unmount(path)
        if mounted_below(path):  # what is mounted there is the user's, and is not to be removed with the folder
            why = "; ".join(troubles) or "something is still mounted in it"
            raise PhaseError(f"the scratch folder {path} is not removed: {why}")
        size_bytes = sum(_sizes(path))
        shutil.rmtree(path, ignore_errors=True)
        if path.exists():
            raise PhaseError(f"the scratch folder {path} cannot be removed whole")
        self.job.say(f"The scratch folder {path} is removed ({size_bytes} bytes).")


def _sizes(folder: Path) -> list[int]:
    sizes = []
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                sizes.append(os.lstat(os.path.join(parent, name)).st_size)  # noqa: PTH118
            except OSError:  # it is going away by itself
                continue
    return sizes
