"""Whether a disk is as good as full: builders often fail on it with words that do not say so."""

from __future__ import annotations

import shutil
from pathlib import Path

# With less than this left, a build that failed has most likely failed for it.
LITTLE_BYTES = 64 << 20


def shortage(*folders: Path) -> str:
    """The end of a sentence that names the first folder whose disk has next to nothing left; empty where there is none."""
    for folder in folders:
        try:
            free_bytes = shutil.disk_usage(folder).free
        except OSError:
            continue
        if free_bytes < LITTLE_BYTES:
            return f"; the disk that holds {folder} has only {free_bytes / 2**20:.1f} MiB left"
    return ""
