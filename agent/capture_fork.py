"""Forking a capture off the shepherd: what the child puts off before it lives, and that it never goes on as a second shepherd.

Reads and writes nothing. What survives a kill -9 of the shepherd: the capture. Standard library only, and few modules of it.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Descriptors, beside its lock, that nobody has after the shepherd.
SHEPHERDS_OWN: set[int] = set()


def fork_capture(shepherd_lock: int, live: Callable[[], None]) -> int:
    """Fork a child that does what `live` does and then ends; its pid. Raises OSError."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for descriptor in (shepherd_lock, *SHEPHERDS_OWN):  # a lock, and a port, live as long as any copy of the descriptor
            os.close(descriptor)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_IGNORED, signal.SIGCHLD})
        live()
        code = 0
    except BaseException:  # noqa: BLE001 - this fork must never go on as a second shepherd
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)
