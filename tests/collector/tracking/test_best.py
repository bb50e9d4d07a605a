"""The best child of a run: kept right while metrics come in any order, and cheap to keep."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from runyard.collector.schema import metadata, runs
from runyard.collector.tracking import client_runs, experiments, trials
from runyard.collector.tracking.apply import apply
from runyard.collector.tracking.client_runs import NewClientRun
from runyard.tracking.records import Child, Goal, GoalSet, Lifecycle, Metric, Record, Word

CHILDREN = [f"p_{number}" for number in range(5)]
VALUES: list[Any] = [0.0, 0.5, 0.5, 1.0, 2, -3.25, "NaN", "Infinity", "-Infinity", 1.7e308]


@pytest.fixture(scope="module")
def catalog() -> Iterator[Connection]:
    """A catalog in memory with one run, p."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        metadata.create_all(connection)
        folder = experiments.enter(connection, "e")["experiment"]
        client_runs.add(connection, NewClientRun("p", folder, "", "ada", "sweep", 1000))
        yield connection
    engine.dispose()


@contextmanager
def as_new(catalog: Connection) -> Iterator[Connection]:
    """The catalog, in which nothing of the block stays."""
    with catalog.begin_nested() as block:
        yield catalog
        block.rollback()


@pytest.fixture
def connection(catalog: Connection) -> Iterator[Connection]:
    with as_new(catalog):
        yield catalog


def say(connection: Connection, *records: Record) -> None:
    assert apply(connection, "p", records, now_ms=5000) == []


def best_of(connection: Connection) -> tuple[str | None, float | None]:
    row = connection.execute(sa.select(runs.c.best_run_id, runs.c.best_value).where(runs.c.run_id == "p")).one()
    return row.best_run_id, row.best_value


def child(name: str) -> Child:
    return Child(name, "", "", "child", "", 1000)


def loss(run: str, value: Any, name: str = "loss") -> Metric:
    return Metric(run, name, value, None, 2000)


@dataclass
class Model:
    """What there is, told plainly: each child's last value, in the order in which the children were made."""

    goal: GoalSet | None = None
    last: dict[str, dict[str, float]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)

    def take(self, record: Record) -> None:
        if isinstance(record, Child):
            self.last[record.run] = {}
        elif isinstance(record, GoalSet):
            self.goal = record
        elif isinstance(record, Lifecycle):
            (self.hidden.add if record.is_deleted else self.hidden.discard)(record.run)
        elif isinstance(record, Word):
            self.last[record.run][record.name] = math.nan
        elif isinstance(record, Metric):
            self.last[record.run][record.name] = float(record.value)

    def values(self, metric: str) -> list[tuple[str, float | None]]:
        shown = [(run, last.get(metric, math.nan)) for run, last in self.last.items() if run not in self.hidden]
        return [(run, value if math.isfinite(value) else None) for run, value in shown]

    def best(self, metric: str, goal: str) -> tuple[str | None, float | None]:
        pick = min if goal == "minimize" else max
        valued = [(run, value) for run, value in self.values(metric) if value is not None]
        return pick(valued, key=lambda one: one[1]) if valued else (None, None)


_RUN = st.sampled_from(CHILDREN)
_NAME = st.sampled_from(["loss", "loss", "accuracy"])
_STEPS = st.one_of(
    st.builds(lambda run, value, name: loss(run, value, name), _RUN, st.sampled_from(VALUES), _NAME),
    st.builds(lambda run, value, name: loss(run, value, name), _RUN, st.sampled_from(VALUES), _NAME),
    st.builds(lambda run, name: Word(run, name, "none", None, 2000), _RUN, _NAME),
    st.builds(lambda run, gone: Lifecycle(run, gone, 3000), _RUN, st.booleans()),
    st.builds(lambda metric, goal: GoalSet("", metric, goal), _NAME, st.sampled_from(["minimize", "maximize"])),
)


