"""What a service tells systemd: that it is ready, that it is alive, that it stops.

Reads NOTIFY_SOCKET and WATCHDOG_USEC (of the unit's Type=notify and WatchdogSec=) from the environment; writes datagrams to
that socket. Without systemd each call does nothing. Standard library only: collector and agent share it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

READY = "READY=1"
STOPPING = "STOPPING=1"
ALIVE = "WATCHDOG=1"


class Notifier:
    """The way to the service manager. Making one takes its variables out of `environ`: no child may speak for the service."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        address = environ.pop("NOTIFY_SOCKET", "")
        limit_us = environ.pop("WATCHDOG_USEC", "")
        meant_for = environ.pop("WATCHDOG_PID", "")
        # "@" stands for the zero byte of an abstract address.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        is_watched = limit_us.isdecimal() and meant_for in ("", str(os.getpid()))
        self._limit_s = int(limit_us) / 1e6 if is_watched and address else 0.0

    @property
    def alive_every_s(self) -> float:
        """How often ALIVE is to be told: thrice in the time after which systemd kills us; 0: nobody waits for it."""
        return self._limit_s / 3

    def tell(self, *words: str) -> bool:
        """Sends the words (READY, ALIVE, STOPPING, `status(…)`) as one message; whether systemd has got it. Does not block."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
                channel.connect(self._address)
                channel.send("\n".join(words).encode("utf-8", "replace"))
        except OSError:  # it has to go on without; a watchdog that does not hear from us does what it is for
            return False
        return True


def status(text: str) -> str:
    """The line that `systemctl status` shows."""
    return "STATUS=" + " ".join(text.split())
