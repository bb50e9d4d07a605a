"""The loopback server as a client meets it: who may ask, what comes again, what it does not know, and its kills."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from runyard import names
from tests.agent.node_runs import NodeRun, is_alive
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .site import Answer, Waiting, waiting

RETRIED = (408, 429, 500, 502, 503, 504)  # by MLflow's clients, for minutes


def recorded(node: Waiting) -> list[Any]:
    """The records that the run's journals hold."""
    folder = node.run.path(names.TRACKING_DIR)
    return [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_bytes().splitlines()]


def kill_server(node: Waiting) -> None:
    pid = node.server_pid
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "the server's death")


def test_only_who_has_the_runs_token_may_ask_and_no_error_makes_a_client_wait(tmp_path: Path) -> None:
    with waiting(tmp_path) as node:
        basic = base64.b64encode(f"anybody:{node.env['MLFLOW_TRACKING_TOKEN']}".encode()).decode()
        get = "/api/2.0/mlflow/runs/get?run_id=r"
        assert node.ask("GET", get, authorization=f"Basic {basic}").status == 200
        for authorization in ("", "Bearer wrong", "Bearer \xff", "Basic !", "Basic " + base64.b64encode(b"a:b").decode()):
            answer = node.ask("GET", get, authorization=authorization)
            assert (answer.status, answer.body["error_code"]) == (401, "UNAUTHENTICATED")
        wrong: list[Answer] = [
            node.ask("GET", "/api/2.0/mlflow/runs/get?run_id=another"),
            node.ask("GET", "/api/2.0/mlflow/runs/get"),
            node.ask("POST", "/api/2.0/mlflow/runs/log-batch", b"{"),
            node.ask("POST", "/api/2.0/mlflow/experiments/delete", {"experiment_id": "0"}),
            node.ask("POST", "/api/2.0/mlflow/registered-models/create", {"name": "m"}),
            node.ask("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/../../x", b"x"),
            node.ask("GET", "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/absent"),
        ]
        assert all(400 <= answer.status < 600 and answer.status not in RETRIED for answer in wrong), wrong
        assert all(answer.body["message"] for answer in wrong)
        assert wrong[0].body["error_code"] == "TEMPORARILY_UNAVAILABLE"  # the run has no collector that might know
        assert wrong[4].body["error_code"] == "ENDPOINT_NOT_FOUND"
    assert recorded(node) == []


def test_what_is_sent_again_because_its_answer_was_lost_counts_once_also_after_a_kill(tmp_path: Path) -> None:
    metrics = [
        {"key": "loss", "value": 0.5, "timestamp": 7, "step": 1},
        {"key": "loss", "value": "NaN", "timestamp": 7, "step": 2},
    ]
    create = {"experiment_id": "0", "user_id": "ada", "start_time": 1700000000000, "tags": [{"key": "a", "value": "b"}]}
    model = {"experiment_id": "0", "name": "m", "source_run_id": "r", "params": [{"key": "p", "value": "1"}]}
    with waiting(tmp_path) as node:
        node.post("runs/log-batch", run_id="r", metrics=metrics, params=[{"key": "p", "value": "1"}])
        child = node.post("runs/create", **create)["run"]["info"]["run_id"]
        model_id = node.post("logged-models", **model)["model"]["info"]["model_id"]
        kill_server(node)
        node.post("runs/log-batch", run_id="r", metrics=metrics, params=[{"key": "p", "value": "1"}])
        assert node.post("runs/create", **create)["run"]["info"]["run_id"] == child
        assert node.post("logged-models", **model)["model"]["info"]["model_id"] == model_id
        assert node.post("runs/create", **create)["run"]["info"]["run_id"] != child  # two of them at the same moment
        kinds = [record[0] for record in recorded(node)]
        assert (kinds.count("m"), kinds.count("p"), kinds.count("c"), kinds.count("lm")) == (2, 1, 2, 1)
        found = node.get("metrics/get-history?run_id=r&metric_key=loss")["metrics"]
        assert [(point["step"], point["value"]) for point in found] == [(1, 0.5), (2, "NaN")]


