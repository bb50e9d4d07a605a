"""Sweeps with a real collector and real runs on this machine: what is tried, what is best, and going on after a break."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import Environment, Experiment, ScriptRunConfig, Workspace, sweep
from runyard.errors import InputError
from runyard.sdk import on_its_way, submitting, sweep_control
from tests.agent_process import CLUSTER
from tests.collector_process import CollectorProcess, running_collector
from tests.sdk.lab import lab
from tests.waiting import wait_for

ROOT = str(Path(__file__).parents[2])
TRAIN = """
import argparse, time
from runyard import Run
words = argparse.ArgumentParser()
words.add_argument("--lr", type=float)
words.add_argument("--epochs", type=int, default=1)
words.add_argument("--hang", action="store_true")
given = words.parse_args()
run = Run.get_context()
for epoch in range(given.epochs):
    run.log("loss", abs(given.lr - 0.3) + 1 / (epoch + 1), step=epoch)
if given.lr > 0.8:
    raise SystemExit("too large a rate")
while given.hang:
    time.sleep(1)
"""


class Site:
    """A collector, a script, and an experiment of its own for each test."""

    def __init__(self, folder: Path, collector: CollectorProcess) -> None:
        self.folder, self.collector = folder, collector
        self.code = folder / "code"
        self.code.mkdir()
        (self.code / "train.py").write_text(TRAIN)
        self.workspace = Workspace(collector.url, collector.token)

    def config(self, *arguments: str) -> ScriptRunConfig:
        return ScriptRunConfig(
            str(self.code), "train.py", [*arguments], environment_variables={"PYTHONPATH": ROOT}, max_run_duration_seconds=60
        )

    def experiment(self, name: str) -> Experiment:
        return Experiment(self.workspace, name)

    def shown(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.collector.client().json("GET", f"/runs/{run_id}")
        return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("sweeps")
    with pytest.MonkeyPatch.context() as patch, running_collector(folder) as process:
        patch.setenv("RUNYARD_SPOOL__DIR", str(folder / "spool"))
        patch.setenv("RUNYARD_RUN__GRACE_S", "1")
        yield Site(folder, process)


def test_a_grid_runs_each_combination_and_the_best_is_known_though_one_fails(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = [0.9, 0.5, 0.25, 0.1]
    search = sweep.grid({"lr": rates})
    found = sweep.run(
        site.experiment("grid"), site.config(), search, metric="loss", at_once=2, show_output=True, tags={"a": "b"}
    )

    parent = site.shown(found.run.id)
    assert (parent["kind"], parent["status"], parent["tags"]) == ("sweep", "Completed", {"a": "b"})
    assert parent["goal"] == {"metric": "loss", "goal": "minimize"}
    assert [(row["params"], row["status"]) for row in found.table] == [
        ({"lr": "0.9"}, "Failed"),
        ({"lr": "0.5"}, "Completed"),
        ({"lr": "0.25"}, "Completed"),
        ({"lr": "0.1"}, "Completed"),
    ]
    values = [row["value"] for row in found.table]
    assert values == pytest.approx([1.6, 1.2, 1.05, 1.2])
    assert [row["best"] for row in found.table] == pytest.approx([1.6, 1.2, 1.05, 1.05])
    assert found.best_child is not None
    assert (found.best_child.id, found.best_value) == (f"{found.run.id}_2", values[2])
    assert (parent["best_run_id"], parent["best_value"]) == (found.best_child.id, found.best_value)
    # Of all moments, at none more than two ran.
    assert all(
        len([1 for one in found.table if one["started_ns"] <= row["started_ns"] < one["ended_ns"]]) <= 2 for row in found.table
    )
    child = site.shown(found.best_child.id)
    assert child["command"][-2:] == ["--lr", "0.25"]
    assert (child["parent_run_id"], child["experiment"]) == (found.run.id, "grid")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["ITERATION", "STATUS", "DURATION", "METRIC", "BEST", "PARAMETERS"]
    assert sorted(line.split()[-1] for line in lines[1:]) == sorted(f"lr={rate}" for rate in rates)
    # Other children of other goals are compared without being asked twice.
    best = found.run.get_best_child("loss", "maximize")
    assert best is not None
    assert best.id == f"{found.run.id}_0"


def test_halving_gives_the_best_a_larger_budget_and_all_of_them_the_code_that_the_sweep_was_started_with(site: Site) -> None:
    search = sweep.successive_halving({"lr": [0.1, 0.2, 0.3, 0.5]}, 3, "epochs", 1, 3, 3, seed=5)
    leading = sweep.start(site.experiment("halving"), site.config(), search, metric="loss")
    wait_for(lambda: leading.result().table, "the first child")
    script = site.code / "train.py"
    script.write_text(TRAIN + "raise SystemExit('changed')\n")
    try:
        found = leading.wait(60)
    finally:
        script.write_text(TRAIN)
    assert [row["status"] for row in found.table] == ["Completed"] * 4
    first, last = found.table[:3], found.table[3:]
    assert [row["params"]["epochs"] for row in found.table] == ["1", "1", "1", "3"]
    best = min(first, key=lambda row: row["value"])
    assert last[0]["params"]["lr"] == best["params"]["lr"]
    assert last[0]["tags"]["sweep.promoted_from"] == best["run_id"]
    assert found.best_child is not None
    assert found.best_child.id == f"{found.run.id}_3"
    assert len(found.best_child.get_metrics()["loss"]) == 3


SCRIPT = """
import sys
from runyard import Environment, Experiment, ScriptRunConfig, Workspace, sweep
config = ScriptRunConfig(sys.argv[1], "train.py", environment_variables={"PYTHONPATH": sys.argv[2]})
search = sweep.grid({"lr": [0.1, 0.2, 0.4]})
sweep.run(Experiment(Workspace.from_config(), "broken"), config, search, metric="loss", sweep_id="broken-1", show_output=True)
"""


def test_ctrl_c_leaves_a_sweep_that_goes_on_by_its_id(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNYARD_COLLECTOR_URL", site.collector.url)
    monkeypatch.setenv("RUNYARD_TOKEN", site.collector.token)
    words = [sys.executable, "-c", SCRIPT, str(site.code), ROOT]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as leader:
        assert leader.stdout is not None
        assert leader.stdout.readline()
        assert "lr=0.1" in leader.stdout.readline()
        leader.send_signal(signal.SIGINT)
        _, told = leader.communicate(timeout=30)
    assert leader.returncode != 0
    assert "start it again with sweep_id='broken-1'" in told
    before = site.shown("broken-1")
    assert before["status"] == "Running"

    experiment, search = site.experiment("broken"), sweep.grid({"lr": [0.1, 0.2, 0.4]})
    with pytest.raises(InputError, match="begun with another search"):
        sweep.run(experiment, site.config(), sweep.grid({"lr": [0.1]}), metric="loss", sweep_id="broken-1")
    found = sweep.run(experiment, site.config(), search, metric="loss", sweep_id="broken-1")
    assert [(row["run_id"], row["status"]) for row in found.table] == [(f"broken-1_{n}", "Completed") for n in range(3)]
    assert [json.loads(row["tags"]["sweep.params"]) for row in found.table] == [{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.4}]
    again = sweep.run(experiment, site.config(), search, metric="loss", sweep_id="broken-1")
    assert again.table == found.table


def test_a_sweep_that_is_started_again_goes_on_beside_a_child_that_is_not_at_the_collector_yet(site: Site) -> None:
    experiment, search = site.experiment("early"), sweep.grid({"lr": [0.1, 0.2]})
    parent = sweep_control.open_parent(experiment, "early-1", sweep_control.Plan(search, "loss", "minimize", 2), "", {})
    assert parent.flush(30)
    site.collector.stop()
    try:
        tags = {sweep_control.PARAMS: json.dumps({"lr": 0.1})}
        child = submitting.submit(experiment, site.config("--lr", "0.1"), tags, run_id="early-1_0", parent=parent)
        process = on_its_way.sender_of(child.id)
        assert process is not None
        sender = process.pid
        os.kill(sender, signal.SIGSTOP)
    finally:
        site.collector.start()
    try:
        leading = sweep.start(experiment, site.config(), search, metric="loss", at_once=2, sweep_id="early-1")
        wait_for(lambda: leading.is_over or leading.result().table, "the other child")
    finally:
        os.kill(sender, signal.SIGCONT)
    found = leading.wait(60)
    assert found.status == "Completed"
    assert {row["run_id"]: (row["status"], row["params"]) for row in found.table} == {
        "early-1_0": ("Completed", {"lr": "0.1"}),
        "early-1_1": ("Completed", {"lr": "0.2"}),
    }


def test_cancelling_the_sweep_cancels_its_children_and_those_that_are_on_their_way(site: Site) -> None:
    search = sweep.grid({"lr": [0.1, 0.2, 0.4]})
    leading = sweep.start(site.experiment("canceled"), site.config("--hang"), search, metric="loss", at_once=2)
    wait_for(lambda: leading.result().table, "the first child")
    leading.cancel()  # while the second one is being submitted
    found = leading.wait(60)
    assert leading.is_over
    assert found.status == "Canceled"
    wait_for(lambda: {row["status"] for row in leading.result().table} == {"Canceled"}, "the children's ends")
    assert len(leading.result().table) in (1, 2)
    assert site.shown(f"{leading.id}_0")["cause"] == f"canceled with its parent run {leading.id}"
    with pytest.raises(InputError, match="begin another one"):
        sweep.start(site.experiment("canceled"), site.config(), search, metric="loss", sweep_id=leading.id)


IN_A_JOB = """
import sys
from runyard import Run, ScriptRunConfig, sweep
config = ScriptRunConfig(sys.argv[1], "train.py", environment_variables={"PYTHONPATH": sys.argv[2]})
found = sweep.run(Run.get_context().experiment, config, sweep.grid({"lr": [0.1, 0.5]}), metric="loss", at_once=2)
print("led", found.run.id, found.status, len(found.table), found.best_value)
"""


def test_a_job_leads_a_sweep_that_is_its_child(site: Site) -> None:
    (site.code / "lead.py").write_text(IN_A_JOB)
    config = ScriptRunConfig(None, site.code / "lead.py", [site.code, ROOT], environment_variables={"PYTHONPATH": ROOT})
    job = site.experiment("in-a-job").submit(config)
    details = job.wait_for_completion(raise_on_error=False, wait_post_processing=True)
    text = "".join(job.get_details_with_logs()["logFiles"].values())
    assert details["status"] == "Completed", text
    led = next(line.split() for line in text.splitlines() if line.startswith("led "))
    assert led[2:4] == ["Completed", "2"]
    found = site.shown(led[1])
    assert (found["parent_run_id"], found["kind"], found["user"]) == (job.id, "sweep", site.shown(job.id)["user"])


def test_a_sweep_none_of_whose_children_complete_has_failed(site: Site) -> None:
    found = sweep.run(site.experiment("lost"), site.config(), sweep.grid({"lr": 0.9}), metric="loss")
    assert (found.status, site.shown(found.run.id)["cause"]) == ("Failed", "none of its 1 children completed")
    assert found.best_value == pytest.approx(1.6)  # it was measured all the same


def test_what_cannot_be_a_sweep_is_refused_before_anything_is_made(site: Site) -> None:
    experiment, search = site.experiment("none"), sweep.grid({"lr": 0.9})
    with pytest.raises(InputError, match="at_once is a whole number from 1 to 1000, not 0"):
        sweep.run(experiment, site.config(), search, metric="loss", at_once=0)
    with pytest.raises(InputError, match="'minimize' or 'maximize', not 'least'"):
        sweep.run(experiment, site.config(), search, metric="loss", goal="least")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="give a script"):
        sweep.run(experiment, ScriptRunConfig(None, command="true"), search, metric="loss")
    assert [*experiment.get_runs()] == []


def test_a_sweep_on_a_cluster_has_so_many_children_in_the_queue_as_may_run_at_once(tmp_path: Path) -> None:
    with lab(tmp_path) as there:
        here = Environment("here")
        here.python.user_managed_dependencies = True
        here.python.interpreter_path = sys.executable  # which has runyard
        config = there.config(TRAIN, cluster=CLUSTER, environment=here)
        search = sweep.grid({"lr": [0.5, 0.3]})
        found = sweep.run(there.experiment, config, search, metric="loss", goal="maximize", at_once=2)
        assert [(row["status"], row["params"]["lr"]) for row in found.table] == [("Completed", "0.5"), ("Completed", "0.3")]
        assert found.best_child is not None
        assert found.best_child.id == f"{found.run.id}_0"
        assert found.best_value == pytest.approx(1.2)
        assert [child.id for child in found.run.get_children()] == [f"{found.run.id}_1", f"{found.run.id}_0"]
        assert found.best_child.get_details()["target"] == CLUSTER
