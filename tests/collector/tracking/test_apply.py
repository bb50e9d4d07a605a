"""Whatever is recorded, in whatever batches: the collector has what a plain model has, and says why where it took nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from runyard.collector.schema import chunks, runs, series
from runyard.collector.tracking import labels, reading
from runyard.collector.tracking.apply import apply
from runyard.collector.tracking.metric_routes import summary
from runyard.collector.tracking.series import MOST_POINTS
from runyard.tracking.records import (
    Artifact,
    Cell,
    Child,
    FileMetric,
    Lifecycle,
    Metric,
    Name,
    Param,
    Property,
    Record,
    Row,
    Status,
    Tag,
    Untag,
    Word,
)  # fmt: skip
from tests.collector.tracking.a_catalog import catalog_with, taken_back

RUNS = ["", "a_1", "a_1_2", "b"]  # b is nobody's child of a
NAMES = ["x", "y", "", "n" * 256]
KEYS = ["k", "l", ""]
NOW_MS = 5000

values: Any = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60),
                        st.sampled_from(["NaN", "Infinity", "-Infinity", 10**400, 1e308]))  # fmt: skip
targets, names, keys = st.sampled_from(RUNS), st.sampled_from(NAMES), st.sampled_from(KEYS)
steps, times = st.one_of(st.none(), st.integers(-3, 3), st.just(2**63)), st.integers(0, 3)
texts = st.sampled_from(["", "1", "2"])
points: Any = st.one_of(
    st.builds(Metric, targets, names, values, steps, times),
    st.builds(Word, targets, names, st.sampled_from(["NaN", "w", True, None]), steps, times),
    st.builds(Row, targets, names, st.sampled_from([{"c": 1}, {"c": "NaN", "d": None}, {}]), times),
    st.builds(FileMetric, targets, names, st.sampled_from(["image", "movie"]), st.just("p.png"), steps, times),
)
records: Any = st.one_of(
    points,
    st.builds(Param, targets, keys, texts),
    st.builds(Property, targets, keys, texts),
    st.builds(Tag, targets, keys, texts),
    st.builds(Untag, targets, keys),
    st.builds(Child, st.sampled_from(["a_1", "a_1_2", "b", "a b"]), st.sampled_from(["", "a_1"]), texts, st.just("trial"),
              st.just("bob"), times),
)  # fmt: skip


class Model:
    """What has to be there: by run and name the kind and the points, and the labels."""

    def __init__(self) -> None:
        self.runs: dict[str, str | None] = {"a": None}  # and their parents
        self.series: dict[tuple[str, str], tuple[str, list[tuple[Any, Any, int]]]] = {}
        self.labels: dict[str, dict[tuple[str, str], str]] = {"p": {}, "y": {}, "g": {}}

    def take(self, record: Any) -> bool:
        """Whether it is applied."""
        if isinstance(record, Child):
            return self._child(record)
        run_id = self._run(record.run)
        if run_id is None:
            return False
        if isinstance(record, Metric | Word | Row | FileMetric):
            return self._point(run_id, record)
        table = self.labels["p" if isinstance(record, Param) else "y" if isinstance(record, Property) else "g"]
        place = (run_id, record.key)
        if isinstance(record, Untag):
            table.pop(place, None)
            return True
        if not record.key or (not isinstance(record, Tag) and table.get(place, record.value) != record.value):
            return False
        table[place] = record.value
        return True

    def _run(self, run: str) -> str | None:
        run_id = run or "a"
        if run_id not in self.runs and run_id.startswith("a_"):
            parent = run_id.rpartition("_")[0]
            self._run(parent)
            self.runs[run_id] = parent
        return run_id if run_id in self.runs else None

    def _child(self, record: Child) -> bool:
        if record.run == "a b":
            return False
        parent = self._run(record.parent)
        if record.run == "b" or self.runs.get(record.run, parent) != parent:
            return False
        self.runs[record.run] = parent
        return True

    def _point(self, run_id: str, record: Any) -> bool:
        kind = "row" if isinstance(record, Row) else getattr(record, "kind", "scalar")
        is_bad = record.name in NAMES[2:] or kind == "movie" or (isinstance(record, Row) and not record.cells)
        known = self.series.get((run_id, record.name))
        if is_bad or (known is not None and known[0] != kind):
            return False
        step = getattr(record, "step", None)
        value = record.cells if isinstance(record, Row) else record.path if isinstance(record, FileMetric) else record.value
        is_taken = step != 2**63 and value != 10**400
        # Its kind is the metric's from now on, as long as anything of it was taken in this batch.
        self.series.setdefault((run_id, record.name), (kind, []))
        if is_taken:
            self.series[run_id, record.name][1].append((value, step, record.at_ms))
        return is_taken


@pytest.fixture(scope="module")
def catalog() -> Iterator[Connection]:
    with catalog_with("a", "b") as connection:
        yield connection


def recorded(connection: Connection, run_id: str, name: str) -> list[tuple[Any, Any, int]]:
    part = reading.part(connection, run_id, name, 0, 10**9)
    assert part is not None
    found = part.points
    return [(cell, found.step(place), found.times_ms[place]) for place, cell in enumerate(reading.cells(found))]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(records, max_size=25), max_size=4))
def test_records_of_any_kind_are_applied_as_the_model_says(catalog: Connection, batches: list[list[Record]]) -> None:
    model = Model()
    with taken_back(catalog) as connection:
        for batch in batches:
            refused = {one.position for one in apply(connection, "a", batch, now_ms=NOW_MS)}
            assert refused == {place for place, record in enumerate(batch) if not model.take(record)}
            # A kind that nothing was taken of binds nobody after the batch.
            model.series = {place: one for place, one in model.series.items() if one[1]}
        found = {(row.run_id, row.name): row.kind for row in connection.execute(sa.select(series))}
        assert found == {place: kind for place, (kind, _) in model.series.items()}
        for (run_id, name), (_, wanted) in model.series.items():
            assert recorded(connection, run_id, name) == wanted
            check_summary(connection, run_id, name, wanted)
        parents = {row.run_id: row.parent_run_id for row in connection.execute(sa.select(runs).where(runs.c.run_id != "b"))}
        assert parents == model.runs
        for run_id in model.runs:
            assert labels.of_run(connection, run_id).params == mine(model.labels["p"], run_id)
            assert labels.of_run(connection, run_id).properties == mine(model.labels["y"], run_id)


def mine(table: dict[tuple[str, str], str], run_id: str) -> dict[str, str]:
    return {key: value for (owner, key), value in table.items() if owner == run_id}


def check_summary(connection: Connection, run_id: str, name: str, wanted: list[tuple[Any, Any, int]]) -> None:
    """The aggregates are what the points say."""
    [row] = reading.rows(connection, run_id, [name])
    told = summary(row)
    assert (told.count, told.last_step, told.last_ms) == (len(wanted), wanted[-1][1], wanted[-1][2])
    if row.kind != "row":
        assert (told.first, told.last) == (wanted[0][0], wanted[-1][0])
        assert (type(told.first), type(told.last)) == (type(wanted[0][0]), type(wanted[-1][0]))
    finite = [float(value) for value, *_ in wanted if type(value) in (int, float)]
    assert told.number_count == len(finite)
    assert (told.min, told.max) == (min(finite, default=None), max(finite, default=None))
    if finite and max(map(abs, finite)) < 1e300:
        assert told.mean == pytest.approx(math.fsum(finite) / len(finite), rel=1e-9, abs=1e-9 * max(map(abs, finite)) + 1e-300)


def test_the_numbers_nan_and_infinity_are_told_from_the_words(catalog: Connection) -> None:
    with taken_back(catalog) as connection:
        said: list[Record] = [Metric("", "x", "NaN", 1, 1), Word("", "x", "NaN", 1, 1), Metric("", "x", "-Infinity", 1, 1)]
        assert apply(connection, "a", said, now_ms=NOW_MS) == []
        [row] = reading.rows(connection, "a", ["x"])
        told = summary(row)
        assert (told.nan_count, told.number_count, told.first, told.last, told.latest) == (1, 0, "NaN", "-Infinity", "NaN")
        part = reading.part(connection, "a", "x", 0, 9)
        assert part is not None
        assert [part.points.is_number(place) for place in range(3)] == [True, False, True]


numbered = st.tuples(st.one_of(st.sampled_from([1.0, 2.0, -1.0]), st.just("NaN")), st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(numbered, min_size=1, max_size=5), min_size=1, max_size=4))
def test_the_latest_value_is_that_of_the_greatest_step_then_time_then_value(catalog: Connection, batches: list[Any]) -> None:
    with taken_back(catalog) as connection:
        for batch in batches:
            said: list[Record] = [Metric("", "x", value, step, at_ms) for value, step, at_ms in batch]
            apply(connection, "a", said, now_ms=NOW_MS)
        [row] = reading.rows(connection, "a", ["x"])
        told = summary(row)
        every = [one for batch in batches for one in batch]
        wanted = max((step, at_ms, 0.0 if value == "NaN" else value) for value, step, at_ms in every)
        shown = 0.0 if told.latest == "NaN" else told.latest
        assert (told.latest_step, told.latest_ms, shown) == wanted


@pytest.mark.row("B5")
def test_a_long_series_that_comes_a_little_at_a_time_is_exact_and_few_rows(catalog: Connection) -> None:
    count = 0
    with taken_back(catalog) as connection:
        for size in [1] * 300 + [100] * 60 + [3000] * 10:
            some: list[Record] = [Metric("", "x", math.sin(n), n, n) for n in range(count, count + size)]
            assert apply(connection, "a", some, now_ms=NOW_MS) == []
            count += size
        sizes = connection.execute(sa.select(chunks.c.count).order_by(chunks.c.first_index)).scalars().all()
        assert sum(sizes) == count
        assert len(sizes) < 20
        assert max(sizes) <= MOST_POINTS
        assert recorded(connection, "a", "x") == [(math.sin(n), n, n) for n in range(count)]


@pytest.mark.row("B5")
def test_what_cannot_be_taken_is_told_in_one_sentence_each_and_the_rest_is_kept(catalog: Connection) -> None:
    many: dict[str, Cell] = {f"c{n}": 1 for n in range(201)}
    bad: list[tuple[Record, str]] = [
        (Metric("", "", 1, 1, 1), "a metric has no name: give it one of 1 to 255 characters"),
        (Metric("", "n" * 256, 1, 1, 1), "has 256 characters, at most 255 are allowed"),
        (Row("", "x", {"a": 1}, 1), "the metric 'x' of run a is of kind scalar, and takes nothing of kind row"),
        (Row("", "wide", many, 1), "has 201 columns, at most 200 are kept"),
        (Metric("", "x", 10**400, 1, 1), "larger than is kept"),
        (Metric("", "x", 1, 2**64, 1), "larger than is kept"),
        (Param("", "lr", "2"), "the parameter 'lr' of run a is '1' already, and cannot become '2'"),
        (Param("", "", "2"), "a parameter has no name"),
        (Metric("b", "x", 1, 1, 1), "run 'b' is neither run a nor one of its descendants"),
        (Metric("zzz", "x", 1, 1, 1), "there is no run 'zzz' among the descendants of run a"),
        (Child("b", "", "", "", "", 1), "the id b of a child of a is another run's already"),
        (Child("a/../b", "", "", "", "", 1), "the id 'a/../b' of a child may hold only letters"),
        (Artifact("", "../etc", "0" * 64, 1, 1), "holds an empty part, '.' or '..'"),
        (Status("", "Running", "", -1), "-1 is no time in milliseconds"),
    ]
    good: list[Record] = [Metric("", "x", 1, 5, 1), Param("", "lr", "1"), Metric("", "x", 2, 3, 1)]
    with taken_back(catalog) as connection:
        refused = apply(connection, "a", [*good, *(record for record, _ in bad), Metric("", "x", 3, 1, 1)], now_ms=NOW_MS)
        assert [one.position for one in refused] == list(range(3, 3 + len(bad)))
        for one, (_, wanted) in zip(refused, bad, strict=True):
            assert wanted in one.sentence
        # Steps that run backwards are kept, in the order in which they were recorded.
        assert recorded(connection, "a", "x") == [(1, 5, 1), (2, 3, 1), (3, 1, 1)]


def test_a_child_that_is_spoken_of_before_its_own_record_comes_is_the_same_run(catalog: Connection) -> None:
    with taken_back(catalog) as connection:
        assert apply(connection, "a", [Metric("a_7_1", "x", 1, 1, 1)], now_ms=NOW_MS) == []
        late: list[Record] = [Child("a_7", "", "seven", "trial", "", 1000), Child("a_7_1", "a_7", "one", "fold", "bob", 1001)]
        for _ in range(2):  # the very same again is harmless
            assert apply(connection, "a", late, now_ms=NOW_MS) == []
        query = sa.select(runs.c.run_id, runs.c.parent_run_id, runs.c.name, runs.c.kind, runs.c.user, runs.c.is_client_run)
        found = connection.execute(query.where(runs.c.run_id.startswith("a_")).order_by(runs.c.run_id)).all()
        assert [tuple(row) for row in found] == [
            ("a_7", "a", "seven", "trial", "ada", True),
            ("a_7_1", "a_7", "one", "fold", "bob", True),
        ]


def test_a_client_run_is_what_its_clients_say_and_hidden_when_they_say_so(catalog: Connection) -> None:
    said: list[Record] = [
        Child("a_1", "", "", "", "", 1000), Status("a_1", "Running", "", 2000), Status("a_1", "Failed", "no data", 3000),
        Name("a_1", "first"), Lifecycle("a_1", True, 4000),
    ]  # fmt: skip
    with taken_back(catalog) as connection:
        assert apply(connection, "a", said, now_ms=NOW_MS) == []
        row = connection.execute(sa.select(runs).where(runs.c.run_id == "a_1")).one()
        assert (row.status, row.cause, row.started_ns, row.ended_ns) == ("Failed", "no data", 2000 * 10**6, 3000 * 10**6)
        assert (row.name, row.deleted_ms, row.kind) == ("first", 4000, "child")
