"""What the widget is made of, without a notebook: the end of a log, which log comes first, what scripts get, the feed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard import Run
from runyard.errors import InputError
from runyard.widgets import RunDetails, summary
from runyard.widgets.choosing import first_to_read
from runyard.widgets.tail import MOST_GAPS, Tail
from tests.sdk.lab import CLUSTER, LIMIT_S, LOG, Lab
from tests.waiting import wait_for
from tests.widgets.shown import Shown


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=1, max_value=64))
def test_a_tail_is_the_end_of_what_came_and_begins_with_a_line(pieces: list[bytes], most: int) -> None:
    tail = Tail(most)
    whole = b""
    for piece in pieces:
        tail.add(len(whole), piece)
        whole += piece
        assert whole.endswith(tail.data)
        assert tail.start + len(tail.data) == len(whole)
        assert len(tail.data) <= most
        assert not tail.starts_line or tail.start == 0 or whole[tail.start - 1 : tail.start] == b"\n"


def test_a_tail_forgets_what_a_hole_has_cut_off() -> None:
    tail = Tail(100)
    tail.add(0, b"before\n")
    tail.begin(50, starts_line=False)
    tail.add(50, b"behind\n")
    assert (tail.start, tail.data, tail.starts_line) == (50, b"behind\n", False)


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.integers(min_value=0, max_value=9))), st.integers(min_value=1, max_value=64)
)
def test_a_tail_keeps_what_came_before_a_gap_and_where_the_gap_is(pieces: list[tuple[bytes, int]], most: int) -> None:
    tail = Tail(most)
    whole: dict[int, int] = {}
    end = 0
    for piece, dropped in pieces:
        tail.add(end, piece)
        whole |= {end + at: byte for at, byte in enumerate(piece)}
        end += len(piece)
        if dropped:
            tail.add_gap(end, dropped)
            end += dropped
        assert tail.end == end
        assert len(tail.gaps) <= MOST_GAPS
        in_gaps = {at for start, behind in tail.gaps for at in range(start, behind)}
        kept = [whole[at] for at in range(tail.start, end) if at not in in_gaps]
        assert bytes(kept) == tail.data


FILES = ["azureml-logs/65_job_prep-n1.txt", "azureml-logs/70_driver_log_0.txt", "azureml-logs/70_driver_log_13.txt"]


@pytest.mark.parametrize(
    ("paths", "verdict", "path"),
    [
        ([], {}, ""),
        (FILES[:1], {}, FILES[0]),
        (FILES, {}, FILES[1]),
        (FILES, {"is_decided": True, "rank": 13}, FILES[2]),
        ([*FILES, "attempts/2/azureml-logs/70_driver_log_0.txt"], {}, "attempts/2/azureml-logs/70_driver_log_0.txt"),
        (
            ["10.0.0.4/azureml-logs/70_driver_log_1.txt", "10.0.0.5/azureml-logs/70_driver_log_0.txt"],
            {},
            "10.0.0.5/" + FILES[1],
        ),
    ],
)
def test_the_log_that_is_shown_first_is_the_failed_ranks_or_the_first_ones(
    paths: list[str], verdict: dict[str, Any], path: str
) -> None:
    assert first_to_read([{"path": one} for one in paths], verdict) == path


def test_a_summary_shows_what_a_run_says_as_text() -> None:
    run = {
        "name": "<script>",
        "experiment": "e",
        "number": 1,
        "status": "Failed",
        "started_ns": 1,
        "ended_ns": 2,
        "cause": "<b>",
    }
    text = summary.as_html("r", "http://c/runs/r", {"run": run}, css_class="s")
    assert "<script>" not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


def test_without_anywidget_one_sentence_says_what_to_install() -> None:
    code = "import sys; sys.modules['anywidget'] = None; import runyard.widgets"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("runyard.widgets needs anywidget; install it with: pip install 'runyard[notebook]'")


def test_what_is_no_run_is_refused() -> None:
    with pytest.raises(InputError, match="RunDetails was given a str"):
        RunDetails("digits_1")  # type: ignore[arg-type]


TRAINING = """
from runyard import Run
run = Run.get_context()
for step in range(3): run.log("loss", 1 / (step + 1), step=step)
run.log_param("lr", 0.1)
print("all of it", flush=True)
"""


def test_scripts_are_given_what_the_widget_shows(site: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    run = site.submit(TRAINING, tags={"who": "ada"})
    run.wait_for_completion(wait_post_processing=True)
    data = RunDetails(run).get_widget_data()
    assert (data["status"], data["run_id"]) == ("Completed", run.id)
    assert data["workbench_run_details_uri"] == run.get_portal_url()
    assert data["run_properties"]["tags"] == {"who": "ada"}
    assert data["run_properties"]["parameters"] == {"lr": "0.1"}
    assert [(one["name"], one["categories"], one["series"]) for one in data["run_metrics"]] == [
        ("loss", [0, 1, 2], [{"data": [1, 0.5, 1 / 3]}])
    ]
    assert (data["log_file"], data["run_logs"]) == (LOG, "all of it\n")
    assert data["child_runs"] == []
    RunDetails(run).show()  # no notebook is here
    assert f"RunId: {run.id}\nStatus: Completed\n" in capsys.readouterr().out


def test_a_feed_ends_with_the_run_and_wakes_for_a_wish(site: Lab, tmp_path: Path) -> None:
    run = site.waiter(tmp_path / "end", CLUSTER)
    shown = Shown(run)
    wait_for(lambda: b"here as" in shown.parts.get("log", {}).get("bytes", b""), "the log is shown", limit_s=LIMIT_S)
    assert shown.parts["log"]["path"] == LOG
    (tmp_path / "end").write_text("3")
    wait_for(shown.is_over, "the feed is over", limit_s=LIMIT_S)
    assert shown.feed.wait(LIMIT_S)
    assert (shown.parts["run"]["status"], shown.parts["run"]["exit_code"]) == ("Failed", 3)
    assert "exit code 3" in shown.parts["verdict"]["sentence"]
    assert shown.parts["log"]["bytes"].endswith(b"told to end\n")
    assert site.collector.token not in repr(shown.parts)

    prepared = next(file["path"] for file in shown.parts["files"] if "65_job_prep" in file["path"])
    shown.feed.wish({"kind": "file", "path": prepared})
    wait_for(lambda: shown.parts["log"]["path"] == prepared and shown.parts["log"]["is_ended"], "another log is shown")
    shown.feed.wish({"kind": "earlier", "path": LOG, "before": 8})
    head, data = wait_for(lambda: shown.answers, "an answer has come")[-1]
    assert (head["start"], data) == (0, b"here as ")
    for wish in ({"kind": "file", "path": "/etc/passwd"}, {"kind": "open", "run_id": "another"}, {"kind": 1}, {}):
        shown.feed.wish(wish)
    assert shown.feed.wait(LIMIT_S)
    assert shown.parts["page"]["run_id"] == run.id


def test_a_feed_of_a_run_that_is_none_says_so_and_ends(site: Lab) -> None:
    shown = Shown(Run(site.experiment, "there-is-none"))
    wait_for(shown.is_over, "the feed is over", limit_s=LIMIT_S)
    assert "there is no run 'there-is-none'" in shown.parts["beat"]["trouble"]
