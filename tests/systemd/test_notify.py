"""What the collector tells whoever has started it as systemd does: a socket and a time in its environment."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runyard.sd_notify import ALIVE, READY, Notifier
from tests.collector_process import running_collector

LIMIT_S = 10.0


class Manager:
    """The other end: as much of systemd as a service sees."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._socket.settimeout(LIMIT_S)

    def next(self) -> list[str]:
        """The lines of the next message."""
        return self._socket.recv(4096).decode().splitlines()

    def until(self, word: str) -> list[list[str]]:
        """All messages up to the one that has this word."""
        found = [self.next()]
        while word not in found[-1]:
            found.append(self.next())
        return found

    def drain(self) -> None:
        """Throw away what has come so far."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            self._socket.settimeout(LIMIT_S)

    def is_silent_for(self, seconds: float) -> bool:
        """Whether nothing comes meanwhile."""
        self._socket.settimeout(seconds)
        try:
            return not self._socket.recv(4096)
        except TimeoutError:
            return True
        finally:
            self._socket.settimeout(LIMIT_S)

    def close(self) -> None:
        """No more."""
        self._socket.close()


@contextmanager
def managed(path: str) -> Iterator[Manager]:
    manager = Manager(path)
    try:
        yield manager
    finally:
        manager.close()


def test_the_collector_is_ready_when_it_serves_and_alive_while_its_loop_turns(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "600000"}
    with managed(address) as manager, running_collector(tmp_path, environ=environ) as collector:
        assert manager.until(READY)[-1] == [READY, f"STATUS=serving {collector.url}"]
        begun_s = time.monotonic()
        manager.until(ALIVE)
        manager.until(ALIVE)
        assert time.monotonic() - begun_s < 0.6 * 2
        os.kill(collector.pid, signal.SIGSTOP)  # a loop that hangs
        manager.drain()
        assert manager.is_silent_for(0.7)
        os.kill(collector.pid, signal.SIGCONT)
        manager.until(ALIVE)
        assert collector.stop() == 0
        manager.until("STOPPING=1")


def test_a_service_tells_an_abstract_address_too(tmp_path: Path) -> None:
    name = f"runyard-test-{os.getpid()}"
    with managed(f"\0{name}") as manager:
        environ = {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
        notifier = Notifier(environ)
        assert environ == {"HOME": "/"}  # no child may speak for the service
        assert notifier.alive_every_s == 1.0
        assert notifier.tell(READY, ALIVE)
        assert manager.next() == [READY, ALIVE]
    assert not notifier.tell(ALIVE)  # nobody is there: it goes on without


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "3000000"}, {"NOTIFY_SOCKET": "/none", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}]
)
def test_where_nobody_watches_nothing_is_due(environ: dict[str, str]) -> None:
    assert Notifier(dict(environ)).alive_every_s == 0.0
