"""The way to a collector that the threads of a process share: each has a client of its own."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runyard.client import CollectorClient


class Connection:
    """A collector's address and a token for it; nothing is opened before something is asked.

    May be used from any thread, and after a fork.
    """

    def __init__(self, url: str, token: str, *, timeout_s: float = 10.0, is_checked: bool = True) -> None:
        """Raises InputError where address or token are no good; with `is_checked` off the first request does."""
        self.url = url.rstrip("/")
        self.token = token
        self.timeout_s = timeout_s
        self._own = threading.local()
        if is_checked:
            self._new_client()

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    @property
    def client(self) -> CollectorClient:
        """This thread's client. Its connection is opened at the first request, and kept."""
        kept: _Kept | None = getattr(self._own, "kept", None)
        if kept is None or kept.pid != os.getpid():
            kept = self._own.kept = _Kept(self._new_client())
        return kept.client

    def _new_client(self) -> CollectorClient:
        from runyard.client import CollectorClient  # not every training asks the collector, and this takes a while to load

        return CollectorClient(self.url, self.token, timeout_s=self.timeout_s)


class _Kept:
    """A thread's client, whose connection is closed when thread or Connection have gone; also where a circle held them, in
    which nobody knows what of it is taken apart first."""

    def __init__(self, client: CollectorClient) -> None:
        self.client = client
        self.pid = os.getpid()
        weakref.finalize(self, client.close)
