"""Room on the disk that a run keeps for its own last words: a full disk must not keep a run from ending and freeing it.

Writes .runyard/reserve when the run is made; whoever of ours cannot write gives it up. Standard library only.
"""

from __future__ import annotations

import errno
import os

from runyard import names

# Room for states, results and exit codes: a block each.
RESERVE_BYTES = 256 << 10
_FULL = (errno.ENOSPC, errno.EDQUOT)


def make(run_dir: str) -> None:
    """Take the room. Raises OSError."""
    descriptor = os.open(
        os.path.join(run_dir, names.RESERVE_FILE), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, names.FILE_MODE
    )
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    finally:
        os.close(descriptor)


def give_up(run_dir: str, error: OSError) -> bool:
    """Where `error` tells of a full disk: give the room up; whether there was any, so that it is worth trying again now."""
    if error.errno not in _FULL:
        return False
    try:
        os.unlink(os.path.join(run_dir, names.RESERVE_FILE))
    except OSError:
        return False
    return True
