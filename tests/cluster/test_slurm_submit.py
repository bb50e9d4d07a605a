"""`runyard submit --cluster slurm:…` to a real Slurm on two nodes: the commands of a queue, and Slurm's states as a run's."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.netns_site import hub_collector, namespaces
from tests.slurm_site import needs_slurm, slurm
from tests.waiting import wait_for

from .test_slurm import RUNYARD, Scene

LIMIT_S = 60.0
PROGRAM = """
import os, pathlib, sys, time
print("rank", os.environ["RANK"], "of", os.environ["WORLD_SIZE"], pathlib.Path("word.txt").read_text(), flush=True)
pathlib.Path(os.environ["RUNYARD_OUTPUT_DIR"], "made.txt").write_text("made")
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("slurm-submit")
    with namespaces(2) as site, hub_collector(site, folder) as collector, slurm(site) as cluster:
        found = Scene(cluster, collector)
        found.environ |= {"RUNYARD_ENVIRONMENT__CACHE_DIR": str(folder / "cache"), "SBATCH_OUTPUT": str(folder / "job-%j.out")}
        yield found


def runyard(scene: Scene, *words: str) -> subprocess.CompletedProcess[bytes]:
    """A verb, on the hub as on a login node."""
    done = scene.cluster.run(*RUNYARD, *words, env=scene.environ, limit_s=LIMIT_S)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def submit(scene: Scene, *words: str) -> str:
    """The id of the run that was submitted."""
    done = runyard(scene, "submit", "--cluster", "slurm:all", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def slurms_word(scene: Scene, run_id: str) -> Any:
    """What Slurm knows of a run that the collector does not know; None where that has changed."""
    done = runyard(scene, "show", run_id, "-o", "json")
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    return found if "job_id" in found else None


@pytest.fixture
def busy(scene: Scene) -> Iterator[str]:
    """A job of somebody else's that has all nodes; it goes with the test."""
    wait_for(scene.cluster.is_idle, "Slurm's nodes are idle", limit_s=LIMIT_S)
    taken = ("--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 300")
    job = scene.cluster.run("sbatch", "--parsable", *taken).stdout.decode().strip()
    wait_for(lambda: scene.cluster.run("squeue", "-h", "-j", job, "-o", "%T").stdout == b"RUNNING\n", "the job runs")
    yield job
    scene.cluster.run("scancel", job)


@needs_slurm
@pytest.mark.row("C6")
def test_what_is_submitted_to_slurm_runs_with_the_code_as_it_was(scene: Scene, tmp_path: Path, busy: str) -> None:
    (tmp_path / "train.py").write_text(PROGRAM)
    (tmp_path / "word.txt").write_text("before")
    words = ("--nodes", "2", "--nproc-per-node", "2", "--distribution", "pytorch", "--cpus", "1", "--tag", "k=v")
    run_id = submit(scene, "--experiment", "slurmed", *words, "--code", str(tmp_path), "--", sys.executable, "train.py")
    assert run_id.startswith("slurmed_")
    (tmp_path / "word.txt").write_text("after")
    found = slurms_word(scene, run_id)
    assert (found["status"], found["state"]) == ("Queued", "PENDING")
    scene.cluster.run("scancel", busy)
    wait_for(lambda: slurms_word(scene, run_id) is None, "it starts", limit_s=LIMIT_S)
    shown = scene.completed(run_id)
    assert shown["status"] == "Completed", shown
    assert shown["tags"].keys() == {"k", "slurm_job"}
    assert sorted(scene.logs(run_id).values()) == [b"rank %d of 4 before\n" % rank for rank in range(4)]
    assert len(list(scene.root(run_id).glob("*/outputs/made.txt"))) == 2


@needs_slurm
@pytest.mark.row("C7")
def test_a_run_that_waits_in_slurms_queue_is_shown_and_cancelled_as_any_other(scene: Scene, busy: str) -> None:
    run_id = submit(scene, "--", "true")
    line = runyard(scene, "show", run_id).stdout.decode()
    assert line.startswith(f"{run_id}  Queued: Slurm job ")
    listed = runyard(scene, "clusters", "slurm:all").stdout.decode()
    assert f"{run_id}  Queued" in listed
    assert "2 allocated" in listed
    done = runyard(scene, "cancel", run_id)
    assert (done.returncode, done.stdout.decode()) == (0, f"{run_id} CancelRequested\n")
    wait_for(lambda: slurms_word(scene, run_id)["status"] == "Canceled", "Slurm has taken it out")
    assert runyard(scene, "cancel", run_id).returncode == 2  # nobody knows it any more
    assert busy


@needs_slurm
@pytest.mark.row("C7")
def test_a_run_that_runs_under_slurm_is_cancelled_at_the_collector(scene: Scene) -> None:
    words = ("--nodes", "2", "--", sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(120)")
    run_id = submit(scene, *words)
    wait_for(lambda: list(scene.logs(run_id).values()) == [b"ready\n"] * 2, "both run", limit_s=LIMIT_S)
    assert runyard(scene, "cancel", run_id, "--reason", "enough").returncode == 0
    shown = scene.completed(run_id)
    assert shown["status"] == "Canceled"
    assert "enough" in shown["cause"]
    wait_for(scene.cluster.is_idle, "its nodes are free", limit_s=LIMIT_S)


@needs_slurm
def test_who_follows_a_run_under_slurm_ends_with_its_exit_code(scene: Scene) -> None:
    done = runyard(scene, "submit", "--cluster", "slurm", "-f", "--", "sh", "-c", "echo out; exit 7")
    assert (done.returncode, done.stdout) == (7, b"out\n"), done.stderr


@needs_slurm
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--cluster", "slurm:nowhere"), "invalid partition specified: nowhere"),
        (("--cluster", "slurm:all", "--gpus", "2"), "sbatch refused: "),
        (("--cluster", "slurm:all", "--user", "ada"), "a Slurm job runs as whoever submits it"),
        (("--cluster", "slurm:all", "--max-queue-time", "1h"), "--max-queue-time is for the queue of a cluster's own"),
        (("--cluster", "slurm:a b"), "names no partition of Slurm"),
    ],
)
def test_what_slurm_cannot_take_is_one_sentence(scene: Scene, words: tuple[str, ...], sentence: str) -> None:
    done = runyard(scene, "submit", *words, "--", "true")
    assert done.returncode in (1, 2)
    assert sentence in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1, done.stderr
