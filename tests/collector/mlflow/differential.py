"""MLflow's client against two servers at once: the same calls have to have the same outcome.

Not a test module: test_differential.py runs it with the Python of the environment for trainings.

    python -m tests.collector.mlflow.differential URL TOKEN MLFLOW_URL EXAMPLES SEED

Only ids and times that servers choose are told apart from what they are called; everything else has to be equal, but for what
docs/mlflow.md lists under "Differences". A falsified example is printed as small as Hypothesis gets it, and the exit code is 1.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus, ViewType
from mlflow.exceptions import MlflowException

from tests.collector.mlflow.differential_calls import (
    Op,
    artifacts,
    batch,
    by_name,
    call,
    counter,
    create_experiment,
    create_model,
    create_run,
    fetch,
    history,
    inputs,
    interval,
    metric_of_model,
    output,
    raw,
    search_experiments,
    search_models,
    search_runs,
    shown_experiment,
    shown_model,
    shown_run,
    terminate,
    upload,
)
from tests.collector.mlflow.differential_side import Side
from tests.collector.mlflow.differential_values import (
    BAD_KEYS,
    BASE_MS,
    BODIES,
    FILTERS,
    KEYS,
    METRICS,
    NUMBERS,
    ORDERS,
    PATHS,
    PICK,
    SIZES,
    STATUSES,
    TEXTS,
    VIEWS,
    quoted_key,
)

_counts: dict[str, int] = {}

SMALL = st.dictionaries(KEYS, TEXTS, max_size=2)
NAMES = st.sampled_from(["one", "two", "Two", "ü b/c", "x_y", "x%y"])
EXPERIMENT_FILTERS = st.one_of(
    st.just(""),
    st.tuples(KEYS, st.sampled_from(["=", "!=", "LIKE", "ILIKE"]), TEXTS).map(
        lambda it: f"tags.{quoted_key(it[0])} {it[1]} '{it[2]}'"
    ),
    st.tuples(KEYS, st.sampled_from(["IS NULL", "IS NOT NULL"])).map(lambda it: f"tags.{quoted_key(it[0])} {it[1]}"),
    st.sampled_from(
        [
            "name ILIKE '%T%'",
            "name LIKE '%x_y'",
            "name != 'q'",
            "creation_time > 5",
            "creation_time > 5.5",
            "name > 'a'",
            "experiment_id IN ('1', '2')",
            "experiment_id != '0'",
            "experiment_id = 'x'",
            "experiment_id LIKE '1'",
            "bad = 'a'",
            "params.m = 'a'",
            "last_update_time = 3",
        ]
    ),
)
EXPERIMENT_ORDERS = st.lists(
    st.sampled_from(["name", "name DESC", "experiment_id", "experiment_id DESC", "bad", "tags.m", "creation_time ASC"]),
    max_size=1,
)
MODEL_FILTERS = st.one_of(
    st.just(""),
    st.sampled_from(
        [
            "name = 'one'",
            "name LIKE '%w%'",
            "params.m = 'a'",
            "tags.m != 'a'",
            "metrics.m > 0",
            "metrics.m <= 1.5",
            "model_type = 't'",
            "name IN ('one', 'two')",
            "bad.m = 1",
            "metrics.m LIKE 'a'",
            "tags.m ILIKE 'A'",
            "name = 'one' AND params.loss = 'a'",
            "attributes.name = 'one'",
        ]
    ),
)
MODEL_ORDERS = st.one_of(
    st.just([]),
    st.sampled_from([[{"field_name": "name", "ascending": True}], [{"field_name": "params.m"}]]),
)
DATASETS = st.lists(
    st.tuples(st.sampled_from(["a", "A", "b"]), st.sampled_from(["1", "2"]), st.sampled_from(["train", "a"])), max_size=2
)

OPS: st.SearchStrategy[Op] = st.one_of(
    st.builds(batch, PICK, st.lists(METRICS, max_size=6), SMALL, SMALL, st.booleans()),
    st.builds(batch, PICK, st.lists(METRICS, min_size=1, max_size=6), st.just({}), st.just({}), st.booleans()),
    st.builds(search_runs, st.lists(PICK, min_size=1, max_size=3), FILTERS, ORDERS, VIEWS, SIZES),
    st.builds(search_runs, st.just([0, 1, 2]), FILTERS, ORDERS, VIEWS, SIZES),
    st.builds(lambda pick, it: call("log_metric", pick, *it), PICK, METRICS),
    st.builds(lambda pick, key, value: call("log_metric", pick, key, value, 5, 0), PICK, BAD_KEYS, NUMBERS),
    st.builds(lambda pick, key, value: call("log_param", pick, key, value), PICK, st.one_of(KEYS, KEYS, BAD_KEYS), TEXTS),
    st.builds(
        lambda pick, key, value: call("set_tag", pick, key, value),
        PICK,
        st.one_of(KEYS, KEYS, BAD_KEYS, st.just("mlflow.runName")),
        TEXTS,
    ),
    st.builds(lambda pick, key: call("delete_tag", pick, key), PICK, KEYS),
    st.builds(history, PICK, KEYS, st.sampled_from([None, 1, 2, 100])),
    st.builds(
        interval,
        PICK,
        PICK,
        KEYS,
        st.one_of(st.none(), st.tuples(st.integers(-1, 3), st.integers(-1, 3))),
        st.sampled_from([1, 2, 3, 50, 0]),
    ),
    st.builds(create_run, PICK, NAMES, SMALL, st.one_of(st.none(), PICK)),
    st.builds(terminate, PICK, STATUSES, st.integers(BASE_MS, BASE_MS + 9)),
    st.builds(lambda pick, name: call("update_run", pick, None, name), PICK, NAMES),
    st.builds(lambda pick: call("get_run", pick, shown=shown_run), PICK),
    st.builds(lambda pick: call("delete_run", pick), PICK),
    st.builds(lambda pick: call("restore_run", pick), PICK),
    st.builds(create_experiment, st.one_of(NAMES, st.just("")), SMALL),
    st.builds(lambda pick: call("get_experiment", pick, of="experiment", shown=shown_experiment), PICK),
    st.builds(by_name, NAMES),
    st.builds(lambda pick: call("delete_experiment", pick, of="experiment"), PICK),
    st.builds(lambda pick: call("restore_experiment", pick, of="experiment"), PICK),
    st.builds(
        lambda pick, key, value: call("set_experiment_tag", pick, key, value, of="experiment"),
        PICK,
        st.one_of(KEYS, BAD_KEYS),
        TEXTS,
    ),
    st.builds(lambda pick, key: call("delete_experiment_tag", pick, key, of="experiment"), PICK, KEYS),
    st.builds(search_experiments, EXPERIMENT_FILTERS, EXPERIMENT_ORDERS, VIEWS, SIZES),
    st.builds(
        raw, PICK, st.shared(BODIES, key="body").map(lambda it: it[0]), st.shared(BODIES, key="body").map(lambda it: it[1])
    ),
    st.builds(upload, PICK, PATHS, TEXTS),
    st.builds(artifacts, PICK, st.sampled_from(["", "d", "d/e", "d/f.txt", "nothing", "ü"])),
    st.builds(fetch, PICK, st.one_of(PATHS, st.sampled_from(["d", "nothing.txt"]))),
    st.builds(inputs, PICK, DATASETS),
    st.builds(create_model, PICK, PICK, st.sampled_from(["one", "two", "a/b"]), SMALL, SMALL),
    st.builds(
        lambda pick, status: call("finalize_logged_model", pick, status, of="model", shown=shown_model),
        PICK,
        st.sampled_from([LoggedModelStatus.READY, LoggedModelStatus.FAILED]),
    ),
    st.builds(lambda pick, tags: call("set_logged_model_tags", pick, tags, of="model"), PICK, SMALL),
    st.builds(lambda pick, key: call("delete_logged_model_tag", pick, key, of="model"), PICK, KEYS),
    st.builds(lambda pick: call("get_logged_model", pick, of="model", shown=shown_model), PICK),
    st.builds(lambda pick: call("delete_logged_model", pick, of="model"), PICK),
    st.builds(search_models, st.lists(PICK, min_size=1, max_size=2), MODEL_FILTERS, MODEL_ORDERS, SIZES),
    st.builds(metric_of_model, PICK, PICK, METRICS.filter(lambda it: math.isfinite(it[1]))),
    st.builds(output, PICK, PICK, st.integers(0, 3)),
)


def _outcome(op: Op, side: Side) -> Any:
    try:
        return "done", side.plain(op(side))
    except MlflowException as error:
        status = error.get_http_status_code()
        return "refused", status, error.error_code
    except requests.HTTPError as error:
        return "refused", None if error.response is None else error.response.status_code


def check(ops: list[Op], ours: Side, theirs: Side) -> None:
    """The same operations on both sides, and then a look at everything that they have left."""
    prefix = f"e{next(counter)}-{os.getpid()}."
    for side in (ours, theirs):
        side.begin(prefix)
    start = [create_experiment("zero", {}), create_run(0, "one", {"m": "a"}, None)]
    finish = [search_runs([0, 1, 2, 3], "", [], ViewType.ALL, 1000)]
    for position, op in enumerate([*start, *ops, *finish]):
        found, wanted = _outcome(op, ours), _outcome(op, theirs)
        kind = op.__qualname__.partition(".")[0]
        _counts[kind] = _counts.get(kind, 0) + 1
        if found != wanted:
            difference = f"call {position} ({_told(op)}) differs:\nours:   {found!r}\ntheirs: {wanted!r}"
            print(difference, flush=True)  # what comes next is smaller, and takes its time
            raise AssertionError(difference)


def _told(op: Op) -> str:
    cells = zip(op.__code__.co_freevars, op.__closure__ or (), strict=False)
    return op.__qualname__.partition(".")[0] + " " + ", ".join(f"{name}={cell.cell_contents!r}" for name, cell in cells)


def main() -> int:
    url, token, mlflow_url, examples, number = sys.argv[1:6]
    os.environ |= {"MLFLOW_TRACKING_TOKEN": token, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    os.environ |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    headers = {"Authorization": f"Bearer {token}"}
    ours = Side(MlflowClient(tracking_uri=url), url, True, headers)
    theirs = Side(MlflowClient(tracking_uri=mlflow_url), mlflow_url, False, {})
    ran = itertools.count()

    @seed(int(number))
    @settings(
        max_examples=int(examples),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
        report_multiple_bugs=False,
    )
    @given(st.lists(OPS, min_size=1, max_size=12))
    def the_outcomes_are_equal(ops: list[Op]) -> None:
        next(ran)
        check(ops, ours, theirs)

    the_outcomes_are_equal()
    print(f"{next(ran)} examples, {sum(_counts.values())} calls on each side were equal: {dict(sorted(_counts.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
