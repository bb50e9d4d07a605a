"""Folding progress bars: whatever the cuts, the result is that of a model which sees all bytes at once."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.fold import LIMIT_BYTES, Lines, Piece

LIMIT = 6
bytes_of_bars = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"bc", b"\xff", b"0123456789"]), max_size=40).map(
    b"".join
)
places_to_cut = st.lists(st.integers(0, 500), max_size=12)


def model(data: bytes, fold: bool) -> list[bytes]:
    """What each line shows, with its end; the last one may have none."""
    if not fold:
        return data.splitlines(keepends=True) if b"\r" not in data else [part + b"\n" for part in data.split(b"\n")]
    lines = data.split(b"\n")
    return [fold_line(line, b"\n") for line in lines[:-1]] + [fold_line(lines[-1], b"")]


def fold_line(line: bytes, end: bytes) -> bytes:
    states = line.split(b"\r")
    for place, state in enumerate(states):
        if len(state) > LIMIT:
            return b"\r".join(states[place:]) + end
    shown = [state for state in states if state]
    return (shown[-1] if shown else b"") + (b"\r\n" if end and states[-1] == b"" and len(states) > 1 else end)


def chunks(data: bytes, places: list[int]) -> list[bytes]:
    borders = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(borders)]


def run(lines: Lines[int], parts: list[bytes]) -> list[Piece[int]]:
    pieces, offset = [], 0
    for part in parts:
        pieces += list(lines.feed(part, offset))
        offset += len(part)
    return pieces + list(lines.flush())


@given(bytes_of_bars, places_to_cut, st.booleans())
def test_a_line_shows_its_last_state_wherever_the_bytes_are_cut(data: bytes, places: list[int], blocks: bool) -> None:
    pieces = run(Lines(limit=LIMIT, blocks=blocks), chunks(data, places))
    assert b"".join(piece.data for piece in pieces) == b"".join(model(data, fold=True))


@given(bytes_of_bars, places_to_cut, st.booleans())
def test_without_folding_every_byte_comes_as_it_is(data: bytes, places: list[int], blocks: bool) -> None:
    pieces = run(Lines(fold=False, limit=LIMIT, blocks=blocks), chunks(data, places))
    assert b"".join(piece.data for piece in pieces) == data


@given(bytes_of_bars, places_to_cut, st.booleans())
def test_pieces_put_together_by_their_marks_are_the_lines(data: bytes, places: list[int], fold: bool) -> None:
    pieces = run(Lines(fold=fold, limit=LIMIT), chunks(data, places))
    lines: list[bytes] = []
    is_open = False
    for piece in pieces:
        assert piece.starts is not is_open
        lines = [*lines[:-1], lines[-1] + piece.data] if is_open else [*lines, piece.data]
        is_open = not piece.ends
        assert piece.ends == piece.data.endswith(b"\n")
    expected = model(data, fold=True) if fold else data.replace(b"\n", b"\n\0").split(b"\0")
    assert lines == [line for line in expected if line]


@given(bytes_of_bars, places_to_cut)
def test_what_is_held_stays_small_whatever_comes(data: bytes, places: list[int]) -> None:
    lines: Lines[None] = Lines(limit=LIMIT)
    for part in chunks(data, places):
        list(lines.feed(part, None))
        assert len(lines.state) <= LIMIT


def test_a_stamp_is_that_of_the_first_byte_shown() -> None:
    lines: Lines[str] = Lines()
    assert list(lines.feed(b"10%\r2", "first")) == []
    assert list(lines.feed(b"0%\r", "second")) == []
    assert lines.state == b"20%"
    assert list(lines.feed(b"30", "third")) == []
    assert list(lines.feed(b"%\nnext\n", "fourth")) == [Piece(b"30%\n", "third"), Piece(b"next\n", "fourth")]


def test_a_carriage_return_at_the_end_keeps_the_state_before_it() -> None:
    lines: Lines[int] = Lines()
    assert run(lines, [b"50%\r100%\r"]) == [Piece(b"100%", 0, ends=False)]
    assert run(lines, [b"windows\r\n", b"\r\n", b"\n"]) == [Piece(b"windows\r\n", 0), Piece(b"\r\n", 9), Piece(b"\n", 11)]


@pytest.mark.parametrize("fold", [True, False])
def test_a_line_without_end_is_passed_on_in_pieces(fold: bool) -> None:
    lines: Lines[int] = Lines(fold=fold)
    total = 0
    for _ in range(100):
        total += sum(len(piece.data) for piece in lines.feed(b"x" * 65536, 0))
    assert total >= 100 * 65536 - LIMIT_BYTES
    assert [piece.data for piece in lines.feed(b"\n", 0)] == [b"\n"]