def test_every_experiment_is_the_runs_own_and_every_further_run_is_its_child(tmp_path: Path) -> None:
    with waiting(tmp_path, "--experiment", "digits", run_id="bert.7") as node:
        own = node.get("runs/get?run_id=bert-7")["run"]["info"]
        for path in ("get-by-name?experiment_name=other", f"get?experiment_id={own['experiment_id']}"):
            found = node.get(f"experiments/{path}")["experiment"]
            assert (found["experiment_id"], found["name"]) == (own["experiment_id"], "digits")
        assert node.post("experiments/create", name="third")["experiment_id"] == own["experiment_id"]
        child = node.post("runs/create", experiment_id="0", run_name="one")["run"]["info"]["run_id"]
        nested = [{"key": "mlflow.parentRunId", "value": child}]
        below = node.post("runs/create", experiment_id="0", run_name="two", tags=nested)["run"]["info"]["run_id"]
        node.post("runs/set-tag", run_id=child, key="mlflow.runName", value="renamed")
        made = [record for record in recorded(node) if record[0] == "c"]
        assert [(one[1].replace(".", "-"), one[2]) for one in made] == [(child, ""), (below, made[0][1])]
        named = [one["info"]["run_name"] for one in node.post("runs/search", experiment_ids=["0"])["runs"]]
        assert sorted(named) == ["bert.7", "renamed", "two"]


