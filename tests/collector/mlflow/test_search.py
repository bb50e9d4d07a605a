"""SQL finds the runs, in the order, that a filter means: against the evaluation in memory, over random runs and filters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from runyard.collector import database
from runyard.collector.schema import runs
from runyard.collector.tracking import client_runs, run_attributes, search
from runyard.collector.tracking.apply import apply
from runyard.mlflow.datasets import link_of
from runyard.mlflow.evaluate import Facts, Used, matches, ordered
from runyard.mlflow.filters import Clause, Order
from runyard.mlflow.messages import Dataset, DatasetInput
from runyard.mlflow.messages import Tag as InputTag
from runyard.tracking.records import Link, Metric, Param, Record, Tag
from tests.studio import crowd

_KEYS = st.sampled_from(["m", "a b", "ü"])
_TEXTS = st.sampled_from(["", "a", "A", "ab", "a_b", "a%b", "[a]", "*", "ü", "x'y", "\\a"])
_NUMBERS = st.sampled_from([0.0, 1.0, -1.5, math.inf, -math.inf, math.nan, 1e300])


@dataclass(frozen=True)
class _Run:
    name: str
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    datasets: list[tuple[str, str]] = field(default_factory=list)


_RUNS = st.builds(
    _Run,
    _TEXTS,
    st.sampled_from(["Running", "Completed", "Failed", "Canceled", "NotStarted"]),
    st.dictionaries(_KEYS, _NUMBERS),
    st.dictionaries(_KEYS, _TEXTS),
    st.dictionaries(_KEYS, _TEXTS),
    st.lists(st.tuples(st.sampled_from(["a", "A", "b"]), _TEXTS), max_size=2, unique_by=lambda pair: pair[0]),
)
_WORDS = ("=", "!=", "LIKE", "ILIKE")
_CLAUSES = st.one_of(
    st.builds(
        Clause, st.just("metric"), _KEYS, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.sampled_from([0.0, 1.0, -1.5])
    ),
    st.builds(Clause, st.sampled_from(["param", "tag"]), _KEYS, st.sampled_from(_WORDS), _TEXTS),
    st.builds(Clause, st.sampled_from(["param", "tag"]), _KEYS, st.sampled_from(["IS NULL", "IS NOT NULL"]), st.none()),
    st.builds(Clause, st.just("attribute"), st.just("run_name"), st.sampled_from(_WORDS), _TEXTS),
    st.builds(
        Clause,
        st.just("attribute"),
        st.just("status"),
        st.sampled_from(_WORDS),
        st.sampled_from(["FINISHED", "%ED", "running"]),
    ),
    st.builds(
        Clause,
        st.just("attribute"),
        st.just("artifact_uri"),
        st.just("LIKE"),
        st.sampled_from(["mlflow-artifacts:/0/%", "%/r1/artifacts"]),
    ),
    st.builds(Clause, st.just("attribute"), st.just("start_time"), st.sampled_from(["<", ">="]), st.sampled_from([2, 2.5])),
    st.builds(Clause, st.just("attribute"), st.just("run_id"), st.sampled_from(["IN", "NOT IN"]), st.just(("r0", "r2"))),
    st.builds(Clause, st.just("dataset"), st.sampled_from(["name", "context"]), st.sampled_from(_WORDS), _TEXTS),
)
_ORDERS = st.one_of(
    st.builds(Order, st.sampled_from(["metric", "param", "tag"]), _KEYS, st.booleans()),
    st.builds(Order, st.just("attribute"), st.sampled_from(["start_time", "end_time", "status", "run_name"]), st.booleans()),
)
_CALLED = {"Running": "RUNNING", "Completed": "FINISHED", "Failed": "FAILED", "Canceled": "KILLED", "NotStarted": "SCHEDULED"}


def _enter(connection: sa.Connection, number: int, run: _Run) -> Facts:
    run_id, started_ms = f"r{number}", number // 2
    client_runs.add(connection, client_runs.NewClientRun(run_id, "Default", run.name, "u", "mlflow", started_ms))
    connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(status=run.status))
    records: list[Record] = [Metric("", key, _kept(value), 0, 1) for key, value in run.metrics.items()]
    records += [Param("", key, value) for key, value in run.params.items()]
    records += [Tag("", key, value) for key, value in run.tags.items()]
    for name, context in run.datasets:
        given = DatasetInput(Dataset(name, "d"), [InputTag("mlflow.data.context", context)])
        records.append(Link("", "dataset", *link_of(given)))
    assert apply(connection, run_id, records, now_ms=5) == []
    attributes: dict[str, int | float | str | None] = {
        "run_id": run_id,
        "run_name": run.name,
        "status": _CALLED[run.status],
        "start_time": started_ms,
        "end_time": None,
        "artifact_uri": f"mlflow-artifacts:/0/{run_id}/artifacts",
    }
    used = [Used(name, "d", (context,)) for name, context in run.datasets]
    return Facts(attributes, run.metrics, run.params, run.tags, used)


def _kept(value: float) -> Any:
    return value if math.isfinite(value) else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A catalog; nothing is ever committed to it."""
    opened = database.open_database("", tmp_path_factory.mktemp("catalog"), lambda: None)
    yield opened.engine
    opened.close()


