"""Records by request, reading what came of them, and the table of runs."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from tests.collector.node import Answer, Node, call
from tests.collector_process import CollectorProcess

AT_MS = 1764417000000
NDJSON = {"Content-Type": "application/x-ndjson"}


def post(node: Node, *records: Any, batch: str = "", token: str = "", run_id: str = "") -> Answer:
    """Records as the run's own training sends them."""
    body = b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in records)
    path = f"/api/v1/runs/{run_id or node.run_id}/records" + (f"?batch={batch}" if batch else "")
    return call(node.collector, "POST", path, body, token=token or node.run_token, headers=NDJSON)


def record(node: Node, *records: Any) -> None:
    answer = post(node, *records)
    assert (answer.status, answer.json["refused"]) == (200, []), answer.data


def get(node: Node, path: str, **params: Any) -> Any:
    return node.collector.client().json("GET", path, params=params or None)


def loss(value: Any, step: int | None = 0, name: str = "loss", run: str = "") -> list[Any]:
    return ["m", run, name, value, step, AT_MS]


@pytest.mark.row("B5")
def test_a_batch_that_is_sent_again_is_applied_once(collector: CollectorProcess) -> None:
    node = Node(collector)
    records = [loss(n, n) for n in range(7000)]  # more than one transaction holds
    first = post(node, *records, batch="00ff00ff").json
    again = post(node, *records, batch="00ff00ff").json
    other = post(node, loss(7000, 7000), batch="00ff00fe").json
    assert (first["applied"], first["repeated"]) == (7000, 0)
    assert (again["applied"], again["repeated"]) == (0, 7000)
    assert (other["applied"], other["repeated"]) == (1, 0)
    elsewhere = Node(collector)
    assert post(elsewhere, loss(1), batch="00ff00ff").json["applied"] == 1, "a batch's name is its run's"
    found = get(node, f"/runs/{node.run_id}/metrics/values", name="loss", limit=100_000)
    assert [one["value"] for one in found["points"]] == list(range(7001))


def test_each_line_that_is_refused_is_named_and_the_rest_is_kept(collector: CollectorProcess) -> None:
    node = Node(collector)
    answer = post(node, loss(1), b"rubbish\n", b"\n", ["p", "", "lr", "1"], ["p", "", "lr", "2"], loss("much"), loss(2, -5))
    assert (answer.status, answer.json["applied"]) == (200, 3)
    assert [one["line"] for one in answer.json["refused"]] == [1, 4, 5]
    found = get(node, f"/runs/{node.run_id}/metrics/values", name="loss")["points"]
    assert [(one["value"], one["step"]) for one in found] == [(1, 0), (2, -5)]


def test_a_runs_token_is_good_for_its_descendants_and_for_nobody_elses(collector: CollectorProcess) -> None:
    node, other = Node(collector), Node(collector)
    child, grandchild = f"{node.run_id}_1", f"{node.run_id}_1_1"
    record(node, ["c", child, "", "one", "trial", "", AT_MS], ["c", grandchild, child, "", "", "", AT_MS])
    assert post(node, loss(1), run_id=grandchild).json["applied"] == 1
    assert post(node, loss(2, run=child), run_id=grandchild).json["applied"] == 0, "a child does not speak for its parent"
    assert post(other, loss(1), run_id=child).status == 403
    assert post(node, loss(1), run_id=other.run_id).status == 403
    for path in ("", "/metrics", "/records", "/files"):
        assert call(collector, "GET", f"/api/v1/runs/{grandchild}{path}", token=node.run_token).status == 200
        assert call(collector, "GET", f"/api/v1/runs/{grandchild}{path}", token=other.run_token).status == 403
    sampled = f"/api/v1/metrics/sampled?name=loss&run_id={grandchild}"
    assert call(collector, "GET", sampled, token=node.run_token).status == 200
    assert call(collector, "GET", sampled, token=other.run_token).status == 403
    listed = call(collector, "GET", f"/api/v1/runs?parent={child}", token=node.run_token)
    assert [run["run_id"] for run in listed.json["runs"]] == [grandchild]
    assert call(collector, "GET", f"/api/v1/runs?parent={child}", token=other.run_token).status == 403
    assert call(collector, "GET", "/api/v1/runs", token=node.run_token).status == 403


