"""Reading server-sent events: bytes in, events out. Pure; standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the last id that the stream has named, "" where it named none."""

    name: str
    data: str
    id: str


class EventDecoder:
    """Turns chunks of an event stream, cut anywhere, into events. Comments are passed over."""

    def __init__(self, last_id: str = "") -> None:
        self._rest = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._id = last_id
        # Only of events that came whole: a connection that breaks between an event's id and its end must bring it again.
        self.last_id = last_id

    def feed(self, chunk: bytes) -> Iterator[Event]:
        self._rest += chunk
        if b"\n" not in chunk:
            return
        lines = bytes(self._rest).split(b"\n")
        self._rest = bytearray(lines.pop())
        for line in lines:
            event = self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        if not line:
            self.last_id = self._id
            if not self._data:
                self._name = ""
                return None
            event = Event(self._name or "message", "\n".join(self._data), self.last_id)
            self._name, self._data = "", []
            return event
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._id = value
        return None
