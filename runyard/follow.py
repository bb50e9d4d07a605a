"""Following a run's files live: one endless sequence of what happens, over any number of broken connections.

Reads from GET /runs/{run_id}/follow (server-sent events); writes nothing. Standard library only.
"""

from __future__ import annotations

import json
import random
import time
from binascii import a2b_base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from .client import CollectorClient
from .errors import CollectorBusy, CollectorError, CollectorUnreachable, ProtocolError
from .reader import run_path
from .sse import Event, EventDecoder

# The collector sends at least a comment every 15 s. Three of them missing: nobody is there any more.
SILENCE_S = 45.0
READ_BYTES = 1 << 18
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
# Reading what is there (until=now) is given up after so many tries in a row that brought nothing new.
TRIES = 6


@dataclass(frozen=True, slots=True)
class Opened:
    """A file begins to come, at `offset`; also once for each later generation of a replaced file."""

    stream: int
    path: str
    node_id: str
    offset: int
    generation: int


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of a file, and with `annotate` the records (end, wall_ns, source) that cover them."""

    file: Opened
    offset: int
    data: bytes
    records: tuple[tuple[int, int, int], ...] = ()

    def segments(self) -> Iterator[tuple[bytes, int | None, int | None]]:
        """(bytes, wall_ns, source) for each record; None where that is not known."""
        start = self.offset
        for end, wall_ns, source in self.records:
            if end > start:
                yield self.data[start - self.offset : end - self.offset], wall_ns or None, source
                start = end
        if start < self.offset + len(self.data):
            yield self.data[start - self.offset :], None, None


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that the node dropped."""

    file: Opened
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Superseded:
    """The file was truncated or replaced; an Opened for its next generation follows."""

    file: Opened


@dataclass(frozen=True, slots=True)
class Status:
    """The run's status, at the start and at each change."""

    status: str


@dataclass(frozen=True, slots=True)
class End:
    """Everything was sent; nothing follows."""

    status: str
    exit_code: int | None


Happening = Opened | Data | Gap | Superseded | Status | End


@dataclass(frozen=True, slots=True)
class Query:
    """What to follow; the fields are the parameters of GET follow. No `file`: every one."""

    file: tuple[str, ...] = ()
    node: str | None = None
    until: str = "end"
    annotate: bool = False
    since_ns: int | None = None
    tail_lines: int | None = None


