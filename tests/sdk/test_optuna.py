"""Studies of the real Optuna as runs: each trial a child, in a job and in a script that is no job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runyard.errors import InputError
from tests.agent.node_runs import LOG, NodeRun
from tests.collector_process import CollectorProcess
from tests.training_site import TRAINING_PYTHON, needs_torch
from tests.waiting import wait_for

ROOT = str(Path(__file__).parents[2])
STUDY = """
import json, optuna, runyard
from runyard.optuna import RunyardCallback

optuna.logging.set_verbosity(optuna.logging.ERROR)

def objective(trial):
    x = trial.suggest_float("x", -5, 5)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.set_user_attr("note", "mine")
    if trial.number == 2:
        raise ValueError("no good")
    for epoch in range(3):
        trial.report(x * x + 3 - epoch, epoch)
        if trial.number == 4 and epoch == 1:
            raise optuna.TrialPruned
    return x * x

def optimize(callback):
    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler(seed=1))
    study.optimize(objective, n_trials=6, callbacks=[callback], catch=(ValueError,))
    print(json.dumps({"best": study.best_trial.number, "value": study.best_value, "x": study.best_params["x"]}))
"""
IN_A_JOB = STUDY + 'optimize(RunyardCallback(runyard.Run.get_context(), "loss"))\n'
# Of an environment that has both: ours, with Optuna's behind it.
OF_ITS_OWN = (
    "import sys; sys.path.append(sys.argv[1])\n"
    + STUDY
    + """
experiment = runyard.Experiment(runyard.Workspace.from_config(), "studies")
with RunyardCallback(experiment, "loss") as callback:
    optimize(callback)
print(callback.run.id)
"""
)
TWO_VALUES = (
    STUDY
    + """
study = optuna.create_study(directions=["minimize", "maximize"])
callback = RunyardCallback(runyard.Run.get_context(), ["loss", "speed"])
study.optimize(lambda trial: (trial.suggest_int("n", 1, 3), 2.0), n_trials=1, callbacks=[callback])
try:
    study.optimize(lambda trial: (1.0, 2.0), n_trials=1, callbacks=[RunyardCallback(callback.run, "loss")])
except runyard.errors.InputError as error:
    print(error)
"""
)
LONG_ATTRIBUTE = (
    STUDY
    + """
def attributed(trial):
    trial.set_user_attr("prompt", "x" * 65537)
    trial.set_user_attr("y" * 300, 1)
    trial.set_user_attr("after", "kept")
    return trial.suggest_float("x", 0, 1)

study = optuna.create_study()
study.optimize(attributed, n_trials=2, callbacks=[RunyardCallback(runyard.Run.get_context(), "loss")])
print("the study went on")
"""
)


def environment(tmp_path: Path, collector: CollectorProcess) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    ours = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token, "PYTHONPATH": ROOT}
    return kept | ours | {"RUNYARD_SPOOL__DIR": str(tmp_path / "spool"), "PYTHONWARNINGS": "ignore"}


def in_a_job(tmp_path: Path, collector: CollectorProcess, script: str, run_id: str) -> str:
    run = NodeRun(tmp_path / "spool", str(TRAINING_PYTHON), "-c", script, run_id=run_id, env=environment(tmp_path, collector))
    done = run.complete()
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def check_study(collector: CollectorProcess, run_id: str, told: dict[str, Any]) -> None:
    path = f"/runs/{run_id}/trials"
    wait_for(lambda: len(collector.client().json("GET", path)["trials"]) == 6, "the trials")
    table = collector.client().json("GET", path)
    assert table["goal"] == {"metric": "loss", "goal": "minimize"}
    rows = table["trials"]
    assert [row["run_id"] for row in rows] == [f"{run_id}_{number}" for number in range(6)]
    assert [row["status"] for row in rows] == ["Completed", "Completed", "Failed", "Completed", "Canceled", "Completed"]
    assert [row["cause"] for row in rows] == ["", "", "the trial failed", "", "pruned", ""]
    assert [row["tags"]["optuna.state"] for row in rows][2:5] == ["FAIL", "COMPLETE", "PRUNED"]
    assert {row["tags"]["optuna.note"] for row in rows} == {"mine"}
    best = rows[told["best"]]
    assert (table["best_run_id"], table["best_value"]) == (best["run_id"], told["value"])
    assert (float(best["params"]["x"]), best["params"]["kind"] in "ab") == (told["x"], True)
    assert all(row["started_ns"] <= row["ended_ns"] for row in rows)
    values = collector.client().json("GET", f"/runs/{best['run_id']}/metrics/values", params={"name": "loss"})["points"]
    x2 = told["value"]
    assert [point["value"] for point in values] == pytest.approx([x2 + 3, x2 + 2, x2 + 1, x2])
    assert [point["step"] for point in values] == [0, 1, 2, None]


@needs_torch
def test_the_trials_of_a_study_in_a_job_are_its_children(tmp_path: Path, collector: CollectorProcess) -> None:
    out = in_a_job(tmp_path, collector, IN_A_JOB, "study-1")
    check_study(collector, "study-1", json.loads(out.splitlines()[-1]))


@needs_torch
def test_a_study_in_a_script_gets_a_run_of_its_own_that_ends_with_it(tmp_path: Path, collector: CollectorProcess) -> None:
    (packages,) = TRAINING_PYTHON.parents[1].glob("lib/python*/site-packages")
    words = [sys.executable, "-c", OF_ITS_OWN, str(packages)]
    done = subprocess.run(
        words, env=environment(tmp_path, collector), capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr
    told, run_id = done.stdout.splitlines()[-2:]
    client = collector.client()
    shown = wait_for(lambda: (run := client.json("GET", f"/runs/{run_id}"))["is_complete"] and run, "all of the run")
    check_study(collector, run_id, json.loads(told))
    assert (shown["status"], shown["experiment"], shown["kind"]) == ("Completed", "studies", "interactive")


@needs_torch
def test_an_attribute_that_is_too_long_is_left_out_and_ends_no_study(tmp_path: Path, collector: CollectorProcess) -> None:
    out = in_a_job(tmp_path, collector, LONG_ATTRIBUTE, "study-3")
    path = "/runs/study-3/trials"
    wait_for(lambda: len(collector.client().json("GET", path)["trials"]) == 2, "the trials")
    trials = collector.client().json("GET", path)["trials"]
    assert [(trial["status"], trial["tags"]["optuna.after"]) for trial in trials] == [("Completed", "kept")] * 2
    assert not any("optuna.prompt" in trial["tags"] for trial in trials)
    assert out.splitlines()[-1] == "the study went on"
    said = (tmp_path / "spool" / "study-3" / LOG).read_text()
    assert said.count("left out of trial 0") == 2
    assert "left out of trial 1" not in said


@needs_torch
def test_several_objectives_have_a_name_each_and_no_goal(tmp_path: Path, collector: CollectorProcess) -> None:
    out = in_a_job(tmp_path, collector, TWO_VALUES, "study-2")
    assert "the study has 2 objectives and metric_name has 1 names; name each of them" in out
    table = collector.client().json("GET", "/runs/study-2/trials", params={"metric": "speed", "goal": "maximize"})
    assert (table["best_value"], table["trials"][0]["value"]) == (2.0, 2.0)
    assert collector.client().json("GET", "/runs/study-2/trials")["goal"] is None


def test_without_optuna_it_is_said_what_is_missing() -> None:
    from runyard.optuna import RunyardCallback

    with pytest.raises(InputError, match="needs Optuna, which is not installed: pip install optuna"):
        RunyardCallback(None, "loss")  # type: ignore[arg-type]
