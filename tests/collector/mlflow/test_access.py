"""Who may do what through MLflow's API, and that every error there has MLflow's form."""

from __future__ import annotations

from typing import Any

import pytest

from tests.collector.mlflow.mlflow_api import API, FILES, Mlflow, basic
from tests.collector.node import Node, call
from tests.collector_process import CollectorProcess

DENIED = (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("path", ["/health", "/version", "/api/3.0/mlflow/server-info"])
def test_what_clients_ask_before_they_log_in_needs_no_token(collector: CollectorProcess, path: str) -> None:
    assert call(collector, "GET", path, token="").status == 200


def test_a_token_is_taken_as_bearer_and_as_a_password(collector: CollectorProcess) -> None:
    target = f"{API}experiments/get?experiment_id=0"
    assert call(collector, "GET", target).status == 200
    assert call(collector, "GET", target, token="", headers=basic(collector.token)).status == 200
    for headers in ({}, basic("wrong"), {"Authorization": "Basic ???"}):
        answer = call(collector, "GET", target, token="", headers=headers)
        assert (answer.status, answer.json["error_code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_what_is_not_there_is_told_in_mlflows_form(collector: CollectorProcess) -> None:
    client = Mlflow(collector)
    assert client.refused("experiments/nothing", {}) == (404, "ENDPOINT_NOT_FOUND")
    assert client.refused("traces/search", {}) == (404, "ENDPOINT_NOT_FOUND")
    assert client.refused("runs/log-metric") == (404, "ENDPOINT_NOT_FOUND")  # it is a POST
    assert client.refused("runs/get", run_id="nothing") == (404, "RESOURCE_DOES_NOT_EXIST")
    assert client.file("GET", "0/nothing/artifacts/x").json["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert call(collector, "POST", "/api/2.0/mlflow-artifacts/mpu/create/x", {}).status == 501
    broken = call(collector, "POST", f"{API}runs/create", b"{", headers={"Content-Type": "application/json"})
    assert (broken.status, broken.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_run_logs_into_itself_and_into_what_it_makes_and_nowhere_else(collector: CollectorProcess) -> None:
    node, other = Node(collector), Node(collector)
    client = Mlflow(collector, node.run_token)
    client.do("runs/log-metric", {"run_id": node.run_id, "key": "m", "value": 1, "timestamp": 5})
    child = client.new_run(experiment_id=_experiment_id(collector))
    assert child.startswith(f"{node.run_id}_")
    made = client.do("runs/get", run_id=child)["run"]
    assert {"key": "mlflow.parentRunId", "value": node.run_id} in made["data"]["tags"]
    client.do("runs/log-batch", {"run_id": child, "params": [{"key": "p", "value": "1"}]})
    for path, body in _of(other.run_id).items():
        assert client.refused(path, body) == DENIED, path
    assert client.refused("runs/get", run_id=other.run_id) == DENIED
    assert client.file("PUT", f"0/{other.run_id}/artifacts/x", b"x").status == 403
    found = client.do("runs/search", {"experiment_ids": [_experiment_id(collector)]})["runs"]
    assert {run["info"]["run_id"] for run in found} == {node.run_id, child}


def _of(run_id: str) -> dict[str, dict[str, Any]]:
    return {
        "runs/log-metric": {"run_id": run_id, "key": "m", "value": 1, "timestamp": 5},
        "runs/log-batch": {"run_id": run_id},
        "runs/log-parameter": {"run_id": run_id, "key": "m", "value": "1"},
        "runs/set-tag": {"run_id": run_id, "key": "m", "value": "1"},
        "runs/delete-tag": {"run_id": run_id, "key": "m"},
        "runs/update": {"run_id": run_id, "status": "FAILED"},
        "runs/delete": {"run_id": run_id},
        "runs/log-inputs": {"run_id": run_id},
        "runs/outputs": {"run_id": run_id, "models": [{"model_id": "m"}]},
        "runs/create": {"experiment_id": "0"},
        "metrics/get-history": {"run_id": run_id, "metric_key": "m"},
        "experiments/create": {"name": "mine"},
        "experiments/get": {"experiment_id": "0"},
        "experiments/delete": {"experiment_id": "0"},
        "logged-models": {"experiment_id": "0"},
    }


def _experiment_id(collector: CollectorProcess) -> str:
    found = Mlflow(collector).do("experiments/get-by-name", experiment_name="exp")
    experiment_id: str = found["experiment"]["experiment_id"]
    return experiment_id


def test_a_run_sees_its_experiment_and_no_other(collector: CollectorProcess) -> None:
    node = Node(collector)
    Mlflow(collector).ask("experiments/create", {"name": "not of the run"})
    found = Mlflow(collector, node.run_token).do("experiments/search", {"max_results": 100})["experiments"]
    assert [one["name"] for one in found] == ["exp"]


def test_of_a_run_that_a_node_has_the_node_says_how_it_is(collector: CollectorProcess) -> None:
    node = Node(collector)
    client = Mlflow(collector, node.run_token)
    assert client.do("runs/get", run_id=node.run_id)["run"]["info"]["status"] == "SCHEDULED"
    node.put_state("Running", started_ns=7_000_000)
    told = client.do("runs/update", {"run_id": node.run_id, "status": "FAILED", "end_time": 5})["run_info"]
    assert (told["status"], told["start_time"], "end_time" in told) == ("RUNNING", 7, False)
    node.put_state("Finalizing", started_ns=7_000_000)
    assert client.do("runs/get", run_id=node.run_id)["run"]["info"]["status"] == "RUNNING"
    node.complete()
    assert client.do("runs/get", run_id=node.run_id)["run"]["info"]["status"] == "FINISHED"
    found = Mlflow(collector).do(
        "runs/search",
        {"experiment_ids": [_experiment_id(collector)], "filter": f"status = 'FINISHED' AND run_id IN ('{node.run_id}')"},
    )
    assert len(found["runs"]) == 1


def test_files_come_back_as_they_were_sent_and_a_nodes_outputs_are_among_them(collector: CollectorProcess) -> None:
    node = Node(collector)
    client = Mlflow(collector, node.run_token)
    data = bytes(range(256)) * 5000
    root = client.do("artifacts/list", run_id=node.run_id)["root_uri"].removeprefix("mlflow-artifacts:/")
    assert client.file("PUT", f"{root}/d/ü ?.bin", data).json == {}
    stream = node.open_one("outputs/model.txt")
    node.send(stream, 0, b"weights", sync=True)
    node.send(node.open_one(), 0, b"log", sync=True)
    files = client.do("artifacts/list", run_id=node.run_id)["files"]
    assert files == [{"path": "d", "is_dir": True}, {"path": "outputs", "is_dir": True}]
    inner = client.do("artifacts/list", run_id=node.run_id, path="d")["files"]
    assert inner == [{"path": "d/ü ?.bin", "is_dir": False, "file_size": len(data)}]
    assert client.file("GET", f"{root}/d/ü ?.bin").data == data
    assert client.file("GET", f"{root}/outputs/model.txt").data == b"weights"
    assert client.file("DELETE", f"{root}/d").status == 200
    assert client.file("GET", f"{root}/d/ü ?.bin").status == 404
    for bad in ("../x", "d/../../x"):
        answer = call(collector, "PUT", f"{FILES}/{root}/{bad.replace('.', '%2e')}", b"x", token=node.run_token)
        assert answer.status in (400, 404), bad
