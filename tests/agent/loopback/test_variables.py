"""What leads MLflow in a driver to its run, and when it is left alone."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runyard import names
from tests.agent.node_runs import NodeRun

from .site import waiting

OURS = ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_TRACKING_TOKEN")


def given(folder: Path, *flags: str, run_id: str = "r", **env: str) -> tuple[dict[str, str], str]:
    """(the driver's variables, the run's system log) of a run that is over."""
    run = NodeRun(folder / "spool", "env", run_id=run_id, flags=flags, env=env)
    assert run.complete().returncode == 0
    lines = run.log().decode().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line), run.path(names.SYSTEM_LOG).read_text()


def test_the_variables_name_the_run_and_a_port_that_listens_and_no_server_is_started_for_nobody(tmp_path: Path) -> None:
    with waiting(tmp_path, "--experiment", "digits", run_id="bert.7") as node:
        assert node.env["MLFLOW_TRACKING_URI"].startswith("http://127.0.0.1:")
        assert (node.env["MLFLOW_RUN_ID"], node.env["MLFLOW_EXPERIMENT_NAME"]) == ("bert-7", "digits")
        assert node.env["MLFLOW_TRACKING_TOKEN"] == node.run.json(names.RUN_FILE)["run_token"]
        assert node.env["AZUREML_RUN_ID"] == "bert.7"
        assert node.server_pid == 0
        assert node.ask("GET", "/health").body == "OK"
        assert node.server_pid
    assert node.end() == 0


@pytest.mark.parametrize(
    ("flags", "env"),
    [
        (("--env", "MLFLOW_TRACKING_URI=http://mlflow.example:5000"), {}),
        ((), {"MLFLOW_TRACKING_URI": "http://mlflow.example:5000"}),
        (("--no-mlflow",), {}),
        ((), {"RUNYARD_RUN__MLFLOW": "off"}),
    ],
)
def test_an_address_of_the_users_own_and_the_setting_leave_mlflow_alone(
    tmp_path: Path, flags: tuple[str, ...], env: dict[str, str]
) -> None:
    found, log = given(tmp_path, *flags, **env)
    own = "http://mlflow.example:5000" if "example" in str((flags, env)) else None
    assert [found.get(name) for name in OURS] == [own, None, None, None]
    assert found["AZUREML_RUN_ID"] == "r"
    assert ("MLflow is left alone" in log) == (own is not None)


def test_what_would_lead_elsewhere_is_taken_away_and_a_proxy_does_not_stand_between(tmp_path: Path) -> None:
    strange = {"MLFLOW_EXPERIMENT_ID": "7", "MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": "x"}
    proxies = {"http_proxy": "http://proxy.example:3128", "no_proxy": "inside.example"}
    found, _ = given(tmp_path, **strange, **proxies)
    assert not set(strange) & set(found)
    assert found["no_proxy"] == "inside.example,127.0.0.1"
    assert found["http_proxy"] == proxies["http_proxy"]


def test_a_run_within_a_run_records_into_itself(tmp_path: Path) -> None:
    inner = [sys.executable, "-m", "runyard", "run", "--run-id", "inner", "--", "env"]
    run = NodeRun(tmp_path / "spool", *inner, run_id="outer")
    assert run.complete().returncode == 0
    found = dict(line.split("=", 1) for line in run.log().decode().splitlines() if line.startswith("MLFLOW_"))
    token = NodeRun(tmp_path / "spool", run_id="inner").json(names.RUN_FILE)["run_token"]
    assert (found["MLFLOW_RUN_ID"], found["MLFLOW_TRACKING_TOKEN"]) == ("inner", token)


# As the shepherd does it after another one was killed, whose port somebody else has got.
PROGRAM = """
import sys
from runyard.agent.local_run import LocalRun
from runyard.agent.loopback_start import LoopbackStart

start = LoopbackStart(LocalRun(sys.argv[1]))
start.open()
start.open()
start.step()
print(start.end())
"""


def test_a_port_that_cannot_be_had_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / names.PRIVATE_DIR).mkdir()
    (tmp_path / names.RUN_FILE).write_text('{"node_id": "node", "spec": null}')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / names.LOOPBACK_FILE).write_text(json.dumps({"port": taken.getsockname()[1]}))
        command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert said == "True\n"
    assert (tmp_path / names.SYSTEM_LOG).read_text().count("will not come to this run: no port") == 1


def test_a_port_that_somebody_else_has_taken_before_any_driver_knows_it_is_given_up(tmp_path: Path) -> None:
    (tmp_path / names.PRIVATE_DIR).mkdir()
    (tmp_path / names.RUN_FILE).write_text('{"node_id": "node", "spec": null}')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (tmp_path / names.LOOPBACK_FILE).write_text(json.dumps({"port": taken.getsockname()[1]}))
        program = PROGRAM.replace("start.open()", "start.open(may_move=True)", 1)
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
        assert json.loads((tmp_path / names.LOOPBACK_FILE).read_text())["port"] != taken.getsockname()[1]
