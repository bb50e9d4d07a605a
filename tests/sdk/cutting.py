"""A relay that breaks connections, or holds them up: the first ones, each after so many bytes, as a bad network does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE_BYTES = 16 << 10


class Cutter:
    """Relays to `host`:`port`; connections that carry more than `cut_bytes` in one direction are broken, `left` of them. With
    `is_holding` nothing more goes over them until `go` is set, and then they are broken."""

    def __init__(self, host: str, port: int, cut_bytes: int, cuts: int, *, is_holding: bool) -> None:
        self.go = threading.Event()
        if not is_holding:
            self.go.set()
        self._far = (host, port)
        self._cut_bytes = cut_bytes
        self.left = cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        # A close alone would not wake the thread that accepts.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._far)
            except OSError:
                near.close()
                continue
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        carried = 0
        with suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                target.sendall(data)
                carried += len(data)
                if carried > self._cut_bytes and self.left > 0:
                    self.left -= 1
                    self.go.wait()
                    break
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def cutting(url: str, cut_bytes: int, cuts: int, *, is_holding: bool = False) -> Iterator[Cutter]:
    """A relay to `url`."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    cutter = Cutter(host, int(port), cut_bytes, cuts, is_holding=is_holding)
    try:
        yield cutter
    finally:
        cutter.go.set()
        cutter.close()
