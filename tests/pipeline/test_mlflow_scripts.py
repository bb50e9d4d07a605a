"""Scripts with MLflow in them, as their users have them: under `runyard run` they land in their run, as on MLflow's server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from runyard import names
from tests.agent.node_runs import NodeRun
from tests.collector.mlflow.sites import environment, mlflow_server, run_script
from tests.collector_process import CollectorProcess, running_collector
from tests.training_site import TRAINING_PYTHON, needs_torch
from tests.waiting import wait_for

SCRIPTS = Path(__file__).with_name("mlflow_scripts")
# Transformers comes last: it sets the experiment of its process for good.
FRAMEWORKS = ("sklearn", "lightgbm", "lightning", "transformers")
# What tells how fast this machine was, not what was learnt.
OF_SPEED = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
LIMIT_S = 600.0
QUICK = {"MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1"}


def script(name: str) -> Path:
    return SCRIPTS / f"with_{name}.py"


def wrapped(
    folder: Path, collector: CollectorProcess, *words: str, run_id: str, flags: tuple[str, ...] = (), **env: str
) -> NodeRun:
    """A `runyard run` of the interpreter that has MLflow, in a working folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    reached = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token, "RUNYARD_RUN__DRAIN_S": "30"}
    flags = ("--cwd", str(folder), *flags)
    run = NodeRun(folder / "spool", str(TRAINING_PYTHON), *words, run_id=run_id, flags=flags)
    run.env = environment(**reached, **QUICK, RUNYARD_SPOOL__DIR=str(folder / "spool")) | env
    return run


def ended(run: NodeRun, code: int = 0) -> NodeRun:
    """The run, once it is over; its driver's exit code is `code`."""
    process = run.launch()
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, errors.decode()[-2000:] + run.log().decode(errors="replace")[-4000:]
    return run


def read(*wanted: str, collector: CollectorProcess) -> dict[str, Any]:
    """What MLflow's client reads, in one process: name=address=run."""
    token = {f"TOKEN_{collector.url.rpartition(':')[2]}": collector.token}
    done = run_script(SCRIPTS / "read.py", *wanted, environ=token, limit_s=LIMIT_S)
    assert done.returncode == 0, done.stderr[-4000:]
    answers: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answers


def at_collector(collector: CollectorProcess, run_id: str) -> dict[str, Any]:
    """The same of a run at the collector, without a process that loads MLflow; what its node has recorded is applied first."""
    client = collector.client()
    wait_for(lambda: client.json("GET", f"/runs/{run_id}")["is_complete"], f"{run_id} is complete")

    def ask(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {collector.token}", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{collector.url}/api/2.0/mlflow/{path}", data, headers)) as answer:
            return json.load(answer)

    def pairs(found: Any) -> dict[str, Any]:
        return {one["key"]: one["value"] for one in found if not one["key"].startswith("mlflow.")}

    def points(key: str) -> list[list[Any]]:
        found = ask(f"metrics/get-history?run_id={run_id}&metric_key={quote(key)}")["metrics"]
        return sorted([int(one["step"]), str(one["value"])] for one in found)

    def files(folder: str) -> list[str]:
        found = ask(f"artifacts/list?run_id={run_id}&path={quote(folder)}").get("files", [])
        return [path for one in found for path in (files(one["path"]) if one["is_dir"] else [one["path"]])]

    run = ask(f"runs/get?run_id={run_id}")["run"]
    wanted = {"experiment_ids": [run["info"]["experiment_id"]], "filter": f"tags.`mlflow.parentRunId` = '{run_id}'"}
    children = ask("runs/search", wanted).get("runs", [])
    return {
        "metrics": {one["key"]: points(one["key"]) for one in run["data"].get("metrics", [])},
        "params": pairs(run["data"].get("params", [])),
        "tags": pairs(run["data"].get("tags", [])),
        "files": files(""),
        "children": {
            one["info"]["run_name"]: [
                one["info"]["status"],
                *(pairs(one["data"].get(part, [])) for part in ("params", "metrics")),
            ]
            for one in children
        },
    }


