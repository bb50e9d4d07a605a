"""The folder of the node's runs: made at the agent's start, passable for users whose runs lie in it, watched for trouble."""

from __future__ import annotations

import os
from pathlib import Path

from runyard import names
from runyard.errors import InputError
from runyard.settings import Agent

# Enough for a run's first files; below it, no run would get as far as saying why it failed.
LEAST_FREE_BYTES = 16 << 20


def prepare(spool_dir: Path, settings: Agent) -> None:
    """Make it. Raises InputError where it cannot be used."""
    try:
        spool_dir.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        if os.geteuid() == 0 and (settings.user or settings.users):
            # Runs of other users lie in it, each in a folder that only its user may read.
            spool_dir.chmod(names.DIR_MODE | 0o011)
    except FileExistsError:
        raise InputError(f"the spool {spool_dir} is a file; spool.dir has to name a folder") from None
    except OSError as error:
        raise InputError(f"the spool {spool_dir} cannot be made: {error.strerror}") from error


def why_unusable(spool_dir: Path) -> str:
    """Why no run can take place in it, as a sentence; empty where one can."""
    try:
        found = os.statvfs(spool_dir)
    except OSError as error:
        return f"the spool {spool_dir} cannot be reached: {error.strerror}"
    if found.f_flag & os.ST_RDONLY:
        return f"the spool {spool_dir} is on a file system that is read-only"
    if found.f_bavail * found.f_frsize < LEAST_FREE_BYTES:
        return f"the disk of the spool {spool_dir} is full"
    if found.f_files and not found.f_favail:
        return f"the disk of the spool {spool_dir} has no inodes left"
    return ""