@pytest.mark.row("B5")
def test_a_run_is_shown_with_what_it_has_recorded(collector: CollectorProcess) -> None:
    node = Node(collector, user="ada", experiment="digits")
    child = f"{node.run_id}_1"
    record(
        node, ["p", "", "lr", "0.1"], ["y", "", "commit", "abc"], ["g", "", "owner", "ada"], ["w", "", "loss", "minimize"],
        ["c", child, "", "one", "trial", "", AT_MS], loss(0.25, run=child), ["s", "", "Completed", "", AT_MS],
        ["n", "", "my run"],
    )  # fmt: skip
    run = get(node, f"/runs/{node.run_id}")
    assert (run["params"], run["properties"], run["tags"]) == ({"lr": "0.1"}, {"commit": "abc"}, {"owner": "ada"})
    assert (run["goal"], run["best_run_id"], run["best_value"]) == ({"metric": "loss", "goal": "minimize"}, child, 0.25)
    assert (run["status"], run["hint"], run["name"], run["experiment"]) == ("NotStarted", "Completed", "my run", "digits")
    kid = get(node, f"/runs/{child}")
    assert (kid["parent_run_id"], kid["kind"], kid["user"], kid["experiment"]) == (node.run_id, "trial", "ada", "digits")
    assert (kid["is_client_run"], kid["nodes"], kid["processes"]) == (True, [], [])
    assert kid["number"] == run["number"] + 1
    ids = {one["run_id"] for one in get(node, "/runs", experiment="digits")["runs"]}
    assert (node.run_id in ids, child in ids) == (True, False)
    ids = {one["run_id"] for one in get(node, "/runs", experiment="digits", include_children=1, kind="trial")["runs"]}
    assert child in ids
    record(node, ["d", child, True, AT_MS])
    assert get(node, "/runs", parent=node.run_id)["runs"] == []
    assert len(get(node, "/runs", parent=node.run_id, include_deleted=1)["runs"]) == 1


def test_values_are_read_page_by_page_as_they_were_recorded(collector: CollectorProcess) -> None:
    node = Node(collector)
    said = [1, 1.0, True, None, "NaN", 2**60 + 1, -0.5]
    lines = [["v" if isinstance(one, bool | None) else "m", "", "x", one, None, AT_MS] for one in said]
    record(node, *lines, ["v", "", "x", "NaN", 3, AT_MS])
    path, found, start = f"/runs/{node.run_id}/metrics/values", [], 0
    while start is not None:
        page = get(node, path, name="x", limit=3, **{"from": start})
        assert page["count"] == 8
        found += page["points"]
        start = page.get("next")
    assert [(type(one["value"]), one["value"]) for one in found] == [(type(one), one) for one in [*said, "NaN"]]
    assert [one.get("is_text", False) for one in found] == [False] * 7 + [True]
    assert [one["step"] for one in found] == [None] * 7 + [3]


def sampled(node: Node, *run_ids: str, **params: Any) -> list[Any]:
    answer = get(node, "/metrics/sampled", run_id=list(run_ids or (node.run_id,)), **({"name": "loss"} | params))
    series: list[Any] = answer["series"]
    return series


