"""Giving a file's bytes back to the disk while others go on writing to it: the range reads as NULs afterwards.

Reads from and writes to the descriptor that it is given. Standard library only, cheap to import: the shepherd uses it, too.
"""

from __future__ import annotations

import errno
import os

# From linux/falloc.h: the size stays, so offsets behind the hole keep their meaning.
_KEEP_SIZE = 0x01
_PUNCH_HOLE = 0x02

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV)

# A hole is made of whole blocks; parts of a block are only zeroed and free nothing.
BLOCK_BYTES = 4096


def punch_hole(fd: int, start: int, length: int) -> bool:
    """Free [start, start + length) of a file that is open for writing; False where its file system cannot.

    Raises OSError for any other failure. Blocks for the file system's own bookkeeping only.
    """
    import ctypes  # 5 ms, and most runs never get here

    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    while fallocate(fd, _PUNCH_HOLE | _KEEP_SIZE, start, length) != 0:
        code = ctypes.get_errno()
        if code in _UNSUPPORTED:
            return False
        if code != errno.EINTR:
            raise OSError(code, os.strerror(code))
    return True
