"""Records of somebody who means harm: they reach no other run's things, cost nobody else anything, and break nothing."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.collector.mlflow.mlflow_api import Mlflow
from tests.collector.node import Node, call
from tests.collector.tracking.test_routes import AT_MS, NDJSON, get, loss, post, record
from tests.collector_process import CollectorProcess


def test_a_record_changes_no_model_of_another_run(collector: CollectorProcess) -> None:
    node, other = Node(collector), Node(collector)
    theirs = _model(collector, other)
    shown = Mlflow(collector).do(f"logged-models/{theirs}")
    answer = post(node, ["lm", theirs, "", {"status": "LOGGED_MODEL_UPLOAD_FAILED", "name": "mine"}, AT_MS])
    assert [one["line"] for one in answer.json["refused"]] == [0]
    assert "another run" in answer.json["refused"][0]["why"]
    assert Mlflow(collector).do(f"logged-models/{theirs}") == shown
    measured = post(node, ["m", "", "loss", 1, 0, AT_MS, theirs, "", ""]).json
    assert (measured["applied"], measured["refused"]) == (1, []), "the point is the run's own"
    assert Mlflow(collector).do(f"logged-models/{theirs}") == shown, "and none of the model's"
    own = _model(collector, node)
    record(node, ["m", "", "loss", 1, 0, AT_MS, own, "", ""])
    assert Mlflow(collector).do(f"logged-models/{own}")["model"]["data"]["metrics"][0]["value"] == 1


def _model(collector: CollectorProcess, node: Node) -> str:
    experiment = Mlflow(collector).do("experiments/get-by-name", experiment_name="exp")["experiment"]["experiment_id"]
    made = Mlflow(collector, node.run_token).do("logged-models", {"experiment_id": experiment, "source_run_id": node.run_id})
    model_id: str = made["model"]["info"]["model_id"]
    return model_id


@pytest.mark.parametrize(
    "bad",
    [
        {"params": 5}, {"params": {"k": 5}}, {"tags": []}, {"name": None}, {"name": 5}, {"name": "a\0b"}, {"status": "x" * 99},
        {"status": "NONE"}, {"metrics": [{"key": "m"}]}, {"deleted_ms": "now"}, {"deleted_ms": 2**70}, {"name": "x" * 70_000},
    ],
    ids=lambda bad: repr(bad)[:30].replace("\0", ""),
)  # fmt: skip
def test_a_model_that_is_none_is_refused_and_models_are_found_as_before(
    collector: CollectorProcess, bad: dict[str, Any]
) -> None:
    node = Node(collector, experiment="of-models")
    answer = post(node, ["lm", f"m-{node.run_id}", "", bad, AT_MS], loss(1))
    assert (answer.status, answer.json["applied"]) == (200, 1), answer.data
    experiment = Mlflow(collector).do("experiments/get-by-name", experiment_name="of-models")["experiment"]["experiment_id"]
    assert "models" not in Mlflow(collector).do("logged-models/search", {"experiment_ids": [experiment]})


@pytest.mark.parametrize("model_id", ["", "m" * 65, "a/b", "a\0b", "a b"])
def test_a_model_has_an_id_that_is_one(collector: CollectorProcess, model_id: str) -> None:
    answer = post(Node(collector), ["lm", model_id, "", {}, AT_MS])
    assert (answer.status, answer.json["applied"]) == (200, 0), answer.data


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("dataset", {}), ("dataset", {"name": 5, "digest": "d", "input": {}}), ("dataset", {"name": "n", "digest": "d"}),
        ("dataset", {"name": "n", "digest": "d", "input": {"tags": 5}}), ("model_input", {}), ("model_output", {"model_id": 5}),
        ("model_output", {"model_id": "m", "step": "x"}),
    ],
)  # fmt: skip
def test_a_link_that_is_none_is_refused_and_runs_are_shown_as_before(
    collector: CollectorProcess, kind: str, document: dict[str, Any]
) -> None:
    node = Node(collector, experiment="of-links")
    answer = post(node, ["l", "", kind, "key", document], loss(1))
    assert (answer.status, answer.json["applied"]) == (200, 1), answer.data
    client = Mlflow(collector)
    client.do("runs/get", run_id=node.run_id)
    experiment = client.do("experiments/get-by-name", experiment_name="of-links")["experiment"]["experiment_id"]
    assert client.do("experiments/search-datasets", {"experiment_ids": [experiment]}) == {}
    client.do("runs/search", {"experiment_ids": [experiment]})


@pytest.mark.parametrize(
    "bad",
    [

        ["c", "CHILD", "", "x" * 70_000, "trial", "", AT_MS], ["c", "CHILD", "", "", "k" * 33, "", AT_MS],
        ["c", "CHILD", "", "", "a\0b", "", AT_MS], ["c", "CHILD", "", "a\0b", "trial", "", AT_MS],
        ["c", "CHILD", "", "", "trial", "u" * 5000, AT_MS], ["c", "CHILD", "", "", "trial", "a\0b", AT_MS],
        ["m", "a\0b", "loss", 1, 0, AT_MS], ["g", "a\0b", "k", "v"], ["c", "CHILD", "a\0b", "", "trial", "", AT_MS],
        ["a", "model:a\0b", "p", "0" * 64, 1, AT_MS], ["ua", "", "a\0b"], ["ug", "", "a\0b"],
        ["r", "", "table", {"c": "x" * 70_000}, AT_MS], ["x", "", "image", "image", "x" * 70_000, 0, AT_MS],
        ["l", "", "model_input", "a\0b", {"model_id": "m"}], ["m", "", "loss", 1, 0, AT_MS, "m" * 70_000, "", ""],
        ["m", "", "loss", 1, 0, AT_MS, "", "d" * 70_000, ""], ["m", "", "loss", 1, 0, AT_MS, "", "a\0b", ""],
    ],
    ids=lambda bad: f"{bad[0]}-{max((str(one) for one in bad[2:]), key=len)[:8]!r}",
)  # fmt: skip
def test_what_no_database_takes_is_refused_with_a_sentence(collector: CollectorProcess, bad: list[Any]) -> None:
    node = Node(collector)
    bad = [f"{node.run_id}_1" if one == "CHILD" else one for one in bad]
    answer = post(node, bad, loss(2, name="kept"))
    assert (answer.status, answer.json["applied"]) == (200, 1), answer.data[:300]
    assert [one["line"] for one in answer.json["refused"]] == [0]
    assert len(answer.json["refused"][0]["why"]) < 1000


def test_how_a_run_ended_is_kept_whatever_its_cause_is(collector: CollectorProcess) -> None:
    node = Node(collector)
    child = f"{node.run_id}_1"
    record(node, ["c", child, "", "", "trial", "", AT_MS], ["s", child, "Failed", "a\0b" + "x" * 70_000, AT_MS])
    shown = get(node, f"/runs/{child}")
    assert (shown["status"], shown["cause"][:5], len(shown["cause"])) == ("Failed", "a\ufffdbxx", 4096)


def test_a_flood_of_lines_that_are_no_records_keeps_nobody_waiting(collector: CollectorProcess) -> None:
    node = Node(collector)
    body = b"[]\n" * (15 << 20 >> 2)
    found: list[Any] = []
    flood = threading.Thread(target=lambda: found.append(_send(node, body)))
    flood.start()
    longest_s = 0.0
    while flood.is_alive():
        begun_s = time.monotonic()
        assert call(collector, "GET", "/livez", token="").status == 200
        longest_s = max(longest_s, time.monotonic() - begun_s)
        time.sleep(0.01)
    flood.join()
    assert (found[0].status, found[0].json["code"]) == (413, "too-large")
    assert longest_s < 0.5
    assert get(node, f"/runs/{node.run_id}/metrics") == {"metrics": []}


def _send(node: Node, body: bytes) -> Any:
    return call(node.collector, "POST", f"/api/v1/runs/{node.run_id}/records", body, token=node.run_token, headers=NDJSON)
