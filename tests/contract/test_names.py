"""Names: what is accepted stays inside its folder, what is refused is refused with a reason."""

from __future__ import annotations

import os
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import names

parts = st.sampled_from(["a", "..", ".", "", "\0", "log.txt", "\udcff", "\ud800", "\n", "x" * 256, "é" * 200, " "])


@pytest.mark.parametrize("run_id", ["digits-1", "a", "A.b_c-9", "0", "x" * names.MAX_RUN_ID_LENGTH])
def test_good_run_ids_are_accepted(run_id: str) -> None:
    assert names.why_bad_run_id(run_id) == ""


@pytest.mark.parametrize(
    "run_id",
    ["", ".", "..", "a..b", "-a", ".a", "a/b", "a b", "a\n", "a\0", "ü", "x" * (names.MAX_RUN_ID_LENGTH + 1), "\u0661"],
)
def test_bad_run_ids_are_refused_with_a_reason(run_id: str) -> None:
    assert names.why_bad_run_id(run_id)


@pytest.mark.parametrize("name", ["azureml-logs/70_driver_log.txt", "a", "...", "a/..b", "outputs/ü.bin", "o/\udcff", "a\nb"])
def test_good_stream_names_are_accepted(name: str) -> None:
    assert names.why_bad_stream_name(name) == ""


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/etc/passwd",
        "..",
        "../x",
        "a/../b",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "a\0b",
        "x" * 256,
        "\ud800",
        "ddd/" * 300 + "d",
    ],
)
def test_bad_stream_names_are_refused_with_a_reason(name: str) -> None:
    assert names.why_bad_stream_name(name)


@given(st.lists(parts, min_size=1, max_size=6).map("/".join) | st.text())
def test_an_accepted_stream_name_stays_below_its_folder_and_can_be_opened(name: str) -> None:
    if names.why_bad_stream_name(name):
        return
    assert os.path.normpath(f"/base/{name}") == f"/base/{name}"
    assert ".." not in PurePosixPath(name).parts
    assert b"\0" not in os.fsencode(name)
    assert all(len(part) <= 255 for part in os.fsencode(name).split(b"/"))


def test_a_run_of_one_process_has_no_suffix_and_others_have_their_rank() -> None:
    assert names.driver_log(0, 1) == "azureml-logs/70_driver_log.txt"
    assert names.driver_log(0, 2) == "azureml-logs/70_driver_log_0.txt"
    assert names.driver_log(11, 12) == "azureml-logs/70_driver_log_11.txt"


@given(st.text(min_size=1), st.integers(0, 10**6))
def test_a_superseded_name_tells_its_name_and_generation(name: str, generation: int) -> None:
    assert names.split_superseded(names.superseded(name, generation)) == (name, generation)


@pytest.mark.parametrize("name", ["a", "a~", "a.~x~", ".~1~", "a.~1~b"])
def test_other_names_are_no_superseded_ones(name: str) -> None:
    assert names.split_superseded(name) is None