@given(st.lists(_RUNS, min_size=1, max_size=4), st.lists(_CLAUSES, max_size=2), st.lists(_ORDERS, max_size=2))
@settings(deadline=None, max_examples=100)
def test_the_database_finds_what_the_filter_means(
    engine: sa.Engine, given_runs: list[_Run], clauses: list[Clause], orders: list[Order]
) -> None:
    with engine.connect() as connection:
        facts = {f"r{number}": _enter(connection, number, run) for number, run in enumerate(given_runs)}
        context = search.Context("sqlite", 10)
        query = sa.select(runs.c.run_id).where(search.condition(clauses, context)).order_by(*search.ordering(orders, context))
        found = list(connection.execute(query).scalars())
    natural = sorted(facts, key=lambda run_id: (-int(facts[run_id].attributes["start_time"] or 0), run_id))
    wanted = [run_id for run_id in natural if matches(clauses, facts[run_id])]
    assert found == ordered(wanted, orders, facts.__getitem__)


def test_postgresql_is_asked_the_same() -> None:
    """There is no such server here: at least everything can be said in its language."""
    clauses = [
        Clause("metric", "m", ">", 0.5),
        Clause("param", "p", "LIKE", "a\\%"),
        Clause("tag", "t", "IS NULL", None),
        Clause("attribute", "status", "=", "FAILED"),
        Clause("attribute", "artifact_uri", "ILIKE", "%"),
        Clause("dataset", "context", "=", "x"),
    ]
    context = search.Context("postgresql", 10, ["r1"])
    orders = [Order("metric", "m", False), Order("tag", "t"), Order("attribute", "run_name")]
    query = sa.select(runs.c.run_id).where(search.condition(clauses, context)).order_by(*search.ordering(orders, context))
    text = str(query.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert "GLOB" not in text
    assert "json_extract" not in text
    assert 'COLLATE "C"' in text


@pytest.mark.parametrize("pattern", ["École%", "ÉCOLE%", "%É%LE _", "Écol[*]%"])
def test_ilike_finds_what_has_the_patterns_own_letters(engine: sa.Engine, pattern: str) -> None:
    with engine.connect() as connection:
        for number, name in enumerate(("École 1", "ÉCOLE 2", "Ecole", "Écol[*]")):
            _enter(connection, number, _Run(name, "Running"))
        clauses = [Clause("attribute", "run_name", "ILIKE", pattern)]
        query = sa.select(runs.c.name).where(search.condition(clauses, search.Context("sqlite", 10)))
        found = set(connection.execute(query).scalars())
    assert found == ({"Écol[*]"} if "[" in pattern else {"École 1", "ÉCOLE 2"})


def test_more_runs_than_a_statement_has_parameters_may_not_respond(tmp_path: Path) -> None:
    crowd.fill(tmp_path, 3)
    opened = database.open_database("", tmp_path, lambda: None)
    silent = [f"r{number:06}" for number in range(1, 70_000)]
    context = search.Context(opened.engine.dialect.name, 0, silent)
    wanted = run_attributes.condition(Clause("attribute", "status", "=", "NotResponding"), context)
    with opened.engine.connect() as connection:
        found = connection.execute(sa.select(runs.c.run_id).where(wanted).order_by(runs.c.run_id)).scalars().all()
    opened.close()
    assert list(found) == ["r000001", "r000002"]
