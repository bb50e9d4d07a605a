"""What a user may hand to run.log and its like, and what is said of what nobody can use."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.errors import InputError
from runyard.sdk.run import Run
from runyard.tracking.records import Artifact, FileMetric, Metric, Row
from tests.training_site import TRAINING_PYTHON, needs_torch

from .recorded import Job, values_of

RESIDUALS = {"schema_type": "residuals", "schema_version": "1.0.0", "data": {"bin_edges": [1, 2], "bin_counts": [5]}}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [
        (1, 1),
        (0.1, 0.1),
        (True, True),
        (None, None),
        ("good", "good"),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[2.5]]), 2.5),
        (np.longdouble("0.25"), 0.25),
        (np.array([np.longdouble("0.25")]), 0.25),
        (np.longdouble("nan"), "NaN"),
        (np.clongdouble(1 + 2j), "(1+2j)"),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (Decimal("sNaN"), "Decimal('sNaN')"),
        (Decimal("NaN"), "NaN"),
        (1 + 2j, "(1+2j)"),
        (2**80, 2**80),
        (float("inf"), "Infinity"),
        (-np.inf, "-Infinity"),
        (np.datetime64("2026-01-01"), "datetime.date(2026, 1, 1)"),
        (Path("x"), repr(Path("x"))),
    ],
)
def test_a_value_is_kept_as_the_plain_one_that_it_is(job: Job, given_value: Any, kept: Any) -> None:
    job.run().log("m", given_value)
    [value] = values_of(job.records(), "m")
    assert value == kept
    assert type(value) is type(kept)


@needs_torch
def test_tensors_of_one_element_and_plots_are_taken(job: Job) -> None:
    script = (
        "import matplotlib, torch\nfrom runyard import Run\nmatplotlib.use('Agg')\nfrom matplotlib import pyplot\n"
        "run = Run.get_context()\nrun.log('t', torch.tensor(0.5, requires_grad=True))\nrun.log('n', torch.tensor([3]))\n"
        "pyplot.plot([1, 2])\nrun.log_image('curve', plot=pyplot)\nrun.log_image('curve', plot=pyplot.gcf(), step=1)\n"
    )
    job.env["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = job.script(script, python=str(TRAINING_PYTHON))
    assert done.returncode == 0, done.stderr
    found = job.records()
    assert values_of(found, "t") == [0.5]
    assert values_of(found, "n") == [3]
    sha256_of = {record.path: record.sha256 for record in found if isinstance(record, Artifact)}
    first, second = [record for record in found if isinstance(record, FileMetric)]
    assert (first.step, second.step) == (None, 1)
    assert first.path != second.path
    for metric in (first, second):
        assert re.fullmatch(r"curve_\d+(_2)?\.png", metric.path)
        assert (job.blobs_dir / sha256_of[metric.path]).read_bytes().startswith(b"\x89PNG")


BAD: list[tuple[Callable[[Run], object], str]] = [
    (lambda run: run.log("", 1), "the name of a metric is empty; it has to have 1 to 255 characters"),
    (lambda run: run.log("x" * 256, 1), "the name of a metric has 256 characters, at most 255 are allowed: 'xxxx"),
    (lambda run: run.log(3, 1), "the name of a metric has to be a str; int was given"),  # type: ignore[arg-type]
    (lambda run: run.log(["m"], 1), "the name of a metric has to be a str; list was given"),  # type: ignore[arg-type]
    (lambda run: run.log("m", Fraction(10**400)), "metric 'm': the number is larger than any double"),
    (lambda run: run.log("a\ud800", 1), "the name of a metric holds half of a character"),
    (lambda run: run.log("a\0", 1), "the name of a metric holds a NUL"),
    (lambda run: run.log("m", [1, 2]), "metric 'm': log takes one value, a list was given; use log_list"),
    (lambda run: run.log("m", range(3)), "metric 'm': log takes one value, a range was given"),
    (lambda run: run.log("m", (n for n in (1, 2))), "metric 'm': log takes one value, a generator was given"),
    (lambda run: run.log("m", b"12"), "metric 'm': log takes one value, a bytes was given"),
    (lambda run: run.log("m", {"a": 1}), "metric 'm': log takes one value, a dict was given"),
    (lambda run: run.log("m", np.zeros(3)), "metric 'm': log takes one value, an array of 3 was given; use log_list"),
    (lambda run: run.log("m", 10**400), "metric 'm': a whole number of 1329 bits is too large, at most 1023"),
    (lambda run: run.log("m", 1, step=1.5), "metric 'm': a step is a whole number; 1.5 was given"),  # type: ignore[arg-type]
    (lambda run: run.log("m", 1, step=2**64), "metric 'm': the step 18446744073709551616 is too large"),
    (lambda run: run.log_list("m", 5), "metric 'm': several values have to be a list; int was given"),  # type: ignore[arg-type]
    (lambda run: run.log_list("m", [1, [2]]), "metric 'm': log takes one value, a list was given"),
    (lambda run: run.log_row("m"), "metric 'm': a row has at least one column; none was given"),
    (lambda run: run.log_row("m", x=[1]), "metric 'm': log takes one value, a list was given"),
    (
        lambda run: run.log_table("m", {"x": [1, 2], "y": [1]}),
        "metric 'm': the columns of a table have to be of one length: 'x' has 2, 'y' has 1",
    ),
    (lambda run: run.log_table("m", [1]), "metric 'm': a table is a dict of columns; list was given"),  # type: ignore[arg-type]
    (lambda run: run.log_image("m"), "image 'm': give either path or plot; neither was given"),
    (lambda run: run.log_image("m", path="a", plot="b"), "image 'm': give either path or plot; both was given"),
    (lambda run: run.log_image("m", path="/nowhere.png"), "image 'm': '/nowhere.png' cannot be read: No such file"),
    (lambda run: run.log_image("m", plot=3), "image 'm': a plot is matplotlib.pyplot or a figure; int was given"),
    (lambda run: run.log_confusion_matrix("m", "{"), "metric 'm': the text is no JSON"),
    (lambda run: run.log_residuals("m", {}), "metric 'm' is no residuals: 'schema_type' is missing"),
    (lambda run: run.tag("", "x"), "the name of a tag is empty"),
    (lambda run: run.tag("k", "x" * 70_000), "a tag 'k': its value has 70000 characters, at most 65536 are allowed"),
    (lambda run: run.remove_tags(3), "the keys of tags are a list of texts; int was given"),  # type: ignore[arg-type]
    (lambda run: run.add_properties({"": 1}), "the name of a property is empty"),
    (lambda run: run.log_param("", 1), "the name of a parameter is empty"),
    (lambda run: run.child_run(run_id="a/b"), "the child's id 'a/b' may hold only letters"),
    (lambda run: run.create_children(count=101), "create_children makes 1 to 100 children; 101 were asked for"),
    (lambda run: run.create_children("3"), "create_children: count is a whole number; '3' was given"),  # type: ignore[arg-type]
    (lambda run: run.create_children(tag_key="k", tag_values=3), "create_children: tag_values is a list; int was given"),  # type: ignore[arg-type]
    (lambda run: run.upload_folder("x", 3), "a folder is a path; int was given"),  # type: ignore[arg-type]
    (lambda run: run.create_children(), "create_children takes either count, or both tag_key and tag_values"),
]


@pytest.mark.parametrize(("call", "sentence"), BAD)
def test_bad_input_is_one_sentence_and_costs_nothing_else(job: Job, call: Callable[[Run], object], sentence: str) -> None:
    run = job.run()
    run.log("before", 1)
    with pytest.raises(InputError) as raised:
        call(run)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)
    run.log("after", 1)
    assert [record.name for record in job.records()] == ["before", "after"]


def test_two_kinds_under_one_name_are_said_once_and_the_later_is_left_out(job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    run = job.run()
    run.log("loss_of_kinds", 1)
    for number in range(3):
        run.log_row("loss_of_kinds", x=number)
    run.log("loss_of_kinds", 2)
    assert values_of(job.records(), "loss_of_kinds") == [1, 2]
    told = "metric 'loss_of_kinds' of run r is of kind scalar: what comes under that name as row is not recorded"
    assert capfd.readouterr().err == f"runyard: {told}\n"


def test_what_is_refused_claims_no_name(job: Job) -> None:
    run = job.run()
    with pytest.raises(InputError):
        run.log("m", [1])
    with pytest.raises(InputError):
        run.log("m", 1, step="x")  # type: ignore[arg-type]
    with pytest.raises(InputError):
        run.log_list("m", [[1]])
    run.log_row("m", x=1)
    assert [(record.name, record.cells) for record in job.records()] == [("m", {"x": 1})]


def test_a_step_that_runs_backwards_is_kept_in_order(job: Job) -> None:
    run = job.run()
    for step in (5, 3, 4, 3, None, np.int32(2)):
        run.log("m", 0.5, step=step)
    assert [record.step for record in job.records()] == [5, 3, 4, 3, None, 2]


def test_a_document_replaces_no_file_of_another_process_or_another_object_of_the_run(job: Job) -> None:
    head = (
        "import os\nfrom runyard import Run\nrun = Run.get_context()\n"
        "def log(count):\n    data = {'bin_edges': [1, 2], 'bin_counts': [count]}\n"
        "    run.log_residuals('res', {'schema_type': 'residuals', 'schema_version': '1.0.0', 'data': data})\n"
    )
    for rest in ("log(1)", "log(2)\nif os.fork() == 0:\n    log(3)\n    os._exit(0)\nos.wait()\nlog(4)"):
        done = job.script(head + rest)
        assert done.returncode == 0, done.stderr
    job.run().log_residuals("res", RESIDUALS)
    job.run().log_residuals("res", RESIDUALS)
    found = job.records()
    assert sorted(record.path for record in found if isinstance(record, FileMetric)) == [
        "res",
        *(f"res_{n}" for n in range(2, 7)),
    ]
    kept = {record.path: record.sha256 for record in found if isinstance(record, Artifact)}
    assert json.loads((job.blobs_dir / kept["res"]).read_bytes())["data"]["bin_counts"] == [1]
    assert len(kept) == 6


def test_lists_rows_and_tables_are_records_in_order(job: Job) -> None:
    run = job.run()
    run.log_list("l", np.array([1.5, 2.5]))
    run.log_row("r", x=1, y=np.float64("nan"))
    run.log_table("t", {"a": np.arange(2), "b": ["x", None]})
    found = job.records()
    assert values_of(found, "l") == [1.5, 2.5]
    assert [(one.name, one.cells) for one in found if isinstance(one, Row)] == [
        ("r", {"x": 1, "y": "NaN"}),
        ("t", {"a": 0, "b": "x"}),
        ("t", {"a": 1, "b": None}),
    ]


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=255)


@given(name=names, value=st.one_of(st.integers(-(2**1000), 2**1000), st.floats(allow_nan=True)))
def test_names_and_numbers_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, name: str, value: float) -> None:
    job = Job(tmp_path_factory.mktemp("job"))
    job.run().log(name, value, step=1)
    [record] = job.records()
    assert isinstance(record, Metric)
    assert (record.name, record.step) == (name, 1)
    kept = float(record.value) if isinstance(record.value, str) else record.value
    assert type(kept) is type(value)
    assert repr(kept) == repr(value)
    assert math.copysign(1, kept) == math.copysign(1, value) or math.isnan(value)
