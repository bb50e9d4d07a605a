"""Runs that are submitted from Python, as a notebook or script does: to a cluster's queue, and to this machine."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import Environment, Experiment, PyTorchConfiguration, Run, ScriptRunConfig, Workspace
from runyard.errors import CollectorRefused, InputError
from runyard.sdk import on_its_way
from tests.agent.node_runs import is_alive
from tests.sdk.lab import CLUSTER, LIMIT_S, LOG, Lab, lab
from tests.waiting import wait_for

TRAINING = """
import os, pathlib, sys
print("with", sys.argv[1:], pathlib.Path("word.txt").read_text(), os.environ["GREETING"], flush=True)
"""
ENDS = ("Completed", "Failed", "Canceled")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


def ended(run: Run) -> str:
    """Its status, when it has ended."""
    wait_for(lambda: run.get_status() in ENDS, f"{run.id} has ended", limit_s=LIMIT_S)
    return run.get_status()


@pytest.mark.row("B3")
@pytest.mark.parametrize("cluster", [CLUSTER, ""])
def test_a_script_is_submitted_and_its_page_is_linked(site: Lab, tmp_path: Path, cluster: str) -> None:
    code = site.code(TRAINING)
    (code / "word.txt").write_text("of the code")
    where: dict[str, Any] = {"compute_target": cluster, "cpus": 0.1} if cluster else {}
    config = ScriptRunConfig(code, "train.py", ["--lr", 0.1], environment_variables={"GREETING": "hello"}, **where)
    run = site.experiment.submit(config, tags={"try": "1"}, display_name="the first")
    (code / "word.txt").write_text("that came too late")
    assert re.fullmatch(r"digits_\d{10}_[0-9a-f]{8}", run.id)
    assert run.get_portal_url() == f"{site.collector.url}/runs/{run.id}"
    details = run.wait_for_completion()
    assert (details["runId"], details["status"], details["target"]) == (run.id, "Completed", cluster or "local")
    assert details["runDefinition"]["arguments"] == ["--lr", "0.1"]
    assert (run.tags, run.name, run.experiment.name) == ({"try": "1"}, "the first", "digits")
    assert site.numbered_logs(run)[LOG] == b"with ['--lr', '0.1'] of the code hello\n"


@pytest.mark.row("B3")
@pytest.mark.parametrize("cluster", [CLUSTER, ""])
def test_submitting_does_not_wait_and_a_run_can_be_cancelled(site: Lab, tmp_path: Path, cluster: str) -> None:
    run = site.waiter(tmp_path / "end", cluster)
    wait_for(lambda: run.get_details()["startTimeUtc"], "it runs", limit_s=LIMIT_S)
    details = run.get_details()
    assert details["status"] == "Running"
    assert "endTimeUtc" not in details
    assert details["startTimeUtc"].endswith("Z")
    if cluster:
        assert [one.id for one in site.workspace.compute_targets[CLUSTER].get_active_runs(status="Running")] == [run.id]
    run.cancel()
    assert ended(run) == "Canceled"
    assert "canceled by" in run.get_detailed_status()["details"]
    assert "error" not in run.get_details()


def test_a_run_that_waits_for_nodes_says_so_and_can_be_cancelled(site: Lab) -> None:
    site.agent.stop()
    try:
        run = site.submit("print(1)", cluster=CLUSTER, tags={"waits": "yes"})
        assert run.get_status() == "Queued"
        assert run.get_detailed_status()["details"]
        queued = Run.list_by_compute(site.workspace.compute_targets[CLUSTER], tags={"waits": "yes"}, status="Queued")
        assert [one.id for one in queued] == [run.id]
        run.cancel()
        assert ended(run) == "Canceled"
    finally:
        site.agent.start()


def test_a_run_on_this_machine_outlives_the_notebook(site: Lab, tmp_path: Path) -> None:
    text = """
