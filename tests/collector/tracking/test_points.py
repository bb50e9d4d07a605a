"""Points come out of their bytes as they went in, and an envelope holds every finite number of its span."""

from __future__ import annotations

import math
import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from runyard.collector.tracking.envelope import SPAN, Packed, envelope_of
from runyard.collector.tracking.points import Points, of_numbers, of_words, pack, unpack

numbers = st.one_of(st.floats(), st.integers(-(2**70), 2**70), st.sampled_from([0, -0.0, 2**53, 2**53 + 1, -(2**53)]))
words = st.one_of(st.text(max_size=5), st.booleans(), st.none(), st.just({"a": 1, "b": None}))
steps = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 3))
times = st.integers(-(2**63), 2**63 - 1)
# (is a number, what is recorded together); many batches are joined to one series
batches = st.lists(
    st.one_of(
        st.tuples(st.just(True), st.lists(st.tuples(numbers, steps, times), min_size=1, max_size=80)),
        st.tuples(st.just(False), st.lists(st.tuples(words, steps, times), min_size=1, max_size=3)),
    ),
    min_size=1,
    max_size=4,
)


def joined(recorded: list[tuple[bool, list[tuple[Any, Any, int]]]]) -> Points:
    points = Points()
    for is_number, some in recorded:
        make = of_numbers if is_number else of_words
        points.extend(make([one[0] for one in some], [one[1] for one in some], [one[2] for one in some]))
    return points


def bits(cell: Any) -> Any:
    """What tells two values apart that compare as equal, or that are NaN."""
    return ("float", struct.pack("<d", cell)) if isinstance(cell, float) else (type(cell).__name__, cell)


@settings(max_examples=60, deadline=None)
@given(batches)
def test_what_was_recorded_comes_back_bit_for_bit(recorded: list[tuple[bool, list[tuple[Any, Any, int]]]]) -> None:
    points = unpack(pack(joined(recorded)))
    wanted = [one for _, some in recorded for one in some]
    assert [bits(points.cell(place)) for place in range(len(points))] == [bits(one[0]) for one in wanted]
    assert [points.step(place) for place in range(len(points))] == [one[1] for one in wanted]
    assert list(points.times_ms) == [one[2] for one in wanted]


@settings(max_examples=60, deadline=None)
@given(batches, st.data())
def test_a_part_is_the_points_between(recorded: list[tuple[bool, list[tuple[Any, Any, int]]]], data: st.DataObject) -> None:
    points = joined(recorded)
    start = data.draw(st.integers(0, len(points)))
    end = data.draw(st.integers(start, len(points)))
    part = points.part(start, end)
    assert [bits(part.cell(place)) for place in range(len(part))] == [bits(points.cell(place)) for place in range(start, end)]


def test_evenly_spaced_steps_cost_no_room() -> None:
    count = 1000
    for stride in (0, 1, -7):
        even = of_numbers([0.5] * count, [stride * n for n in range(count)], [1] * count)
        odd = of_numbers([0.5] * count, [stride * n + n % 2 for n in range(count)], [1] * count)
        assert len(pack(even)) == len(pack(odd)) - 8 * count


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(), st.integers(-5, 5), st.integers(0, 5)), min_size=1, max_size=3 * SPAN))
def test_an_envelope_holds_what_is_finite_and_where_it_lies(recorded: list[tuple[float, int, int]]) -> None:
    points = of_numbers([one[0] for one in recorded], [one[1] for one in recorded], [one[2] for one in recorded])
    envelope = envelope_of(points)
    packed = Packed([envelope.pack(), envelope.pack()])
    assert packed.integers("greatest_step") == envelope.greatest_step.tolist() * 2
    assert str(packed.numbers("last")) == str(envelope.last.tolist() * 2)
    assert len(envelope) == -(-len(recorded) // SPAN)
    for entry in range(len(envelope)):
        part = recorded[entry * SPAN : (entry + 1) * SPAN]
        finite = [value for value, _, _ in part if math.isfinite(value)]
        found = (envelope.least[entry], envelope.greatest[entry], envelope.last[entry])
        assert found == (min(finite), max(finite), finite[-1]) if finite else all(map(math.isnan, found))
        assert (envelope.least_step[entry], envelope.greatest_step[entry]) == (
            min(s for _, s, _ in part),
            max(s for _, s, _ in part),
        )
        assert (envelope.least_ms[entry], envelope.greatest_ms[entry]) == (min(t for *_, t in part), max(t for *_, t in part))