@pytest.mark.row("B5")
@pytest.mark.parametrize("count", [900, 3000, 60_000], ids=["exact", "from points", "from envelopes"])
def test_a_chart_has_every_column_that_has_points_and_no_extreme_is_lost(collector: CollectorProcess, count: int) -> None:
    node = Node(collector)
    numbers = [math.sin(n / 50) + (100 if n == count // 3 else 0) for n in range(count)]
    for start in range(0, count, 15_000):
        record(node, *(["m", "", "loss", numbers[n], n, AT_MS + n] for n in range(start, min(count, start + 15_000))))
    columns = 200 if count > 900 else 1000
    [series] = sampled(node, columns=columns)
    assert (series["count"], series["is_sampled"], series["x_is"]) == (count, count > 900, "step")
    if count <= 900:
        assert (series["x"], series["value"]) == (list(range(count)), numbers)
        return
    assert len(series["x"]) == columns
    assert series["x"] == sorted(series["x"])
    assert (min(series["min"]), max(series["max"]), series["last"][-1]) == (min(numbers), max(numbers), numbers[-1])
    spike = series["max"].index(max(numbers))
    assert abs(series["x"][spike] - count // 3) <= count / columns + 64
    # Within a window there are more columns for the same points, down to the points themselves.
    [near] = sampled(node, columns=columns, x="time", start=AT_MS + count // 3 - 50, end=AT_MS + count // 3 + 49)
    assert (near["is_sampled"], near["value"]) == (False, numbers[count // 3 - 50 : count // 3 + 50])


def test_a_chart_of_several_runs_takes_what_there_is_and_what_is_no_number_as_a_hole(collector: CollectorProcess) -> None:
    node = Node(collector)
    kids = [f"{node.run_id}_{n}" for n in range(3)]
    record(node, *(["c", kid, "", "", "", "", AT_MS] for kid in kids))
    record(node, *(loss("NaN" if n < 600 else n, 1200 - n, run=kids[0]) for n in range(1200)))  # and it runs backwards
    record(node, *(loss(n, None, run=kids[1]) for n in range(3)), ["r", kids[2], "loss", {"a": 1}, AT_MS])
    found = {one["run_id"]: one for one in sampled(node, *kids, columns=2)}
    assert set(found) == set(kids[:2]), "a table is no line"
    assert found[kids[0]]["max"] == [1199, None]
    assert found[kids[0]]["min"] == [600, None]
    assert (found[kids[1]]["x_is"], found[kids[1]]["x"], found[kids[1]]["max"]) == ("index", [0, 2], [0, 2])


def table(node: Node, *columns: tuple[str, str], **body: Any) -> Any:
    wanted = {"metrics": [{"name": name, "value": value} for name, value in columns], "parent": node.run_id}
    answer = call(node.collector, "POST", "/api/v1/runs/query", wanted | body, token=node.run_token)
    assert answer.status == 200, answer.data
    return answer.json


@pytest.mark.row("B5")
def test_runs_are_a_table_with_columns_of_their_metrics_filtered_ordered_and_paged(collector: CollectorProcess) -> None:
    node = Node(collector)
    kids = [f"{node.run_id}_{n}" for n in range(6)]
    for n, kid in enumerate(kids):
        record(
            node, ["c", kid, "", f"kid {n}", "trial", "", AT_MS + n], ["p", kid, "lr", f"0.{n}"],
            ["g", kid, "half", str(n % 2)], loss(n, 1, run=kid), loss(10 - n, 2, run=kid),
            ["s", kid, "Completed" if n < 3 else "Running", "", AT_MS],
        )  # fmt: skip
    record(node, loss("NaN", 3, "odd", run=kids[0]), ["v", kids[1], "odd", "text", None, AT_MS])
    whole = table(node, ("loss", "last"), ("loss", "min"), ("loss", "mean"), ("odd", "last"))["runs"]
    assert [run["run_id"] for run in whole] == kids[::-1], "the newest first"
    assert whole[-1]["metrics"] == [10, 0, 5, "NaN"]
    assert whole[-2]["metrics"] == [9, 1, 5, "text"]
    shown = {
        "run_id": kids[5], "experiment": "exp", "name": "kid 5", "status": "Running", "kind": "trial", "ended_ns": None,
        "parent_run_id": node.run_id, "best_run_id": None, "params": {"lr": "0.5"}, "tags": {"half": "1"},
    }  # fmt: skip
    assert {name: whole[0][name] for name in shown} == shown

    def ids(filter_text: str = "", *order: str, value: str = "last") -> list[int]:
        rows = table(node, ("loss", value), filter=filter_text, order_by=list(order))["runs"]
        return [int(row["run_id"].rpartition("_")[2]) for row in rows]

    assert ids("metrics.loss < 8", "metrics.loss ASC") == [5, 4, 3]
    assert ids("metrics.loss < 2", "metrics.loss ASC", value="min") == [0, 1], "what the column shows is what is compared"
    assert ids("params.lr = '0.3'") == [3]
    assert ids("tags.half = '1' AND status = 'Completed'") == [1]
    assert ids("status != 'Completed'", "created ASC") == [3, 4, 5]
    assert ids("name LIKE 'kid%' AND parent = '" + node.run_id + "' AND kind = 'trial'", "params.lr DESC") == [5, 4, 3, 2, 1, 0]
    assert ids("", "metrics.odd ASC", "number ASC")[:2] == [0, 1], "what has no value comes last, and then it is the next order"
    first = table(node, page_size=4)
    rest = table(node, page_size=4, page_token=first["next_page_token"])
    assert [run["run_id"] for run in first["runs"] + rest["runs"]] == kids[::-1]
    assert rest["next_page_token"] is None
    bad = call(collector, "POST", "/api/v1/runs/query", {"filter": "metrics.loss ~ 3", "parent": node.run_id})
    assert (bad.status, bad.json["code"]) == (400, "invalid")
    assert call(collector, "POST", "/api/v1/runs/query", {}, token=node.run_token).status == 403


def query(collector: CollectorProcess, **body: Any) -> Any:
    answer = call(collector, "POST", "/api/v1/runs/query", body)
    assert answer.status == 200, answer.data
    return answer.json


@pytest.mark.row("C1")
def test_a_table_is_read_from_any_place_with_its_length_and_the_labels_that_are_wanted(collector: CollectorProcess) -> None:
    made = [Node(collector, experiment="places", tags={"n": str(n), "other": "x"}) for n in range(5)]
    record(made[0], ["c", f"{made[0].run_id}_kid", "", "kid", "", "", AT_MS], ["p", "", "lr", "1"], ["p", "", "depth", "2"])
    middle = query(collector, experiment="places", offset=3, page_size=1, with_total=True, tags=["n"], params=["lr"])
    assert (middle["total"], [run["tags"] for run in middle["runs"]]) == (5, [{"n": "1"}])
    last = query(collector, filter="experiment IN ('places')", offset=4, with_total=True, tags=[], params=["lr"])
    assert (last["total"], last["next_page_token"]) == (5, None)
    assert [(run["run_id"], run["child_count"], run["params"]) for run in last["runs"]] == [(made[0].run_id, 1, {"lr": "1"})]
    first = query(collector, experiment="places", page_size=1)
    assert (first["total"], "command" in first["runs"][0]) == (None, False)
    told = query(collector, experiment="places", page_size=1, with_command=True)["runs"]
    assert told[0]["command"] == call(collector, "GET", f"/api/v1/runs/{told[0]['run_id']}").json["command"]
    both = call(collector, "POST", "/api/v1/runs/query", {"page_token": first["next_page_token"], "offset": 1})
    assert (both.status, both.json["detail"]) == (400, "offset and page_token both say where the page begins; give one of them")


@pytest.mark.row("C1")
def test_runs_are_found_by_their_nodes_and_how_long_they_took(collector: CollectorProcess) -> None:
    near, far = (Node(collector, experiment="found", ip=ip) for ip in ("10.1.0.1", "10.1.0.2"))
    near.put_state("Completed", exit_code=0, started_ns=10**9, ended_ns=3 * 10**9, is_complete=True)

    def found(filter_text: str, *order: str) -> list[str]:
        rows = query(collector, experiment="found", filter=filter_text, order_by=list(order))["runs"]
        return [row["run_id"] for row in rows]

    assert found("node = '10.1.0.1'") == [near.run_id]
    assert found(f"node IN ('{near.node_id}', '{far.node_id}') AND node != '10.1.0.1'") == [far.run_id]
    assert found("node LIKE '10.1.%'", "created ASC") == [near.run_id, far.run_id]
    assert found("node NOT IN ('host')") == []
    assert found("duration >= 2000 AND duration < 2001 AND node_count = 1") == [near.run_id]
    assert found("", "duration ASC") == [near.run_id, far.run_id], "what has not started comes last"
    assert found("cluster = ''", "cluster ASC", "created ASC") == [near.run_id, far.run_id]
    assert found("experiment != 'found'") == []


@pytest.mark.row("C1")
def test_names_that_are_in_use_are_told_of_one_experiment_or_of_all(collector: CollectorProcess) -> None:
    node = Node(collector, experiment="named", user="ada", tags={"team": "a"})
    record(node, loss(0.5, 1), ["v", "", "note", "a text", None, AT_MS], ["p", "", "lr", "0.1"], ["p", "", "long", "x" * 300])
    assert call(collector, "GET", "/api/v1/known-names?experiment=named").json == {
        "metrics": ["loss"], "params": {"long": [], "lr": ["0.1"]}, "tags": {"team": ["a"]}, "users": ["ada"], "clusters": [],
        "nodes": ["host"], "kinds": ["script"],
    }  # fmt: skip
    assert "ada" in call(collector, "GET", "/api/v1/known-names").json["users"]
    nothing = call(collector, "GET", "/api/v1/known-names?experiment=none-such").json
    assert {name: len(values) for name, values in nothing.items()} == dict.fromkeys(nothing, 0)
    [listed] = call(collector, "GET", "/api/v1/experiments?name=named").json["experiments"]
    assert (listed["run_count"], listed["statuses"]) == (1, {"NotStarted": 1})


def test_a_chart_is_asked_for_again_and_shows_what_has_come_since(collector: CollectorProcess) -> None:
    node = Node(collector)
    for count in (1000, 2000):
        record(node, *(loss(n, n) for n in range(count - 1000, count)))
        for columns in (50, 2000, 50):
            [series] = sampled(node, columns=columns)
            assert (series["count"], (series["last"] or series["value"])[-1]) == (count, count - 1)
