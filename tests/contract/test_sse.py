"""Server-sent events: cut anywhere they read the same, and a broken connection never moves the cursor past an event."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runyard.sse import Event, EventDecoder

words = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)
written = st.tuples(words.map(lambda word: "e" + word), words, st.none() | words.map(lambda word: "i" + word))
comments = st.sampled_from([": keepalive\n", ":\n\n", "\n", "retry: 5\n"])


def encode(events: list[tuple[str, str, str | None]], comment: str, newline: str) -> bytes:
    text = ""
    for name, data, event_id in events:
        text += comment + f"event: {name}\n" + ("" if event_id is None else f"id: {event_id}\n")
        text += "".join(f"data: {line}\n" for line in [data, data]) + "\n"
    return text.replace("\n", newline).encode()


def decode(data: bytes, places: list[int]) -> tuple[list[Event], str]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    decoder = EventDecoder()
    events = [
        event
        for start, end in pairwise(borders)
        for event in decoder.feed(data[start:end])
    ]  # fmt: skip
    return events, decoder.last_id


@given(st.lists(written, max_size=6), comments, st.sampled_from(["\n", "\r\n"]), st.lists(st.integers(0, 2000), max_size=12))
def test_events_cut_anywhere_read_the_same(
    events: list[tuple[str, str, str | None]], comment: str, newline: str, places: list[int]
) -> None:
    expected, last_id = [], ""
    for name, data, event_id in events:
        last_id = last_id if event_id is None else event_id
        expected.append(Event(name, f"{data}\n{data}", last_id))
    assert decode(encode(events, comment, newline), places) == (expected, last_id)


@given(st.lists(written, min_size=1, max_size=4), st.integers(0, 2000))
def test_a_connection_that_breaks_anywhere_leaves_the_cursor_at_the_last_whole_event(
    events: list[tuple[str, str, str | None]], place: int
) -> None:
    data = encode(events, "", "\n")
    got, last_id = decode(data[: place % (len(data) + 1)], [])
    assert last_id == (got[-1].id if got else "")


def test_an_event_without_a_name_is_a_message_and_one_without_data_is_none() -> None:
    decoder = EventDecoder("7")
    assert list(decoder.feed(b"event: nothing\n\ndata\ndata: x\n\n")) == [Event("message", "\nx", "7")]
