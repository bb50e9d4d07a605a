"""`outputs` and `logs` beside the code: what people's scripts write there has to end in the run's own folders of these names.

Changes the run's code folder; writes to the run's folder. A kill in the middle leaves the rest where it is, for the next call.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runyard import names

PART_FILE = f"{names.PRIVATE_DIR}/outputs.part"


def link_kept(place: Path, kept: Path, say: Callable[[str], None]) -> None:
    """Make `place`, beside the code, a link to the run's folder `kept`. What the code has there is moved into that folder."""
    with suppress(FileExistsError):
        place.symlink_to(kept)
        return
    if place.is_dir() and not place.is_symlink():
        _Move(kept.parent / PART_FILE, say).into(kept, place)
        with suppress(FileNotFoundError):  # another node that shares the folder was faster
            shutil.rmtree(place)
        with suppress(FileExistsError):
            place.symlink_to(kept)
        say(f"The code brings a folder {place.name}: its content is now part of the run's own, and a link stands in its place.")
    elif not (place.is_symlink() and place.readlink() == kept):
        say(f"{place.name} in the code is no folder: what is written there is not kept; write to RUNYARD_OUTPUT_DIR instead.")


class _Move:
    """Moves files, each of which appears whole: `part` lies on the file system where they go, and nothing there is sent."""

    def __init__(self, part: Path, say: Callable[[str], None]) -> None:
        self._part = part
        self._say = say

    def into(self, folder: Path, place: Path) -> None:
        """All that `place` holds; where two have a name, what is in `folder` stays."""
        folder.mkdir(mode=names.DIR_MODE, exist_ok=True)
        for path in sorted(place.iterdir()):
            target = folder / path.name
            is_folder = path.is_dir() and not path.is_symlink()
            with suppress(FileNotFoundError):  # another node that shares the folder was faster
                if is_folder and (not os.path.lexists(target) or (target.is_dir() and not target.is_symlink())):
                    self.into(target, path)
                elif os.path.lexists(target):
                    self._say(f"{path} is left out: the run has something of that name already.")
                else:
                    self._move(path, target)

    def _move(self, path: Path, target: Path) -> None:
        if path.is_symlink():  # goes on to lead where it did, beside the code
            target.symlink_to(os.path.normpath(path.parent / path.readlink()))
            return
        try:
            path.rename(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.copy2(path, self._part)
            self._part.rename(target)
