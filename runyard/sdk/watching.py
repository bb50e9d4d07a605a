"""A run that is followed in a thread, so that whoever watches can do something else meanwhile, and can stop at any moment.

Reads from GET runs/{run_id}/follow (runyard/follow.py); writes nothing.
"""

from __future__ import annotations

import http.client
import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from runyard.client import CollectorClient
from runyard.follow import Follower, Happening, Query

from .connection import Connection

# What has come and was not taken yet: at most about so many times 64 KiB.
MOST_WAITING = 64
PUT_S = 0.2


class Watch:
    """`get` gives what happens, one after the other; `close` ends it at once, also in the middle of an answer."""

    def __init__(
        self,
        connection: Connection,
        run_id: str,
        tell: Callable[[str], None],
        query: Query | None = None,
    ) -> None:
        """`query`: what is followed; by default every file."""
        self._run_id = run_id
        self._query = query or Query()
        self._client = _Client(connection.url, connection.token, timeout_s=connection.timeout_s)
        self._tell = tell
        self._stop = threading.Event()
        self._queue: queue.Queue[Happening | Exception] = queue.Queue(MOST_WAITING)
        self._thread = threading.Thread(target=self._follow, name=f"following {run_id}", daemon=True)
        self._thread.start()

    def get(self, timeout_s: float) -> Happening | None:
        """What happens next, None where nothing does for so long; raises what following raised. After an End nothing comes."""
        try:
            found = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """End it."""
        self._stop.set()
        self._client.interrupt()
        self._thread.join(PUT_S * 2)

    def _follow(self) -> None:
        follower = Follower(self._client, self._run_id, self._query, tell=self._say, sleep=self._sleep)
        try:
            for happening in follower:
                if not self._put(happening):
                    return
        except _Stopped:
            pass
        except Exception as error:  # noqa: BLE001 - whoever waits for us has to learn of any, and raises it
            self._put(error)
        finally:
            self._client.close()

    def _put(self, found: Happening | Exception) -> bool:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._queue.put(found, timeout=PUT_S)
                return True
        return False

    def _say(self, text: str) -> None:
        if not self._stop.is_set():
            self._tell(text)

    def _sleep(self, span_s: float) -> None:
        if self._stop.wait(span_s):
            raise _Stopped


class _Stopped(Exception):  # noqa: N818 - the name tells the state
    """Nobody looks any more."""


class _Client(CollectorClient):
    """A client whose connection another thread may cut."""

    _open: http.client.HTTPConnection | None = None
    _is_cut = False

    def connect(self) -> http.client.HTTPConnection:
        if self._is_cut:
            raise _Stopped
        self._open = super().connect()
        return self._open

    def interrupt(self) -> None:
        """Whoever reads from the connection sees its end."""
        self._is_cut = True
        connection = self._open
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
