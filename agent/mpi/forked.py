"""What a process forked by the shepherd does before it becomes something else. Standard library only."""

from __future__ import annotations

import os
import signal

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def become_child() -> None:
    """A session of its own, and signals as a process is used to have them."""
    os.setsid()
    for number in (*IGNORED, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
