"""Following: what the server does is real HTTP, and whatever it does, nothing is missed, repeated or passed over in silence."""

from __future__ import annotations

import base64
import json
import socket
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable, ProtocolError
from runyard.follow import Data, End, Follower, Gap, Happening, Opened, Query, Status, Superseded
from tests.contract.http_server import Answer, problem, sends, server

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
ONE = Opened(1, "log", "node-0001", 0, 0)


def event(name: str, cursor: str = "", **values: object) -> bytes:
    place = f"id: {cursor}\n" if cursor else ""
    return f"event: {name}\n{place}data: {json.dumps(values)}\n\n".encode()


def opened(offset: int = 0, stream: int = 1, generation: int = 0) -> bytes:
    return event("open", stream=stream, path="log", node_id="node-0001", offset=offset, generation=generation)


def data(offset: int, content: bytes, cursor: str = "", records: list[list[int]] | None = None) -> bytes:
    values: dict[str, object] = {"stream": 1, "offset": offset, "data": base64.b64encode(content).decode()}
    return event("data", cursor, **values, **({} if records is None else {"records": records}))


END = event("end", status="Completed", exit_code=0)


def says_events(*events: bytes) -> Answer:
    return sends(HEAD + b"".join(events))


def follow(
    *answers: Answer, query: Query | None = None, silence_s: float = 5.0
) -> tuple[list[Happening], list[bytes], list[str]]:
    """What a follower brings, the requests it made and what it told."""
    told: list[str] = []
    with server(*answers) as (client, requests):
        follower = Follower(client, "r", query or Query(), silence_s=silence_s, tell=told.append, sleep=lambda _: None)
        return list(follower), requests, told


def test_events_become_what_happens() -> None:
    happenings, requests, told = follow(
        says_events(
            event("status", status="Running"),
            opened(),
            b": still here\n\n",
            data(0, b"ab\xff", records=[[2, 5, 1], [3, 6, 2]]),
            event("gap", stream=1, offset=3, length=10),
            event("unknown", of="a later version"),
            event("superseded", stream=1, generation=1),
            END,
        ),
        query=Query(file=("log", "b c"), node="n", annotate=True, since_ns=7, tail_lines=2),
    )
    chunk = Data(ONE, 0, b"ab\xff", ((2, 5, 1), (3, 6, 2)))
    assert happenings == [Status("Running"), ONE, chunk, Gap(ONE, 3, 10), Superseded(ONE), End("Completed", 0)]
    assert list(chunk.segments()) == [(b"ab", 5, 1), (b"\xff", 6, 2)]
    line = requests[0].split(b"\r\n")[0]
    assert b"file=log&file=b+c&node=n&until=end&annotate=1&since_ns=7&tail_lines=2" in line
    assert told == []


@given(st.lists(st.integers(0, 40), max_size=6))
def test_a_connection_that_breaks_anywhere_is_taken_up_at_its_cursor(places: list[int]) -> None:
    content = b"0123456789" * 4

    def answer_from(place: int | None) -> Answer:
        def answer(connection: socket.socket, request: bytes) -> None:
            head = request.decode().lower()
            start = int(head.partition("last-event-id: ")[2].partition("\r\n")[0] or 0) if "last-event-id" in head else 0
            body = opened(start) + b"".join(data(at, content[at : at + 1], str(at + 1)) for at in range(start, len(content)))
            body += END if place is None else b""
            connection.sendall(HEAD + (body if place is None else body[: len(body) * place // 40]))

        return answer

    happenings, _, told = follow(*(answer_from(place) for place in places), answer_from(None))
    assert b"".join(item.data for item in happenings if isinstance(item, Data)) == content
    assert [item for item in happenings if isinstance(item, Opened)] == [ONE]
    assert len(told) <= len(places)


def test_bytes_that_come_twice_are_shown_once() -> None:
    happenings, _, _ = follow(
        says_events(opened(), data(0, b"abc", records=[[3, 1, 1]])),
        says_events(opened(), data(0, b"ab"), data(1, b"bcde", records=[[3, 1, 1], [5, 2, 2]]), END),
    )
    chunks = [item for item in happenings if isinstance(item, Data)]
    assert b"".join(chunk.data for chunk in chunks) == b"abcde"
    assert list(chunks[1].segments()) == [(b"de", 2, 2)]


def test_a_hole_is_an_error_and_not_passed_over() -> None:
    with pytest.raises(ProtocolError, match="left out bytes 1 to 5 of log"):
        follow(says_events(opened(), data(0, b"a"), data(5, b"b"), END))


@pytest.mark.parametrize("events", [b"event: data\ndata: {\n\n", data(0, b"of no open stream"), event("open", stream=1)])
def test_an_event_that_cannot_be_read_is_an_error_of_the_protocol(events: bytes) -> None:
    with pytest.raises(ProtocolError):
        follow(says_events(events, END))


def test_silence_is_taken_for_a_broken_connection() -> None:
    done = threading.Event()

    def falls_silent(connection: socket.socket, _: bytes) -> None:
        connection.sendall(HEAD + opened() + data(0, b"a", "1"))
        # Until the client has gone: it is the one that gives up.
        connection.settimeout(5)
        connection.recv(1)
        done.set()

    happenings, requests, told = follow(falls_silent, says_events(opened(1), data(1, b"b", "2"), END), silence_s=0.1)
    assert done.is_set()
    assert [item.data for item in happenings if isinstance(item, Data)] == [b"a", b"b"]
    assert b"last-event-id: 1\r\n" in requests[1].lower()
    assert len(told) == 1
    assert "timed out; trying again" in told[0]


def test_an_overload_is_waited_for_and_told_once() -> None:
    answers = [problem(503, detail="too many followers"), problem(503, detail="too many followers"), says_events(END)]
    happenings, _, told = follow(*answers)
    assert happenings == [End("Completed", 0)]
    assert told == ["too many followers; trying again until it is back"]


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_ends_it(status: int) -> None:
    with pytest.raises(CollectorRefused, match="no"):
        follow(says_events(opened()), problem(status, detail="no"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [(problem(503, detail="full"), CollectorBusy), (says_events(event("status", status="Running")), CollectorUnreachable)],
)
def test_reading_what_is_there_gives_up_after_some_tries(answer: Answer, error: type[Exception]) -> None:
    with pytest.raises(error):
        follow(*[answer] * 6, query=Query(until="now"))


def test_a_later_follower_goes_on_at_the_cursor_of_the_earlier() -> None:
    with server(says_events(opened(), data(0, b"a", "1:1"), END), says_events(END)) as (client, requests):
        first = Follower(client, "r", Query(until="now"))
        list(first)
        list(Follower(client, "r", Query(), cursor=first.cursor))
    assert b"last-event-id: 1:1\r\n" in requests[1].lower()
