"""Where a run works on a node: a folder that is claimed, removed only where it is the run's, and what the code brings in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.agent import work_folder
from runyard.errors import PhaseError
from tests.agent.node_runs import NodeRun
from tests.agent.phased_runs import PhasedRun, script


def working_in(folder: Path) -> dict[str, str]:
    return {"RUNYARD_ENVIRONMENT__WORK_DIR": str(folder)}


def run_of(work: Path, node: str = "n1", key: str = "k") -> dict[str, Any]:
    """What the work folder is made from: a run's description on one of its nodes."""
    return {"work_dir": str(work), "node_id": node, "key": key}


def test_a_folder_that_was_there_before_the_run_fails_it_and_stays_as_it_is(tmp_path: Path) -> None:
    mine = tmp_path / "shared/r/thesis"
    mine.parent.mkdir(parents=True)
    mine.write_text("three years")
    run = PhasedRun(tmp_path, 'code = "code"\n', "true", env=working_in(tmp_path / "shared"))
    assert run.complete().returncode == 1
    cause = run.state()["cause"]
    assert str(mine.parent) in cause
    assert "another run id" in cause
    assert mine.read_text() == "three years"
    assert "is not this run's own and stays" in run.text("75")
    assert [path.name for path in mine.parent.parent.iterdir()] == ["r"]


def test_a_work_folder_of_a_runs_own_is_removed_with_the_run(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    run = PhasedRun(tmp_path, 'code = "code"\n', *script("pwd"), env=working_in(shared))
    done = run.complete()
    assert done.stdout.decode().strip() == str(shared / "r/code")
    assert list(shared.iterdir()) == []


def test_nodes_of_a_run_share_its_work_folder_and_another_runs_do_not(tmp_path: Path) -> None:
    work = tmp_path / "work"
    for node in ("n1", "n2"):
        work_folder.claim(run_of(work, node))
        assert work_folder.is_ours(run_of(work, node))
    other = run_of(work, key="another")
    with pytest.raises(PhaseError, match="was there before this run"):
        work_folder.claim(other)
    assert work_folder.remove(other)
    assert work_folder.is_ours(run_of(work))
    assert work_folder.remove(run_of(work))
    assert list(tmp_path.iterdir()) == []


def test_a_claim_that_was_killed_half_way_is_taken_up_again_or_removed(tmp_path: Path) -> None:
    run = run_of(tmp_path / "work")
    half = tmp_path / f".work.{work_folder.owner_of(run)}.n1"
    half.mkdir()
    work_folder.claim(run)
    assert [path.name for path in tmp_path.iterdir()] == ["work"]
    shutil.rmtree(tmp_path / "work")
    half.mkdir()
    assert work_folder.remove(run)
    assert list(tmp_path.iterdir()) == []


def test_outputs_and_logs_that_the_code_brings_do_not_keep_what_is_written_there_from_being_kept(tmp_path: Path) -> None:
    run = PhasedRun(
        tmp_path, 'code = "code"\n', *script("echo model > outputs/model; echo line > logs/mine/log; cat outputs/old")
    )
    for name, text in (("outputs/.gitkeep", ""), ("outputs/old", "old\n"), ("logs/mine/log", ""), ("logs/azureml/x", "x")):
        path = run.code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (run.code / "outputs/probe").symlink_to("../probe.py")
    assert run.complete().stdout == b"old\n"
    assert run.path("outputs/model").read_text() == "model\n"
    assert run.path("logs/mine/log").read_text() == "line\n"
    assert run.path("logs/azureml/x").read_text() == "x"
    assert run.path("outputs/probe").readlink() == run.path("work/code/probe.py")
    assert "The code brings a folder outputs" in run.text("65")
    assert "The code brings a folder logs" in run.text("65")


def test_a_file_in_the_place_of_outputs_is_said_to_keep_nothing(tmp_path: Path) -> None:
    run = PhasedRun(tmp_path, 'code = "code"\n', "true")
    (run.code / "outputs").write_text("a note")
    assert run.complete().returncode == 0
    assert "outputs in the code is no folder" in run.text("65")


def test_what_pip_uv_and_buildah_are_told_is_known_to_whoever_takes_the_run_over(tmp_path: Path) -> None:
    told = {
        name: f"value of {name}"
        for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "BUILDAH_ISOLATION")
    }
    run = NodeRun(tmp_path / "spool", "true", env=told)
    assert run.complete().returncode == 0
    kept = json.loads(run.path(names.RUN_FILE).read_text())["tool_environment"]
    assert {name: kept.get(name) for name in told} == told
    assert run.path(names.RUN_FILE).stat().st_mode & 0o777 == 0o600


def test_a_sidecar_that_gets_no_namespaces_says_that_it_is_a_plain_process(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "unshare").write_text("#!/bin/sh\nexit 1\n")  # as a node says it that allows none
    (programs / "unshare").chmod(0o755)
    run = PhasedRun(tmp_path, 'code = "code"\nsidecar = true\n', "true")
    run.env["PATH"] = f"{programs}:{run.env['PATH']}"
    assert run.complete().returncode == 0
    node = run.json(names.RUN_FILE)["node_id"]
    start = run.path(names.sidecar_log(node, "start_cms")).read_text()
    for text in (run.text("55"), run.text("65"), start):
        assert "as a plain process" in text
        assert "in namespaces of its own" not in text
