"""Making a whole file system durable with one system call, where that is as good as syncing each file.

Calls syncfs(2) on the folder of the store. Thousands of files with a few new bytes each would otherwise be thousands of calls
and thousands of commits of the file system's journal. Only where an error of the disk is told: Linux 5.8 and later, and a file
system of its own device (not an overlay or one of a network, whose errors come another way).
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

_LEAST_KERNEL = (5, 8)
_TELLING = frozenset({"ext4", "xfs"})


class FileSystem:
    """The file system of a folder."""

    def __init__(self, folder: str) -> None:
        self._call = ctypes.CDLL(None, use_errno=True).syncfs if _tells_errors(folder) else None
        # Open as long as we write: one that is opened later is not told of an error that somebody else's sync has met before.
        self._descriptor = -1
        if self._call is not None:
            try:
                self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                self._call = None

    def sync(self) -> bool:
        """Make durable what was written before the call. False where it cannot be had so, or the disk refused something:
        then each file has to be asked. Blocks."""
        if self._call is None:
            return False
        while self._call(self._descriptor) != 0:
            if ctypes.get_errno() != errno.EINTR:
                return False
        return True

    def close(self) -> None:
        """Nothing is synced any more."""
        self._call = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _tells_errors(folder: str) -> bool:
    release = os.uname().release.split("-")[0].split(".")
    try:
        if tuple(int(number) for number in release[:2]) < _LEAST_KERNEL:
            return False
        device = Path(folder).stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == number:
            return kind.split()[0] in _TELLING
    return False
