"""Children of a run as a training makes them, and as a notebook has them and their parents."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard import Experiment, Run, Workspace
from tests.agent.node_runs import NodeRun
from tests.collector_process import CollectorProcess, running_collector

from .recorded import Job

HEAD = "import json\nfrom runyard import Run\nrun = Run.get_context(allow_offline=False)\n"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One collector for all of these tests, whose runs have ids of their own."""
    with running_collector(tmp_path_factory.mktemp("children")) as process:
        yield process


def trained(tmp_path: Path, collector: CollectorProcess, script: str) -> Any:
    """What a training has printed as JSON; its run has the id of the test's folder."""
    env = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    flags = ("--experiment", "digits")
    run = NodeRun(tmp_path / "spool", sys.executable, "-c", HEAD + script, run_id=tmp_path.name, flags=flags, env=env)
    done = run.complete()
    assert done.returncode == 0, done.stderr
    return json.loads(run.log().splitlines()[-1])


def fetched(collector: CollectorProcess, run_id: str) -> Run:
    """The run as a notebook has it."""
    return Run(Experiment(Workspace(collector.url, collector.token), "digits"), run_id)


def test_a_child_that_fails_of_bytes_that_are_no_text_has_failed(tmp_path: Path, shared: CollectorProcess) -> None:
    script = (
        "try:\n    with run.child_run() as child: raise ValueError('bad label caf\\udce9')\nexcept ValueError: pass\n"
        "print(json.dumps(child.id))"
    )
    child = shared.client().json("GET", f"/runs/{trained(tmp_path, shared, script)}")
    assert (child["status"], child["cause"]) == ("Failed", "ValueError: bad label caf\ufffd")
    assert shared.client().json("GET", f"/runs/{tmp_path.name}")["warnings"] == []


def test_what_is_recorded_of_the_parent_of_a_fetched_child_is_there(tmp_path: Path, shared: CollectorProcess) -> None:
    child = fetched(shared, trained(tmp_path, shared, "print(json.dumps(run.child_run().id))"))
    parent = child.parent
    assert parent is not None
    parent.log("loss", 1)
    parent.tag("k", "v")
    parent.child_run(run_id=f"{tmp_path.name}_b").log("loss", 2)
    assert parent.flush(30) is True
    run = fetched(shared, tmp_path.name)
    assert (run.get_metrics(), run.get_tags()["k"]) == ({"loss": 1}, "v")
    first, second = run.get_children()
    assert (first.id, first.get_metrics()) == (f"{tmp_path.name}_b", {"loss": 2})
    assert first.parent is second.parent is run


def test_a_process_of_a_run_is_told_that_it_records_nothing_of_the_parent(tmp_path: Path, shared: CollectorProcess) -> None:
    child = trained(tmp_path, shared, "run.log('loss', 1)\nprint(json.dumps(run.child_run().id))")
    job = Job(tmp_path)
    job.env |= {"RUNYARD_RUN_ID": child, "RUNYARD_COLLECTOR_URL": shared.url, "RUNYARD_TOKEN": shared.token}
    done = job.script(
        "from runyard import Run\nfrom runyard.errors import InputError\nparent = Run.get_context().parent\n"
        "print(parent.id, parent.get_metrics(), len(list(parent.get_children())))\n"
        "try: parent.log('loss', 2)\nexcept InputError as error: print(error)"
    )
    read, refused = done.stdout.splitlines()
    assert read == f"{tmp_path.name} {{'loss': 1}} 1"
    assert refused.startswith(
        f"run {tmp_path.name} is the parent of run {child}, whose processes record only what is of that run"
    )
    assert job.journals() == []