@dataclass(frozen=True)
class Trained:
    """What each framework's script has left: `ours` in its run, `theirs` on MLflow's own server."""

    ours: dict[str, Any]
    theirs: dict[str, Any]
    shown: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    folder = tmp_path_factory.mktemp("trained")

    def reference() -> str:
        environ = {"MLFLOW_TRACKING_URI": server.url, **QUICK}
        (folder / "reference").mkdir()
        return in_folder(folder / "reference", *map(str, map(script, FRAMEWORKS)), environ=environ)

    with running_collector(folder) as collector, mlflow_server(folder / "mlflow") as server, ThreadPoolExecutor(2) as pool:
        theirs = pool.submit(reference)
        ours = [
            pool.submit(ended, wrapped(folder / name, collector, str(script(name)), run_id=f"with-{name}"))
            for name in FRAMEWORKS
        ]
        theirs.result()
        for one in ours:
            one.result()
        wanted = [f"ours-{name}={collector.url}=with-{name}" for name in FRAMEWORKS]
        wanted += [f"theirs-{name}={server.url}=experiment:with_{name}" for name in FRAMEWORKS]
        found = read(*wanted, collector=collector)
        client = collector.client()
        yield Trained(
            {name: found[f"ours-{name}"] for name in FRAMEWORKS},
            {name: found[f"theirs-{name}"] for name in FRAMEWORKS},
            {name: client.json("GET", f"/runs/with-{name}") for name in FRAMEWORKS},
        )


