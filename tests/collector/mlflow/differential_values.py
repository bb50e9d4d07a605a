"""What the differential test draws: keys, values, filters and orders of runs, bodies that are wrong."""

from __future__ import annotations

import math
import sys
from typing import Any

from hypothesis import strategies as st
from mlflow.entities import ViewType

LARGEST = sys.float_info.max
BASE_MS = 1_700_000_000_000

# What is drawn often is the same again, so that filters match, names are taken, and points are there already.
KEYS = st.sampled_from(["m", "loss", "a b", "x/y", "m.1", "k:1", "ü", "_p", "0009"])
BAD_KEYS = st.sampled_from(["", "a//b", "../x", "/x", ".", "a\tb", "x" * 251, "a'b", "a,b", "./a"])
TEXTS = st.sampled_from(
    ["a", "A", "b", "ab", "aB", "a_b", "a%b", "100%", "ü", "Ü", "", " ", "x.y", "a-b", "[a]", "*", "5", "a*b?"]
)
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.5, -0.0, 1e-12, 1e12, math.nan, math.inf, -math.inf, LARGEST, 5e-324]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-5, 5).map(float),
)
STEPS = st.one_of(st.integers(-2, 3), st.sampled_from([2**31, -(2**40), 2**62]))
TIMES = st.one_of(st.integers(0, 3), st.integers(BASE_MS, BASE_MS + 2))
PICK = st.integers(0, 7)
VIEWS = st.sampled_from([ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL])
SIZES = st.sampled_from([1, 2, 1000, 1000])
STATUSES = st.sampled_from(["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"])
PATHS = st.sampled_from(["f.txt", "d/f.txt", "d/e/g.bin", "ü/b c.txt", "d2/x%y.txt"])


def quoted_key(key: str) -> str:
    plain = all(one.isalnum() or one == "_" for one in key) and key[:1].isalpha()
    return key if plain else f"`{key}`"


@st.composite
def clauses(draw: Any) -> str:
    """One comparison of a filter of runs; now and then one that is none."""
    kind = draw(st.integers(0, 11))
    key = quoted_key(draw(KEYS))
    text = draw(TEXTS)
    like = draw(st.sampled_from(["=", "!=", "LIKE", "ILIKE"]))
    pattern = draw(st.sampled_from([text, f"%{text}", f"{text}%", "_", "%_%", "a_b", "A%", "%B"])) if "LIKE" in like else text
    if kind <= 2:
        number = draw(st.sampled_from(["0", "1", "-1", "0.5", "2.5", "1e12", "-0.5", "1e-12", "3.", ".5", "1000000000000"]))
        return f"metrics.{key} {draw(st.sampled_from(['=', '!=', '<', '<=', '>', '>=']))} {number}"
    if kind <= 4:
        return f"{draw(st.sampled_from(['params', 'param', 'parameters']))}.{key} {like} '{pattern}'"
    if kind <= 6:
        return f"{draw(st.sampled_from(['tags', 'tag']))}.{key} {like} '{pattern}'"
    if kind == 7:
        return f"{draw(st.sampled_from(['params', 'tags']))}.{key} {draw(st.sampled_from(['IS NULL', 'IS NOT NULL']))}"
    if kind == 8:
        name = draw(
            st.sampled_from(
                ["attributes.run_name", "run_name", "tags.`mlflow.runName`", "attributes.user_id", "attributes.`Run name`"]
            )
        )
        return f"{name} {like} '{pattern}'"
    if kind == 9:
        status = draw(st.sampled_from(["RUNNING", "FINISHED", "KILLED", "running", "%ED"]))
        return f"attributes.status {like} '{status}'"
    if kind == 10:
        name = draw(st.sampled_from(["start_time", "attributes.start_time", "end_time", "created"]))
        return f"{name} {draw(st.sampled_from(['<', '<=', '>', '>=', '=', '!=']))} {BASE_MS + draw(st.integers(0, 5))}"
    name = draw(st.sampled_from(["dataset.name", "datasets.name", "dataset.digest", "dataset.context"]))
    return f"{name} {like} '{pattern}'"