import sys
from runyard import Experiment, ScriptRunConfig, Workspace
run = Experiment(Workspace.from_config(), "digits").submit(ScriptRunConfig(sys.argv[1], "train.py", [sys.argv[2]]))
print(run.id, flush=True)
"""
    notebook = site.notebook(text, str(site.code(WAITER_OF_ITS_OWN)), str(tmp_path / "end"))
    out, errors = notebook.communicate(timeout=LIMIT_S)
    assert (notebook.returncode, errors) == (0, "")
    run = Run.get(site.workspace, out.strip())
    pid = int(wait_for(lambda: re.findall(rb"here as (\d+)", site.log(run)), "it runs", limit_s=LIMIT_S)[0])
    assert is_alive(pid)
    (tmp_path / "end").write_text("0")
    assert run.wait_for_completion()["status"] == "Completed"


def variable(site: Lab, run: Run, name: str) -> str:
    """A variable of a driver that is a waiter."""
    match = re.search(rb"here as (\d+)", site.log(run))
    assert match is not None
    environ = Path(f"/proc/{int(match[1])}/environ").read_bytes().decode().split("\0")
    return dict(one.split("=", 1) for one in environ if one)[name]


WAITER_OF_ITS_OWN = """
import os, pathlib, sys, time
print("here as", os.getpid(), flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
"""


def test_what_keeps_a_run_from_its_start_is_told(site: Lab, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'no-such-program' was not found"):
        site.experiment.submit(ScriptRunConfig(site.code(""), command=["no-such-program"]))
    run = site.submit("print(1)")
    with pytest.raises(InputError, match="is taken"):
        site.experiment.submit(site.config("print(1)"), run_id=run.id)
    with pytest.raises(CollectorRefused, match="'lba'"):
        site.submit("print(1)", cluster="lba")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no file"):
        site.experiment.submit(ScriptRunConfig(tmp_path / "empty", command=["true"]))
    with pytest.raises(InputError, match="does not know 'arguments'"):
        site.experiment.submit(site.config("print(1)"), arguments=[1])
    with pytest.raises(InputError, match="experiment's name 'a b'"):
        Experiment(site.workspace, "a b").submit(site.config("print(1)"))
    with pytest.raises(InputError, match="has to be a ScriptRunConfig"):
        site.experiment.submit("train.py")  # type: ignore[arg-type]
    assert not list(Path(site.folder).glob("runyard-order-*"))
    assert ended(run) == "Completed"


def test_without_its_collector_a_run_on_this_machine_takes_place_and_is_found_later(site: Lab, tmp_path: Path) -> None:
    site.collector.stop()
    try:
        run = site.submit(WAITER_OF_ITS_OWN, tmp_path / "end")
        wait_for(lambda: b"here as" in site.log(run), "it runs", limit_s=LIMIT_S)
    finally:
        site.collector.start()
    (tmp_path / "end").touch()
    assert run.wait_for_completion()["status"] == "Completed"


def test_what_is_recorded_before_the_run_is_at_the_collector_gets_there_after_it(
    site: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.collector.stop()
    try:
        run = site.submit(WAITER_OF_ITS_OWN, tmp_path / "end")
        process = on_its_way.sender_of(run.id)
        assert process is not None
        sender = process.pid
        os.kill(sender, signal.SIGSTOP)
        run.tag("who", "ada")
    finally:
        site.collector.start()
    try:
        wait_for(lambda: not run.flush(0.1) and "there is no run" in capsys.readouterr().err, "it asks too early")
    finally:
        os.kill(sender, signal.SIGCONT)
    assert run.flush(LIMIT_S) is True
    assert run.tags == {"who": "ada"}
    (tmp_path / "end").touch()
    assert run.wait_for_completion()["status"] == "Completed"


PARENT = """
import json, os, sys
from runyard import Run, ScriptRunConfig
run = Run.get_context()
places = {"compute_target": sys.argv[1], "cpus": 0.1} if sys.argv[1] else {}
child = run.submit_child(ScriptRunConfig("child", "child.py", **places), tags={"kind": "small"})
print(child.id, flush=True)
child.wait_for_completion()
"""
CHILD = """
import json, os
looked_for = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "RUNYARD_RUN_ID")
print(json.dumps({name: os.environ[name] for name in looked_for if name in os.environ}))
"""


@pytest.mark.parametrize("where", [CLUSTER, ""])
def test_a_job_submits_children_of_its_own(site: Lab, where: str) -> None:
    code = site.code(PARENT)
    (code / "child").mkdir()
    (code / "child" / "child.py").write_text(CHILD)
    places: dict[str, Any] = {"compute_target": where, "cpus": 0.1} if where else {}
    python = Environment("with the SDK in it")
    python.python.interpreter_path = sys.executable
    spread = PyTorchConfiguration()
    config = ScriptRunConfig(code, "train.py", [where], environment=python, distributed_job_config=spread, **places)
    parent = site.experiment.submit(config)
    details = parent.wait_for_completion(raise_on_error=False)
    assert details["status"] == "Completed", site.log(parent).decode()
    (child,) = parent.get_children()
    assert child.id.startswith(f"{parent.id}_")
    assert child.id.encode() in site.log(parent)
    assert child.parent is not None
    assert (child.parent.id, child.tags, child.experiment.name) == (parent.id, {"kind": "small"}, "digits")
    assert child.wait_for_completion(wait_post_processing=True)["status"] == "Completed"
    assert json.loads(site.numbered_logs(child)[LOG]) == {"RUNYARD_RUN_ID": child.id}
    assert child.id not in [one.id for one in site.experiment.get_runs()]
    assert child.id in [one.id for one in site.experiment.get_runs(include_children=True)]


LEAVER = """
import sys
from runyard import Run, ScriptRunConfig
print(Run.get_context().submit_child(ScriptRunConfig("child", "child.py", [sys.argv[1]])).id, flush=True)
"""


def test_a_child_on_its_parents_machine_does_not_outlive_it(site: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNYARD_RUN__GRACE_S", "20")  # in which the child's wrapper tells the collector how it ended
    code = site.code(LEAVER)
    (code / "child").mkdir()
    (code / "child" / "child.py").write_text(WAITER_OF_ITS_OWN)
    parent = site.experiment.submit(ScriptRunConfig(code, "train.py", [tmp_path / "never"]))
    assert ended(parent) == "Completed", site.log(parent).decode()
    (child,) = parent.get_children()
    assert ended(child) == "Canceled"


def test_a_notebook_submits_children_of_a_run(site: Lab) -> None:
    parent = site.submit("print(1)")
    child = parent.submit_child(site.config("print(2)", cluster=CLUSTER))
    assert child.parent is not None
    assert child.parent.id == parent.id
    assert [ended(one) for one in (parent, child)] == ["Completed", "Completed"]


def test_a_run_may_submit_nobody_elses_child(site: Lab, tmp_path: Path) -> None:
    run, other = site.waiter(tmp_path / "end"), site.submit("print(1)")
    token = variable(site, run, "RUNYARD_TOKEN")
    mine = Experiment(Workspace(site.collector.url, token), "digits")
    with pytest.raises(CollectorRefused, match="parent_run_id"):
        mine.submit(site.config("print(1)", cluster=CLUSTER))
    with pytest.raises(CollectorRefused, match="parent_run_id"):
        Run(mine, other.id).submit_child(site.config("print(1)", cluster=CLUSTER))
    with pytest.raises(CollectorRefused, match="own user"):
        Run(mine, run.id).submit_child(site.config("print(1)", cluster=CLUSTER, user="root"))
    (tmp_path / "end").write_text("0")
    assert ended(run) == "Completed"
