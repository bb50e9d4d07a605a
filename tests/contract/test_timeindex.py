"""The time index: records come back as they were written, a torn last one is left out, and offsets find their record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runyard import timeindex

records = st.builds(
    timeindex.Record,
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.sampled_from([timeindex.STDOUT, timeindex.STDERR, timeindex.TOGETHER]),
)


@given(st.lists(records, max_size=20), st.integers(0, timeindex.RECORD_BYTES - 1))
def test_whole_records_come_back_and_a_torn_last_one_does_not(written: list[timeindex.Record], torn: int) -> None:
    data = b"".join(timeindex.pack(*record) for record in written)
    assert timeindex.unpack(data + b"\xff" * torn) == written
    assert timeindex.unpack(memoryview(data)) == written
    assert len(data) == len(written) * timeindex.RECORD_BYTES


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(0, 1100))
def test_an_offset_finds_the_record_that_covers_it(lengths: list[int], offset: int) -> None:
    ends = [sum(lengths[: count + 1]) for count in range(len(lengths))]
    index = [timeindex.Record(end, 0, 0, timeindex.STDOUT) for end in ends]
    covering = [place for place, end in enumerate(ends) if end - lengths[place] <= offset < end]
    assert timeindex.first_ending_after(index, offset) == (covering[0] if covering else len(ends))
