"""`runyard metrics`: what each metric of a run has come to, and every value of one."""

from __future__ import annotations

import json

import pytest

from tests.cli.scene import runyard
from tests.collector.node import Node
from tests.collector_process import CollectorProcess

AT_MS = 1_790_000_000_000
AT = "2026-09-21T14:13:20"


@pytest.fixture(scope="module")
def run_id(standing_collector: CollectorProcess) -> str:
    """A run that has recorded metrics and a parameter."""
    node = Node(standing_collector)
    records: list[list[object]] = [["m", "", "loss", 1 / (step + 1), step, AT_MS + step] for step in range(3)]
    records += [
        ["m", "", "loss", "NaN", None, AT_MS + 9],
        ["m", "", "epochs", 3, None, AT_MS],
        ["v", "", "note", "ok", None, AT_MS],
    ]
    records += [["r", "", "per class", {"cats": 0.5, "dogs": 2}, AT_MS], ["p", "", "lr", "0.1"]]
    body = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    answer = standing_collector.client().send("POST", f"/runs/{node.run_id}/records", body, "application/x-ndjson")
    assert (answer["applied"], answer["refused"]) == (len(records), [])
    return node.run_id


def said(collector: CollectorProcess, *words: str) -> str:
    """What the verb says; it has to succeed."""
    done = runyard(collector, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_each_metric_has_a_line(standing_collector: CollectorProcess, run_id: str) -> None:
    lines = [line.split() for line in said(standing_collector, "metrics", run_id).splitlines()]
    assert lines[0] == ["METRIC", "KIND", "COUNT", "LAST", "STEP", "AT", "MIN", "MAX", "MEAN"]
    rows = {line[0]: line[1:] for line in lines[1:]}
    assert rows["epochs"] == ["scalar", "1", "3", "-", f"{AT}Z", "3", "3", "3"]
    assert rows["loss"][:2] == ["scalar", "4"]
    assert rows["loss"][-3:] == ["0.333333", "1", "0.611111"]
    assert rows["note"][-3:] == ["-", "-", "-"]


def test_every_value_of_one_metric(standing_collector: CollectorProcess, run_id: str) -> None:
    lines = [line.split() for line in said(standing_collector, "metrics", run_id, "--name", "loss").splitlines()]
    assert lines[1:3] == [["0", f"{AT}.000Z", "1"], ["1", f"{AT}.001Z", "0.5"]]
    assert lines[4] == ["-", f"{AT}.009Z", "NaN"]
    assert "cats=0.5 dogs=2" in said(standing_collector, "metrics", run_id, "--name", "per class")


def test_as_json(standing_collector: CollectorProcess, run_id: str) -> None:
    found = json.loads(said(standing_collector, "metrics", run_id, "-o", "json"))["metrics"]
    assert {one["name"]: one["count"] for one in found} == {"loss": 4, "epochs": 1, "note": 1, "per class": 1}
    values = json.loads(said(standing_collector, "metrics", run_id, "--name", "loss", "-o", "json"))
    assert [point["value"] for point in values["points"]] == [1.0, 0.5, 1 / 3, "NaN"]


def test_what_is_not_there_is_named(standing_collector: CollectorProcess, run_id: str) -> None:
    for words, parts in (
        (("metrics", run_id, "--name", "los"), ["no metric 'los'", "'loss'"]),
        (("metrics", run_id + "x"), ["no run", run_id]),
    ):
        done = runyard(standing_collector, *words)
        assert done.returncode == 2
        assert all(part in done.stderr.decode() for part in parts), done.stderr
    empty = Node(standing_collector)
    assert "has recorded no metric" in said(standing_collector, "metrics", empty.run_id)


def test_show_has_the_parameters(standing_collector: CollectorProcess, run_id: str) -> None:
    assert "params      lr=0.1\n" in said(standing_collector, "show", run_id)


def test_several_runs_stand_side_by_side_in_the_order_that_was_asked_for(
    run_id: str, standing_collector: CollectorProcess
) -> None:
    other = Node(standing_collector).run_id
    body = json.dumps(["m", "", "accuracy", 0.5, 0, AT_MS]).encode()
    standing_collector.client().send("POST", f"/runs/{other}/records", body, "application/x-ndjson")
    head, *rows = [line.split() for line in said(standing_collector, "metrics", other, run_id).splitlines()]
    assert head[:2] == ["RUN", "accuracy"]
    assert rows[0][:2] == [other, "0.5"]
    assert rows[1][:2] == [run_id, "-"]
    assert rows[1][head.index("loss")] == "NaN"
    found = json.loads(said(standing_collector, "metrics", run_id, other, "-o", "json"))["runs"]
    assert [one["run_id"] for one in found] == [run_id, other]
    done = runyard(standing_collector, "metrics", run_id, other, "--name", "loss")
    assert (done.returncode, done.stderr) == (2, b"runyard: --name shows every value of one run's metric; give one run\n")
