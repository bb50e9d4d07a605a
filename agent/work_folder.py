"""A run's work folder: made once for a run, by whichever of its nodes comes first, and removed only where it is that run's.

It may lie in a folder of the user's (`environment.work_dir`), where something of that name may have been before. Reads and
writes `<work folder>/.owner`. Standard library only.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

from runyard.atomic import write_bytes
from runyard.errors import PhaseError
from runyard.names import DIR_MODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OWNER_FILE = ".owner"


def claim(run: dict[str, Any]) -> None:
    """Make it, or find it made by this run, maybe on another node. Raises PhaseError where something else is there.

    `run` is its run.json. What a kill leaves in the middle is a folder beside it, with which the next call goes on.
    """
    work = Path(run["work_dir"])
    if not os.path.lexists(work):
        fresh = _fresh(run)
        work.parent.mkdir(mode=DIR_MODE, parents=True, exist_ok=True)
        fresh.mkdir(mode=DIR_MODE, exist_ok=True)
        write_bytes(str(fresh / OWNER_FILE), owner_of(run).encode(), durable=False)
        _put(fresh, work)
    if not is_ours(run):
        raise PhaseError(
            f"the work folder {work} was there before this run and is not its own: choose another run id or another"
            " environment.work_dir, or move that folder away"
        )


def is_ours(run: dict[str, Any]) -> bool:
    """Whether the run's work folder is there and was made for this very run."""
    try:
        return Path(run["work_dir"], OWNER_FILE).read_text() == owner_of(run)
    except (OSError, UnicodeDecodeError):
        return False


def remove(run: dict[str, Any]) -> bool:
    """Remove it, where it is this run's; whether all of it is gone. The owner's file goes last: a kill leaves the rest ours."""
    shutil.rmtree(_fresh(run), ignore_errors=True)
    if not is_ours(run):
        return True
    work = Path(run["work_dir"])
    for path in list(work.iterdir()):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != OWNER_FILE:
            with suppress(OSError):  # told by what is left
                path.unlink()
    if [path.name for path in work.iterdir()] == [OWNER_FILE]:
        shutil.rmtree(work, ignore_errors=True)
    return not work.exists()


def owner_of(run: dict[str, Any]) -> str:
    """What the owner's file holds: the same on all nodes of a run, and in no other run. The run's key is not told by it."""
    return hashlib.sha256(f"work folder of {run['key']}".encode()).hexdigest()[:32]


def _fresh(run: dict[str, Any]) -> Path:
    work = Path(run["work_dir"])
    return work.parent / f".{work.name}.{owner_of(run)}.{run['node_id']}"


def _put(fresh: Path, work: Path) -> None:
    try:
        fresh.rename(work)
    except OSError as error:  # another node, or another run, was first
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        shutil.rmtree(fresh, ignore_errors=True)
