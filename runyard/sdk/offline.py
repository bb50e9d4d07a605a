"""The recorder of an offline run: what is recorded stays in memory, files in a folder here.

Writes to <current folder>/<run id>/, which is made with the first file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from . import saying
from .replay import Replay

BLOBS = ".blobs"


class OfflineRecorder:
    """Keeps records as what they come to; files lie under their names in `folder`, their bytes once in blobs_dir."""

    def __init__(self, run_id: str) -> None:
        self.folder = os.path.join(os.getcwd(), run_id)  # noqa: PTH109, PTH118
        self.replay = Replay()

    @property
    def blobs_dir(self) -> str:
        """Where files go by content; made when it is asked for."""
        folder = os.path.join(self.folder, BLOBS)  # noqa: PTH118
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        return folder

    def write(self, record: Sequence[object]) -> None:
        """Take one record; a file appears under its name."""
        self.replay.take(record)
        if record[0] == "a":
            self._show(str(record[1]), str(record[2]), str(record[3]))

    def settle(self, timeout_s: float) -> bool:
        """There is nothing to wait for."""
        return True

    def left(self) -> str:
        """Everything: it goes nowhere."""
        return f"what it has recorded stays here, files in {self.folder}"

    def _show(self, owner: str, name: str, sha256: str) -> None:
        place = os.path.join(self.folder, owner, name)  # noqa: PTH118
        try:
            os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120
            shutil.copyfile(os.path.join(self.folder, BLOBS, sha256), place)  # noqa: PTH118
        except OSError as error:
            saying.say(f"the file {name} cannot be put to {place}: {error.strerror}")
