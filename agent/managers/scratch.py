"""`scratch`: a folder of the run's own for what need not outlive it. Removed in release, whatever is in it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from runyard.context import ContextManager, Job, Volume
from runyard.errors import InputError

VARIABLE = "RUNYARD_SCRATCH_DIR"


class Scratch(ContextManager):
    """`root`: the folder below which it is made, a fast local disk for instance; default: the run's work folder."""

    def __init__(self, job: Job, *, root: str = "") -> None:
        super().__init__(job)
        if root and not Path(root).is_absolute():
            raise InputError(f"scratch: root {root!r} is no absolute path")
        self._path = Path(root, f"runyard-{job.run_id}") if root else job.work_dir / "scratch"
        self._is_apart = bool(root)

    def __enter__(self) -> Scratch:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state["path"] = str(self._path)
        self.job.env[VARIABLE] = str(self._path)
        if self._is_apart:
            self.job.volumes.append(Volume(str(self._path), str(self._path)))
        self.job.say(f"The scratch folder is {self._path}.")
        return self

    def __exit__(self, *raised: object) -> None:
        size_bytes = sum(_sizes(self._path))
        shutil.rmtree(self._path, ignore_errors=True)
        if self._path.exists():
            raise OSError(f"the scratch folder {self._path} cannot be removed whole")
        self.job.say(f"The scratch folder {self._path} is removed ({size_bytes} bytes).")


def _sizes(folder: Path) -> list[int]:
    sizes = []
    for parent, _, files in os.walk(folder):
        for name in files:
            try:
                sizes.append(os.lstat(os.path.join(parent, name)).st_size)  # noqa: PTH118
            except OSError:  # it is going away by itself
                continue
    return sizes