BAD_FILTERS = st.sampled_from(
    [
        "metrics.m > '1'",
        "metrics.m > 1 OR metrics.m < 0",
        "params.m = 5",
        "params.m > 'a'",
        "foo.m = 'a'",
        "metrics.m >",
        "attributes.bad = 'a'",
        "m = 1",
        "tags.m = a",
        "attributes.start_time > 'a'",
        "attributes.status IN ('RUNNING')",
        "attributes.run_id IN ()",
        "attributes.run_id IN (1)",
        "metrics.m IS NULL",
        "tags.m NOT LIKE 'a'",
        "(metrics.m > 1)",
        "dataset.bad = 'a'",
        "metrics.m LIKE 'a'",
        "attributes.run_name > 'a'",
        "params.m IN ('a')",
        "metrics.m = 1;",
        "'a' = 'a'",
    ]
)
FILTERS = st.one_of(
    st.just(""),
    clauses(),
    clauses(),
    st.lists(clauses(), min_size=2, max_size=3).map(" AND ".join),
    BAD_FILTERS,
)
DIRECTIONS = st.sampled_from(["", " ASC", " DESC", " asc", " desc"])
ORDER = st.one_of(
    st.tuples(st.sampled_from(["metrics", "params", "tags", "metric"]), KEYS, DIRECTIONS).map(
        lambda it: f"{it[0]}.{quoted_key(it[1])}{it[2]}"
    ),
    st.tuples(
        st.sampled_from(["start_time", "attributes.end_time", "attributes.status", "run_name", "attribute.user_id"]), DIRECTIONS
    ).map("".join),
    st.sampled_from(["bad", "metrics", "foo.m", "start_time up", "dataset.name", "metrics.m DESC ASC"]),
)
ORDERS = st.lists(ORDER, max_size=2, unique_by=lambda text: text.split(".")[-1].split(" ")[0])
METRICS = st.tuples(KEYS, NUMBERS, TIMES, STEPS)
BODIES = st.sampled_from(
    [
        ("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
        ("runs/log-metric", {"run_id": "@", "value": 1, "timestamp": 1}),
        ("runs/log-metric", {"run_id": "@", "key": "m", "value": "x", "timestamp": 1}),
        ("runs/log-metric", {"run_id": "@", "key": "m", "timestamp": 1}),
        ("runs/log-metric", {"run_id": "@", "key": "m", "value": 1}),
        ("runs/log-metric", {"run_id": "@", "key": "m", "value": "NaN", "timestamp": "7"}),
        ("runs/log-metric", {"run_id": "@", "key": "m", "value": "2.5", "timestamp": 7, "step": "4"}),
        ("runs/log-metric", {"run_uuid": "@", "key": "m", "value": 3, "timestamp": 8}),
        ("runs/log-metric", {"run_id": "@", "key": "m", "value": 3, "timestamp": -8}),
        ("runs/log-metric", {"run_id": "@", "key": 5, "value": 3, "timestamp": 1}),
        ("runs/log-parameter", {"run_id": "@", "key": "m"}),
        ("runs/log-parameter", {"run_id": "@", "key": "m", "value": None}),
        ("runs/log-parameter", {"run_id": "@", "key": "q", "value": 5}),
        ("runs/set-tag", {"run_id": "@", "key": "m"}),
        ("runs/set-tag", {"run_id": "@", "key": "", "value": "x"}),
        ("runs/create", {"experiment_id": "x"}),
        ("runs/create", {"experiment_id": "123456789"}),
        ("runs/get", {}),
        ("runs/search", {"experiment_ids": "x"}),
        ("runs/search", {"experiment_ids": ["x"]}),
        ("runs/search", {"experiment_ids": [], "max_results": 0}),
        ("runs/search", {"experiment_ids": [], "max_results": 50001}),
        ("runs/search", {"experiment_ids": [], "page_token": "???"}),
        ("experiments/create", {}),
        ("experiments/create", {"name": 5}),
        ("experiments/update", {"experiment_id": "0"}),
        ("experiments/search", {"max_results": -1}),
        ("experiments/nothing", {}),
        ("runs/log-batch", {"run_id": "@", "metrics": [{"key": "m", "value": 1}]}),
        ("runs/log-batch", {"run_id": "@", "params": [{"value": "1"}]}),
        ("runs/log-batch", {"run_id": "@", "tags": [{"key": "t"}]}),
        ("runs/log-batch", {"metrics": []}),
        ("runs/log-batch", {"run_id": "bad id!"}),
        ("runs/log-batch", {"run_id": "@", "metrics": {}}),
        ("logged-models", {"name": "x"}),
        ("logged-models/search", {}),
    ]
)
