"""Has the exit code of this process written into a file as it exits, for a shepherd that is not its parent and cannot wait.

Python tells nobody with which code it is about to exit; the C library does: what on_exit(3) has registered is called with the
code, when the interpreter is gone already. So what is registered is a function of the C library itself, fputc, on a stream that
is a mapped file. Writes the code twice, as two bytes, behind each other: two that differ are none. A process that is killed, or
leaves by _exit, writes nothing. Only where the C library has on_exit (glibc).
"""

from __future__ import annotations

import os
from typing import Any

_BYTES = 3  # fmemopen may want room for a NUL
_NONE = b"\x01\x02\x00"
_PROT_READ_WRITE, _MAP_SHARED, _MAP_PRIVATE, _MAP_FIXED, _MAP_ANONYMOUS = 3, 0x01, 0x02, 0x10, 0x20

_mapped: list[int] = []  # addresses; they stay mapped until the process is gone


def told_in(path: str) -> bool:
    """Have this process's exit code told in the new file `path`; False where that cannot be done here."""
    try:
        return _told_in(path)
    except (OSError, AttributeError, ImportError, TypeError, ValueError):  # another C library, a file system without mmap
        return False


def _told_in(path: str) -> bool:
    import ctypes

    libc = _c_library()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, _NONE)
        address = libc.mmap(None, _BYTES, _PROT_READ_WRITE, _MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if address in (None, ctypes.c_void_p(-1).value):
        return False
    stream = libc.fmemopen(address, _BYTES, b"r+")
    if not stream:
        return False
    _mapped.append(address)
    fputc = ctypes.cast(libc.fputc, ctypes.c_void_p)
    return bool(libc.on_exit(fputc, stream) == 0 and libc.on_exit(fputc, stream) == 0)


def _c_library() -> Any:
    import ctypes

    libc = ctypes.CDLL(None)
    for function in (libc.mmap, libc.fmemopen):
        function.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.fmemopen.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]
    libc.on_exit.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    return libc


def _after_fork() -> None:
    """The exit code of a forked child is not its parent's: it gets pages of its own in place of the files."""
    if not _mapped:
        return
    libc = _c_library()
    for address in _mapped:
        libc.mmap(address, _BYTES, _PROT_READ_WRITE, _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_FIXED, -1, 0)


os.register_at_fork(after_in_child=_after_fork)