def in_folder(folder: Path, *scripts: str, environ: dict[str, str]) -> str:
    """The scripts' output, run by reference.py in that folder."""
    command = [str(TRAINING_PYTHON), str(SCRIPTS / "reference.py"), *scripts]
    done = subprocess.run(
        command, cwd=folder, env=environment(**environ), capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


@needs_torch
@pytest.mark.timeout(LIMIT_S)
@pytest.mark.row("B1")
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_unmodified_script_leaves_in_its_run_what_it_leaves_on_mlflows_server(trained: Trained, name: str) -> None:
    ours, theirs, shown = trained.ours[name], trained.theirs[name], trained.shown[name]
    assert (shown["status"], shown["exit_code"], shown["is_complete"], shown["warnings"]) == ("Completed", 0, True, [])
    assert ours["status"] == theirs["status"] == "FINISHED"
    for key in OF_SPEED:
        assert [step for step, _ in ours["metrics"].pop(key, [])] == [step for step, _ in theirs["metrics"].pop(key, [])]
    assert theirs["metrics"]
    assert theirs["params"]
    for part in ("metrics", "params", "tags", "datasets", "files", "models", "children"):
        assert ours[part] == theirs[part], part
    assert any(one["files"] for one in ours["models"]) or any(path.endswith("MLmodel") for path in ours["files"])


# What a user does with MLflow by hand: an experiment of a name, a batch, files, a nested run that fails, and an exit code.
BY_HAND = """
import json, math, sys
import mlflow
mlflow.set_experiment("another")
class Stop(Exception): pass
with mlflow.start_run() as run:
    mlflow.log_params({"depth": 3, "note": "ü"})
    mlflow.log_metrics({"loss": 0.5, "bad": math.nan}, step=1)
    client = mlflow.MlflowClient()
    points = [mlflow.entities.Metric("many", step / 7, 1700000000000 + step, step) for step in range(2500)]
    client.log_batch(run.info.run_id, metrics=points)
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.set_tag("stage", "dev")
    with mlflow.start_run(nested=True, run_name="good"):
        mlflow.log_param("depth", 4)
        mlflow.log_metric("loss", 0.25)
    try:
        with mlflow.start_run(nested=True, run_name="bad"):
            mlflow.log_param("depth", 5)
            raise Stop
    except Stop:
        pass
    try:
        mlflow.log_param("depth", 6)
    except mlflow.exceptions.MlflowException as error:
        refused = error.error_code
    model = mlflow.create_external_model("outside", params={"p": "1"})
    found = client.search_runs([run.info.experiment_id], "metrics.loss < 0.3 AND params.depth = '4'")
    history = client.get_metric_history(run.info.run_id, "many")
    text = mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/a.txt")
    said = [[one.info.run_name for one in found], len(history), text, refused]
    open("said.json", "w").write(json.dumps(said))
sys.exit(3)
"""


def check_by_hand(run: NodeRun, collector: CollectorProcess, run_id: str) -> None:
    """That everything which BY_HAND records is at the collector, and its client was answered."""
    said = json.loads((run.run_dir.parents[1] / "said.json").read_text())
    assert said == [["good"], 2500, "hello", "INVALID_PARAMETER_VALUE"]
    found = at_collector(collector, run_id)
    assert found["params"] == {"depth": "3", "note": "ü"}
    assert found["metrics"]["many"] == [[step, repr(step / 7)] for step in range(2500)]
    assert (found["metrics"]["loss"], found["metrics"]["bad"]) == ([[1, "0.5"]], [[1, "NaN"]])
    assert (found["tags"], found["files"]) == ({"stage": "dev"}, ["notes/a.txt"])
    assert found["children"] == {"good": ["FINISHED", {"depth": "4"}, {"loss": 0.25}], "bad": ["FAILED", {"depth": "5"}, {}]}
    shown = collector.client().json("GET", f"/runs/{run_id}")
    assert (shown["status"], shown["exit_code"], shown["experiment"], shown["warnings"]) == ("Failed", 3, "default", [])


@needs_torch
@pytest.mark.timeout(LIMIT_S)
def test_what_is_done_by_hand_is_all_there_and_the_exit_code_counts(tmp_path: Path, collector: CollectorProcess) -> None:
    run = ended(wrapped(tmp_path / "r", collector, "-c", BY_HAND, run_id="by-hand"), 3)
    check_by_hand(run, collector, "by-hand")


@needs_torch
@pytest.mark.timeout(LIMIT_S)
def test_with_the_collector_away_all_the_time_nothing_is_lost(tmp_path: Path, collector: CollectorProcess) -> None:
    run = wrapped(tmp_path / "r", collector, "-c", BY_HAND, run_id="alone")
    run.env |= {"RUNYARD_RUN__DRAIN_S": "0", "RUNYARD_RUN__CONNECT_TIMEOUT_S": "0.5"}
    collector.kill()
    ended(run, 3)
    collector.start()
    shipped = subprocess.run(
        [sys.executable, "-m", "runyard", "ship"], env=run.env, capture_output=True, timeout=120, check=False
    )
    assert shipped.returncode == 0, shipped.stderr.decode()
    check_by_hand(run, collector, "alone")


STEPS = """
import os, sys, time
from pathlib import Path
import mlflow
with mlflow.start_run():
    for step in range(60):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
        if step % 20 == 10:
            with mlflow.start_run(nested=True, run_name=f"at {step}"):
                mlflow.log_text(str(step), "step.txt")
            Path(f"reached-{step}").touch()
            while not Path(f"go-{step}").exists(): time.sleep(0.01)
"""


@needs_torch
@pytest.mark.timeout(LIMIT_S)
def test_kills_of_server_and_shepherd_in_the_middle_lose_and_double_nothing(
    tmp_path: Path, collector: CollectorProcess
) -> None:
    folder = tmp_path / "r"
    run = wrapped(folder, collector, "-c", STEPS, run_id="killed")
    process = run.launch()

    def reached(step: int) -> None:
        wait_for(lambda: (folder / f"reached-{step}").exists(), f"step {step}", limit_s=LIMIT_S)

    def server() -> int:
        return int(run.path(names.LOOPBACK_LOCK).read_text().split()[0])

    reached(10)
    os.kill(server(), signal.SIGKILL)  # the shepherd has the socket
    (folder / "go-10").touch()
    reached(30)
    os.kill(run.state()["shepherd_pid"], signal.SIGKILL)  # the server has it
    (folder / "go-30").touch()
    reached(50)
    shepherd = run.state()["shepherd_pid"]
    os.kill(server(), signal.SIGKILL)  # neither has it
    os.kill(shepherd, signal.SIGKILL)
    (folder / "go-50").touch()
    _, errors = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, errors.decode() + run.log().decode()
    found, client = at_collector(collector, "killed"), collector.client()
    points = client.json("GET", "/runs/killed/metrics/values", params={"name": "loss"})["points"]
    assert [(point["step"], point["value"]) for point in points] == [(step, 1 / (step + 1)) for step in range(60)]
    assert found["children"] == {f"at {step}": ["FINISHED", {}, {}] for step in (10, 30, 50)}
    assert client.json("GET", "/runs/killed")["status"] == "Completed"


RANK = """
import os, mlflow
rank = os.environ["RUNYARD_RANK"]
mlflow.log_metric(f"loss {rank}", 1.0)
mlflow.log_param("width", 8)
mlflow.log_param(f"rank {rank}", rank)
"""


@needs_torch
@pytest.mark.timeout(LIMIT_S)
def test_several_ranks_record_into_the_same_run_at_once(tmp_path: Path, collector: CollectorProcess) -> None:
    run = ended(wrapped(tmp_path / "r", collector, "-c", RANK, run_id="ranks", flags=("--nproc-per-node", "2")))
    del run
    found = at_collector(collector, "ranks")
    assert found["metrics"] == {"loss 0": [[0, "1.0"]], "loss 1": [[0, "1.0"]]}
    assert found["params"] == {"width": "8", "rank 0": "0", "rank 1": "1"}
    assert collector.client().json("GET", "/runs/ranks")["warnings"] == []
