"""Acting for the owner of a run's folder: files that we make there are the owner's, and what the owner may not, we may not.

A run of another user belongs to that user: its shepherd and drivers have to read what we write, and nothing that they put
into the folder (a link, say) may lead a process of root anywhere else. Which files it may use is a matter of the thread, to
the kernel: the others go on as root meanwhile. Only where this process is root.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any


@contextmanager
def acting_for_owner(folder: Path) -> Iterator[None]:
    """Within the block this thread reads and writes files as the owner of `folder`. Raises OSError where it is gone."""
    if os.geteuid() != 0:
        yield
        return
    status = folder.lstat()
    with acting_as(status.st_uid, status.st_gid):
        yield


@contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """The same as a user of this machine, with no group but `gid`."""
    if uid == os.geteuid():
        yield
        return
    _become(uid, gid)
    try:
        yield
    finally:
        _become(0, 0)


def _become(uid: int, gid: int) -> None:
    libc = _libc()
    # Neither call tells of a failure; asked once more (-1 is nobody's), they answer with what holds.
    libc.setfsgid(gid)
    libc.setfsuid(uid)
    if libc.setfsuid(-1) != uid or libc.setfsgid(-1) != gid:
        raise PermissionError(1, f"files cannot be written for user {uid}")


@cache
def _libc() -> Any:
    import ctypes

    return ctypes.CDLL(None)
