"""What to send next is decided without any IO, so every decision can be tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runyard.agent.ship.backoff import START_S, Backoff
from runyard.agent.ship.plan import generation_for, merged, pieces, share, without
from runyard.wire import DATA, GAP

RANGES = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 80)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6)


def bytes_of(ranges: list[tuple[int, int]]) -> set[int]:
    return {position for start, end in ranges for position in range(start, end)}


@given(sent=st.integers(0, 400), size=st.integers(0, 400), gaps=RANGES, limit=st.integers(0, 200))
def test_frames_leave_no_hole_send_no_dropped_byte_and_keep_the_limit(
    sent: int, size: int, gaps: list[tuple[int, int]], limit: int
) -> None:
    untold = sorted((start, min(end, size)) for start, end in gaps if start < size)
    planned = pieces(sent, size, untold, limit)
    offset = sent
    for kind, start, end in planned:
        assert start <= offset, "a frame behind the collector's offset is refused"
        if kind == DATA:
            assert start == offset
            assert start < end <= size
        offset = max(offset, end)
    told = [(start, end) for kind, start, end in planned if kind == GAP]
    assert told == untold[: len(told)]
    data = [(start, end) for kind, start, end in planned if kind == DATA]
    assert sum(end - start for start, end in data) <= limit
    assert not bytes_of(data) & bytes_of(untold)


@given(sent=st.integers(0, 400), size=st.integers(0, 400), gaps=RANGES, limit=st.integers(1, 200))
def test_repeated_planning_brings_the_whole_file_over(sent: int, size: int, gaps: list[tuple[int, int]], limit: int) -> None:
    untold = sorted((start, min(end, size)) for start, end in gaps if start < size)
    offset = min(sent, size)
    covered = set(range(offset))
    for _ in range(500):
        planned = pieces(offset, size, untold, limit)
        if not planned:
            break
        covered |= bytes_of([(start, end) for _, start, end in planned])
        offset = max([offset, *(end for _, _, end in planned)])
        untold = untold[sum(kind == GAP for kind, _, _ in planned) :]
    assert covered == set(range(size))
    assert not untold


@given(wants=st.lists(st.integers(0, 100), max_size=20), limit=st.integers(0, 500))
def test_a_batch_is_shared_so_that_the_small_ones_come_first(wants: list[int], limit: int) -> None:
    given_ = share(wants, limit)
    assert sum(given_) == min(limit, sum(wants))
    assert all(0 <= got <= want for got, want in zip(given_, wants, strict=True))
    cut = [want for got, want in zip(given_, wants, strict=True) if got < want]
    whole = [want for got, want in zip(given_, wants, strict=True) if want and got == want]
    assert not cut or not whole or max(whole) <= min(cut)


@given(ranges=RANGES, taken=RANGES)
def test_ranges_are_sets_of_bytes(ranges: list[tuple[int, int]], taken: list[tuple[int, int]]) -> None:
    assert bytes_of(merged(ranges)) == bytes_of(ranges)
    assert all(first[1] < second[0] for first, second in zip(merged(ranges), merged(ranges)[1:], strict=False))
    assert bytes_of(without(ranges, merged(taken))) == bytes_of(ranges) - bytes_of(taken)


def test_a_file_goes_on_or_starts_the_next_generation() -> None:
    assert generation_for(None, "0:7", 5) == 0
    assert generation_for((2, "0:7", 5, False), "0:7", 5) == 2, "nothing new"
    assert generation_for((2, "0:7", 5, False), "0:7", 9) == 2, "it grew"
    assert generation_for((2, "0:7", 5, False), "0:7", 4) == 3, "it became shorter than what was sent"
    assert generation_for((2, "0:7", 5, False), "0:8", 9) == 3, "another file"
    assert generation_for((2, "0:7", 5, True), "0:7", 5) == 2, "sealed, and as it was"
    assert generation_for((2, "0:7", 5, True), "0:7", 6) == 3, "it grew after its seal"


def test_waits_double_keep_what_the_collector_asked_for_and_have_a_limit() -> None:
    longest = Backoff(5.0, draw=lambda: 1.0)
    assert [longest.next_s() for _ in range(8)] == [START_S * factor for factor in (1, 2, 4, 8, 16, 32)] + [5.0, 5.0]
    assert longest.next_s(retry_after_s=100.0) == 5.0
    longest.reset()
    assert longest.next_s(retry_after_s=2.0) == 2.0 + START_S
    assert Backoff(5.0, draw=lambda: 0.0).next_s() == 0.0
    assert Backoff(4.0, draw=lambda: 0.0).long_s() == 2.0
