"""A widget's feed without a notebook, and what it has shown so far."""

from __future__ import annotations

from typing import Any

from runyard import Run
from runyard.sdk.connection import Connection
from runyard.widgets.feed import GIVE_UP_S, RunFeed


class Shown:
    """What a feed shows, put together."""

    def __init__(self, run: Run, *, url: str = "", give_up_s: float = GIVE_UP_S) -> None:
        assert run._connection is not None
        connection = Connection(url, run._connection.token) if url else run._connection
        self.parts: dict[str, Any] = {}
        self.answers: list[tuple[dict[str, Any], bytes]] = []
        self.feed = RunFeed(connection, run.id, show=self.parts.update, answer=self._hear, give_up_s=give_up_s)
        self.feed.start()

    def _hear(self, head: dict[str, Any], data: bytes) -> None:
        self.answers.append((head, data))

    def is_over(self) -> bool:
        return bool(self.parts.get("beat", {}).get("is_over"))

    @property
    def trouble(self) -> str:
        return str(self.parts.get("beat", {}).get("trouble", ""))
