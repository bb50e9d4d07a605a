"""A node's clock against the collector's: never further off than it says, whatever the network and the collector do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runyard.agent.ship.clock import DRIFT_PPM, Clock

SECOND_NS = 10**9
TRUE_NS = 1_700_000_000 * SECOND_NS + 123

# (pause before, way there, work, way back), in ns
TRIPS = st.lists(
    st.tuples(
        st.integers(0, 3600 * SECOND_NS), st.integers(0, SECOND_NS), st.integers(0, SECOND_NS), st.integers(0, SECOND_NS)
    ),
    min_size=1,
    max_size=20,
)


@given(TRIPS, st.floats(-1.0, 1.0))
def test_the_true_offset_lies_within_the_error_that_is_told(trips: list[tuple[int, int, int, int]], drift: float) -> None:
    clock, mono_ns, told = Clock(), 5_000, None

    def wall_ns(at_ns: int) -> int:
        return TRUE_NS + at_ns + int(at_ns * drift * DRIFT_PPM / 1e6)

    for pause_ns, there_ns, work_ns, back_ns in trips:
        sent_ns = mono_ns + pause_ns
        answered_ns = sent_ns + there_ns + work_ns
        mono_ns = answered_ns + back_ns
        clock.measured(sent_ns, mono_ns, wall_ns(answered_ns), work_ns)
        told = clock.told(mono_ns)
        assert told is not None
        assert abs(wall_ns(mono_ns) - mono_ns - told["offset_ns"]) <= told["error_ns"] + 2
    assert told is not None
    way_ns = trips[-1][1] + trips[-1][3]  # never worse than what the last trip alone would tell
    assert told["error_ns"] <= way_ns // 2 + way_ns * DRIFT_PPM // 10**6 + 5


def test_the_quickest_trip_counts_until_it_is_old() -> None:
    clock = Clock()
    clock.measured(0, 2_000_000, TRUE_NS)
    clock.measured(SECOND_NS, SECOND_NS + 200_000_000, TRUE_NS + SECOND_NS + 150_000_000)
    told = clock.told(SECOND_NS)
    assert told is not None
    assert told["error_ns"] < 1_100_000  # a slow one in between takes nothing away
    late_ns = 10_000 * SECOND_NS
    clock.measured(late_ns, late_ns + 200_000_000, TRUE_NS + late_ns + 100_000_000)
    told = clock.told(late_ns)
    assert told is not None
    assert 100_000_000 <= told["error_ns"] < 111_000_000


def test_a_collector_whose_clock_was_set_is_believed() -> None:
    clock = Clock()
    clock.measured(0, 1_000_000, TRUE_NS)
    clock.measured(SECOND_NS, SECOND_NS + 50_000_000, TRUE_NS + 301 * SECOND_NS)
    told = clock.told(SECOND_NS)
    assert told is not None
    assert abs(told["offset_ns"] - (TRUE_NS + 300 * SECOND_NS)) <= told["error_ns"]


def test_nothing_is_told_before_the_first_measurement() -> None:
    assert Clock().told(5) is None