@settings(max_examples=100, deadline=None)
@given(order=st.permutations(CHILDREN), batches=st.lists(st.lists(_STEPS, max_size=8), max_size=8))
def test_it_is_what_a_look_at_all_children_would_find_whatever_comes(
    catalog: Connection, order: list[str], batches: list[list[Any]]
) -> None:
    with as_new(catalog) as connection:
        model = Model()
        first: list[Any] = [child(name) for name in order]
        for batch in [first, *batches]:
            say(connection, *batch)
            for record in batch:
                model.take(record)
            goal = model.goal
            assert best_of(connection) == (model.best(goal.metric, goal.goal) if goal else (None, None))
            _check_table(connection, model, Goal("accuracy", "maximize"))


def _check_table(connection: Connection, model: Model, goal: Goal) -> None:
    table = trials.table(connection, "p", goal.metric, goal.goal, 0, 1000)
    assert [(trial.run.row.run_id, trial.value) for trial in table.trials] == model.values(goal.metric)
    assert [trial.iteration for trial in table.trials] == [*range(len(table.trials))]
    assert (table.best_run_id, table.best_value) == model.best(goal.metric, goal.goal)
    so_far = -math.inf
    for trial in table.trials:
        so_far = max(so_far, -math.inf if trial.value is None else trial.value)
        assert trial.best == (so_far if math.isfinite(so_far) else None)


def test_a_child_that_becomes_worse_gives_the_place_to_the_next(connection: Connection) -> None:
    say(connection, GoalSet("", "loss", "minimize"), child("p_0"), child("p_1"))
    say(connection, loss("p_1", 0.5))
    assert best_of(connection) == ("p_1", 0.5)
    say(connection, loss("p_0", 0.5))  # as good, and made before
    assert best_of(connection) == ("p_0", 0.5)
    say(connection, loss("p_0", 0.25), loss("p_0", 0.75))
    assert best_of(connection) == ("p_1", 0.5)
    say(connection, loss("p_1", "NaN"))
    assert best_of(connection) == ("p_0", 0.75)


def test_a_page_of_the_table_goes_on_with_the_best_so_far(connection: Connection) -> None:
    say(connection, GoalSet("", "loss", "maximize"), *(child(name) for name in CHILDREN))
    say(connection, *(loss(name, value) for name, value in zip(CHILDREN, [1, 5, 2, "NaN", 7], strict=True)))
    assert trials.table(connection, "p", None, "minimize", 0, 2).best_run_id == "p_0"
    assert trials.table(connection, "p", "other", None, 0, 2).goal == Goal("other", "maximize")
    first = trials.table(connection, "p", None, None, 0, 2)
    second = trials.table(connection, "p", None, None, 2, 2)
    last = trials.table(connection, "p", None, None, 4, 2)
    assert [[trial.best for trial in page.trials] for page in (first, second, last)] == [[1, 5], [5, 5], [7]]
    assert [page.next for page in (first, second, last)] == [2, 4, None]
    assert {page.best_run_id for page in (first, second, last)} == {"p_4"}


def test_values_of_a_child_cost_no_look_at_its_siblings(connection: Connection) -> None:
    """Counted in what SQLite does, so that the test does not depend on the machine."""
    say(connection, GoalSet("", "loss", "minimize"), *(child(f"p_{number}") for number in range(1000)))
    say(connection, *(loss(f"p_{number}", number) for number in range(1000)))

    def steps(*records: Record) -> int:
        count = 0

        def step() -> None:
            nonlocal count
            count += 1

        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(step, 10)
        say(connection, *records)
        driver.set_progress_handler(None, 0)
        return count

    plain = steps(loss("p_7", 1.0, "other"))
    assert steps(loss("p_7", 8.0)) < plain + 60
    assert steps(loss("p_0", -1.0)) < plain + 60  # the best one becomes better
    look = steps(loss("p_0", 0.5))  # it becomes worse: this alone looks at all
    assert look > plain + 500
    assert best_of(connection) == ("p_0", 0.5)