def test_what_only_the_collector_knows_is_asked_there_and_soon_answered_where_it_has_gone(
    tmp_path: Path, collector: CollectorProcess
) -> None:
    reached = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    with waiting(tmp_path, "--experiment", "digits", run_id="bert.7", env=reached) as node:
        mlflow = "/api/2.0/mlflow"
        headers = {"Authorization": f"Bearer {collector.token}", "Content-Type": "application/json"}
        body = json.dumps({"experiment_id": "0", "run_name": "far", "tags": [{"key": "mlflow.parentRunId", "value": "bert.7"}]})
        made = urllib.request.Request(f"{collector.url}{mlflow}/runs/create", body.encode(), headers)
        with urllib.request.urlopen(made) as answer:
            far = json.load(answer)["run"]["info"]["run_id"]
        own = node.get("runs/get?run_id=bert-7")["run"]["info"]
        there = urllib.request.Request(
            f"{collector.url}{mlflow}/experiments/get-by-name?experiment_name=digits", headers=headers
        )
        with urllib.request.urlopen(there) as answer:
            assert own["experiment_id"] == json.load(answer)["experiment"]["experiment_id"]
        assert node.get(f"runs/get?run_id={far}")["run"]["info"]["run_name"] == "far"
        node.post("runs/set-tag", run_id=far, key="stage", value="dev")
        assert {"key": "stage", "value": "dev"} in node.get(f"runs/get?run_id={far}")["run"]["data"]["tags"]
        missing = node.ask("GET", f"{mlflow}/runs/get?run_id=nowhere")
        assert (missing.status, missing.body["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
        collector.kill()
        begun_s = time.monotonic()
        answer = node.ask("GET", f"{mlflow}/runs/get?run_id={far}")
        assert (answer.status, answer.body["error_code"]) == (424, "TEMPORARILY_UNAVAILABLE")
        assert time.monotonic() - begun_s < 5
        kill_server(node)
        assert node.get("runs/get?run_id=bert-7")["run"]["info"]["experiment_id"] == own["experiment_id"]


def test_a_file_larger_than_memory_should_hold_comes_whole_and_is_read_again(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    with waiting(tmp_path) as node:
        place = "/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts"
        assert node.ask("PUT", f"{place}/folder/a%20b%25.bin", data).status == 200
        assert node.ask("PUT", f"{place}/empty", b"").status == 200
        assert node.ask("PUT", f"{place}/folder", b"x").status == 409  # no name is both file and folder
        listed = node.get("artifacts/list?run_id=r&path=folder")["files"]
        assert listed == [{"path": "folder/a b%.bin", "is_dir": False, "file_size": len(data)}]
        assert [one["path"] for one in node.get("artifacts/list?run_id=r")["files"]] == ["empty", "folder"]
        kept = [path.read_bytes() for path in node.run.path(names.BLOBS_DIR).iterdir()]
        assert sorted(kept, key=len) == [b"", data]
        assert node.ask("GET", f"{place}/empty") == Answer(200, "")
        assert node.ask("DELETE", f"{place}/folder").status == 200
        assert [one["path"] for one in node.get("artifacts/list?run_id=r")["files"]] == ["empty"]


def test_the_server_ends_with_the_drivers_and_what_it_said_before_is_in_the_journal(tmp_path: Path) -> None:
    with waiting(tmp_path) as node:
        node.post("runs/log-metric", run_id="r", key="loss", value=1.5, timestamp=3)
        pid = node.server_pid
    assert node.end() == 0
    assert not is_alive(pid)
    assert recorded(node) == [["m", "", "loss", 1.5, 0, 3, "", "", ""]] or recorded(node) == [["m", "", "loss", 1.5, 0, 3]]


def test_a_server_that_dies_at_once_is_given_up_and_nobody_waits_for_it(tmp_path: Path) -> None:
    with waiting(tmp_path) as node:
        description = node.run.path(names.RUN_FILE)
        kept = description.read_bytes()
        description.write_text("{}")
        answer = node.ask("GET", "/api/2.0/mlflow/runs/get?run_id=r")
        assert (answer.status, answer.body["error_code"]) == (424, "TEMPORARILY_UNAVAILABLE")
        assert "has died 5 times" in node.run.path(names.SYSTEM_LOG).read_text()
        description.write_bytes(kept)
    assert node.end() == 0


def test_a_folder_that_takes_nothing_is_told_and_the_training_goes_on(tmp_path: Path) -> None:
    with waiting(tmp_path) as node:
        node.run.path(names.TRACKING_DIR).rmdir()
        node.run.path(names.TRACKING_DIR).write_text("no folder")
        node.run.path(names.BLOBS_DIR).rmdir()
        answer = node.ask("POST", "/api/2.0/mlflow/runs/set-tag", {"run_id": "r", "key": "a", "value": "b"})
        assert answer.status not in RETRIED
        assert answer.status >= 400
        assert answer.body["message"]
    assert node.end() == 0


TORN = """
import resource, signal, sys
from pathlib import Path
from runyard.agent.loopback.elsewhere import Elsewhere
from runyard.agent.loopback.server import Server
from runyard.mlflow.errors import MlflowError
from runyard.tracking import records
run = {"run_id": "r", "experiment": "e", "created_ns": 10**18, "run_token": "t"}
server = Server(Path(sys.argv[1]), run, "0", Elsewhere("", "t"))
points = [records.Metric("", "m", float(step), step, 1764417000000) for step in range(4)]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))  # as a disk that becomes full amid a line
try:
    server.record(points)
except MlflowError:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    server.record([points[3]])
lines = Path(sys.argv[1], ".runyard/tracking/loopback.jsonl").read_bytes().splitlines()
kept = [int(line.split(b",")[4]) for line in lines if line.endswith(b"]")]
print(kept, [point.step for point in points if server.book.is_known(point)])
"""


def test_of_what_a_full_disk_has_cut_it_knows_what_is_written(tmp_path: Path) -> None:
    (tmp_path / names.TRACKING_DIR).mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", TORN, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[0, 1, 3] [0, 1, 3]\n"


ATTEMPT = """
import json, os, sys, urllib.request
attempt = os.environ["RUNYARD_ATTEMPT"]
for key, value in (("same", "1"), ("attempt", attempt)):
    body = json.dumps({"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value}).encode()
    headers = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"], "Content-Type": "application/json"}
    request = urllib.request.Request(os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-parameter", body, headers)
    urllib.request.urlopen(request)
sys.exit(attempt == "0")
"""


def test_another_attempt_may_record_another_value_of_a_parameter(tmp_path: Path) -> None:
    run = NodeRun(tmp_path / "spool", sys.executable, "-c", ATTEMPT, flags=("--max-restarts", "1"))
    done = run.complete()
    assert done.returncode == 0, done.stderr