class Follower:
    """Iterate over it once. `cursor` is where a later Follower of the same query goes on.

    With until="end" it outlives the collector: a broken connection, an overload or silence is told to `tell`, once for each
    time, and then tried again for as long as it takes; nothing is missed or repeated. A refusal (4xx) raises CollectorRefused.
    With until="now" it gives up after TRIES vain tries and raises the last error.
    """

    def __init__(
        self,
        client: CollectorClient,
        run_id: str,
        query: Query,
        *,
        cursor: str = "",
        silence_s: float = SILENCE_S,
        tell: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.cursor = cursor
        self._client = client
        self._run_id = run_id
        self._query = query
        self._silence_s = silence_s
        self._tell = tell
        self._sleep = sleep
        self._files: dict[int, Opened] = {}
        self._positions: dict[int, int] = {}
        self._vain_tries = 0
        self._is_told = False
        self._makers: dict[str, Callable[[dict[str, Any]], Happening | None]] = {
            "open": self._opened,
            "data": self._data,
            "gap": self._gap,
            "superseded": lambda values: Superseded(self._files[values["stream"]]),
            "status": lambda values: Status(values["status"]),
            "removed": self._removed,
            "end": lambda values: End(values["status"], values["exit_code"]),
        }

    def __iter__(self) -> Iterator[Happening]:
        while True:
            error: CollectorError
            try:
                for happening in self._connection():
                    yield happening
                    if isinstance(happening, End):
                        return
                error = CollectorUnreachable(f"the collector at {self._client.url} ended the connection")
            except (CollectorUnreachable, CollectorBusy) as caught:
                error = caught
            self._wait(error)

    def _connection(self) -> Iterator[Happening]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.cursor} if self.cursor else {})
        decoder = EventDecoder(self.cursor)
        path = f"{run_path(self._run_id)}/follow"
        begun = time.monotonic()
        with self._client.stream("GET", path, params=self._params(), headers=headers, timeout_s=self._silence_s) as response:
            while chunk := self._client.read(response, READ_BYTES):
                if time.monotonic() - begun > LONGEST_WAIT_S:
                    self._vain_tries, self._is_told = 0, False
                for event in decoder.feed(chunk):
                    happening = self._happening(event)
                    # Before it is handed out: whoever stops at it and goes on later has seen it.
                    self.cursor = event.id
                    if happening is None:
                        continue
                    if not isinstance(happening, Status):  # which comes on each connection, also on one that breaks at once
                        self._vain_tries, self._is_told = 0, False
                    yield happening

    def _params(self) -> dict[str, object]:
        query = self._query
        return {
            "file": query.file,
            "node": query.node,
            "until": query.until,
            "annotate": int(query.annotate),
            "since_ns": query.since_ns,
            "tail_lines": query.tail_lines,
        }

    def _wait(self, error: CollectorError) -> None:
        self._vain_tries += 1
        if self._query.until == "now" and self._vain_tries >= TRIES:
            raise error
        if not self._is_told:
            self._is_told = True
            self._tell(f"{error}; trying again until it is back")
        seconds = min(FIRST_WAIT_S * 2 ** min(self._vain_tries - 1, 10), LONGEST_WAIT_S)
        if isinstance(error, CollectorBusy):
            seconds = max(seconds, error.retry_after_s)
        # Between a half and the whole, so that many readers of one collector do not come back in step.
        self._sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311

    def _happening(self, event: Event) -> Happening | None:
        try:
            make = self._makers.get(event.name)
            return make(json.loads(event.data)) if make else None
        except (ValueError, KeyError, TypeError) as error:
            raise ProtocolError(f"the collector sent a {event.name!r} event that cannot be read: {error!r}") from error

    def _removed(self, values: dict[str, Any]) -> None:
        self._tell(f"the files of run {self._run_id} were removed: {values['why']}")

    def _opened(self, values: dict[str, Any]) -> Opened | None:
        opened = Opened(values["stream"], values["path"], values["node_id"], values["offset"], values["generation"])
        known = self._files.get(opened.stream)
        self._files[opened.stream] = opened
        if known is not None:
            return None  # after reconnecting: it goes on where it was
        self._positions[opened.stream] = opened.offset
        return opened

    def _data(self, values: dict[str, Any]) -> Data | None:
        records = tuple((int(end), int(wall_ns), int(source)) for end, wall_ns, source in values.get("records") or ())
        data = Data(self._files[values["stream"]], values["offset"], a2b_base64(values["data"]), records)
        skip = self._advance(data.file, data.offset, len(data.data))
        if skip >= len(data.data):
            return None
        return replace(data, offset=data.offset + skip, data=data.data[skip:]) if skip else data

    def _gap(self, values: dict[str, Any]) -> Gap | None:
        gap = Gap(self._files[values["stream"]], values["offset"], values["length"])
        skip = self._advance(gap.file, gap.offset, gap.length)
        return replace(gap, offset=gap.offset + skip, length=gap.length - skip) if skip < gap.length else None

    def _advance(self, file: Opened, offset: int, length: int) -> int:
        """How much of [offset, offset+length) was there before; a hole is an error, for a log with a hole reads as whole."""
        position = self._positions[file.stream]
        if offset > position:
            raise ProtocolError(f"the collector left out bytes {position} to {offset} of {file.path}")
        self._positions[file.stream] = max(position, offset + length)
        return max(0, position - offset)
