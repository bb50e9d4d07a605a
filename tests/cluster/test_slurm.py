"""Runs under a real Slurm, on two nodes in namespaces of their own, against a real collector: as a user starts them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent.node_runs import is_alive
from tests.collector_process import CollectorProcess
from tests.netns_site import Node, hub_collector, namespaces
from tests.slurm_site import Cluster, needs_slurm, pids_in, slurm
from tests.training_site import TRAINING_PYTHON, needs_torch
from tests.waiting import wait_for

from .launched import RUN_ID, Launched
from .training import PROGRAM, all_is_there, in_order

RUNYARD = [sys.executable, "-m", "runyard"]
EXAMPLES = Path(__file__).parents[2] / "configs" / "slurm"
# Writes what only this rank writes, among it bytes that are no text and no whole line, then its variables.
TALKER = """
import json, os, sys
rank = os.environ["RANK"]
wanted = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "SLURM_PROCID", "SLURM_LOCALID")
print("vars", json.dumps({name: os.environ.get(name) for name in wanted}), flush=True)
for step in range(200):
    os.write(1, b"\\r%d/200 rank %s \\xff\\x00" % (step, rank.encode()))
os.write(1, b"\\nend of " + rank.encode())
"""
# Stands still until it is told otherwise; rank 3 fails where it is asked to.
WAITER = """
import os, sys, time
print("ready", flush=True)
if os.environ.get("FAIL") == os.environ["RUNYARD_RANK"]:
    sys.exit(7)
time.sleep(60)
"""


class Scene:
    """A Slurm with a collector."""

    def __init__(self, cluster: Cluster, collector: CollectorProcess) -> None:
        self.cluster, self.collector = cluster, collector
        self.environ = {
            "RUNYARD_COLLECTOR_URL": collector.url,
            "RUNYARD_TOKEN": collector.token,
            "RUNYARD_SPOOL__DIR": str(cluster.local_dir / "spool"),
            "RUNYARD_RUN__GRACE_S": "2",
        }

    def command(self, run_id: str, *words: str, srun: tuple[str, ...]) -> list[str]:
        flags = ["--run-id", run_id, "--rendezvous", "20", "--failure-grace", "0.2", "--distribution", "pytorch"]
        return ["srun", *srun, *RUNYARD, "run", *flags, *words]

    def srun(self, *command: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
        return self.cluster.run(*command, env=self.environ | environ)

    def start(self, run_id: str, *command: str, ranks: int = 4, **environ: str) -> subprocess.Popen[bytes]:
        """Start it and come back when all ranks have said that they are ready."""
        options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = self.cluster.popen(*command, env=self.environ | environ, **options)

        def is_ready() -> bool:
            assert process.poll() is None, process.communicate()
            return len(self.logs(run_id)) == ranks and all(b"ready" in log for log in self.logs(run_id).values())

        wait_for(is_ready, "the ranks' first words at the collector")
        return process

    def logs(self, run_id: str) -> dict[str, bytes]:
        """The driver logs at the collector: (node ip/name) -> bytes."""
        root = self.root(run_id)
        return {f"{path.parts[-3]}/{path.name}": path.read_bytes() for path in root.glob("*/azureml-logs/70_driver_log_*.txt")}

    def root(self, run_id: str) -> Path:
        return next(iter((self.collector.data_dir / "runs").glob(f"*/{run_id}")), Path("/nonexistent"))

    def shown(self, run_id: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.collector.client().json("GET", f"/runs/{run_id}")
        return shown

    def completed(self, run_id: str) -> dict[str, Any]:
        """The run, when all of it is at the collector."""
        wait_for(lambda: self.shown(run_id)["is_complete"], "the run is complete")
        return self.shown(run_id)

    def job_of(self, process_name: str) -> str:
        """The number of the job that runs."""
        return self.cluster.run("squeue", "-h", "-o", "%i", "-n", process_name).stdout.decode().split()[0]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("slurm")
    with namespaces(2) as site, hub_collector(site, folder) as collector, slurm(site) as cluster:
        yield Scene(cluster, collector)


def expected(rank: int, log: bytes) -> bytes:
    """What rank wrote behind its variables' line, which it is to have found in its log."""
    first = log.partition(b"\n")[0] + b"\n"
    return first + b"".join(b"\r%d/200 rank %d \xff\x00" % (step, rank) for step in range(200)) + b"\nend of %d" % rank


def variables(log: bytes) -> dict[str, str]:
    line = log.partition(b"\n")[0].decode()
    assert line.startswith("vars ")
    found: dict[str, str] = json.loads(line[5:])
    return found


@needs_slurm
@pytest.mark.row("A15")
@pytest.mark.row("A4")
@pytest.mark.parametrize(
    ("srun", "flags"),
    [(("-N2", "--ntasks-per-node=2"), ()), (("-N2", "-n2"), ("--nproc-per-node", "2"))],
    ids=["a-task-per-process", "a-task-per-node"],
)
def test_four_processes_on_two_nodes_are_one_run(scene: Scene, srun: tuple[str, ...], flags: tuple[str, ...]) -> None:
    run_id = f"four-{len(flags)}"
    done = scene.srun(*scene.command(run_id, *flags, "--", sys.executable, "-c", TALKER, srun=srun))
    assert done.returncode == 0, done.stderr
    nodes = scene.cluster.site.nodes
    logs = scene.logs(run_id)
    assert sorted(logs) == [f"{nodes[rank // 2].ip}/70_driver_log_{rank}.txt" for rank in range(4)]
    for name, log in logs.items():
        rank = int(name.rpartition("_")[2].removesuffix(".txt"))
        assert log == expected(rank, log)
        assert b"end of %d" % rank in done.stdout  # each task echoes its own
        found = variables(log)
        wanted = {"RANK": str(rank), "LOCAL_RANK": str(rank % 2), "WORLD_SIZE": "4", "NODE_RANK": str(rank // 2)}
        assert {key: found[key] for key in wanted} == wanted
        assert found["MASTER_ADDR"] == nodes[0].ip
        if not flags:
            assert (found["SLURM_PROCID"], found["SLURM_LOCALID"]) == (str(rank), str(rank % 2))
    shown = scene.completed(run_id)
    assert (shown["status"], len(shown["nodes"])) == ("Completed", 2)


class Trained(Launched):
    """The training's run, with the nodes' own disks as Slurm's nodes have them."""

    cluster: Cluster

    def spool(self, node: Node) -> Path:
        return self.cluster.local(node, f"spool/{RUN_ID}")


@needs_slurm
@needs_torch
@pytest.mark.row("A15")
@pytest.mark.xdist_group("torch")
def test_a_training_whose_processes_slurm_has_started_is_one_run(scene: Scene, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    program = ("--", str(TRAINING_PYTHON), str(PROGRAM), "60", "0.02", str(copies))
    done = scene.srun(*scene.command(RUN_ID, *program, srun=("-N2", "--ntasks-per-node=2")), GLOO_SOCKET_IFNAME="host0")
    assert done.returncode == 0, done.stderr
    run = Trained(scene.collector, scene.cluster.site, tmp_path)
    run.cluster = scene.cluster
    shown = run.completed()
    assert shown["status"] == "Completed"
    assert [process["rank"] for process in shown["processes"]] == list(range(4))
    all_is_there(run, copies, 4)
    in_order(run)


@needs_slurm
def test_a_rank_that_fails_ends_the_others_and_is_told_to_slurm(scene: Scene) -> None:
    command = scene.command("fails", "--", sys.executable, "-c", WAITER, srun=("-N2", "--ntasks-per-node=2"))
    done = scene.srun(*command, FAIL="3")
    assert done.returncode == 143, done.stderr  # srun's own is the highest one
    assert b"task 3: Exited with exit code 7" in done.stderr
    assert b"task 0: Exited with exit code 143" in done.stderr
    shown = scene.shown("fails")
    assert shown["status"] == "Failed"
    assert "rank 3" in shown["cause"]


@needs_slurm
def test_where_slurm_kills_the_step_on_a_bad_exit_the_run_has_failed_and_was_not_canceled(scene: Scene) -> None:
    command = scene.command("kills", "--", sys.executable, "-c", WAITER, srun=("-N1", "-n2", "--kill-on-bad-exit=1"))
    done = scene.srun(*command, FAIL="1")
    assert done.returncode != 0
    shown = scene.completed("kills")
    assert (shown["status"], shown["cause"]) == ("Failed", "rank 1: exit code 7")


@needs_slurm
def test_scancel_cancels_the_run_and_what_it_has_written_is_complete(scene: Scene) -> None:
    command = scene.command(
        "canceled", "--", sys.executable, "-c", WAITER, srun=("-N2", "--ntasks-per-node=2", "-J", "to-cancel")
    )
    process = scene.start("canceled", *command)
    scene.cluster.run("scancel", scene.job_of("to-cancel"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    shown = scene.completed("canceled")
    assert shown["status"] == "Canceled"
    assert "Slurm sent SIGTERM" in shown["cause"]
    assert len(scene.logs("canceled")) == 4


@needs_slurm
def test_a_driver_does_not_outlive_the_task_that_slurm_has_killed(scene: Scene) -> None:
    command = scene.command("orphan", "--", sys.executable, "-c", WAITER, srun=("-N2", "--ntasks-per-node=2"))
    process = scene.start("orphan", *command)
    private = scene.cluster.local(scene.cluster.site.nodes[1], "spool/orphan/.runyard/proc/3")
    driver = json.loads((private / "started.json").read_text())["pid"]
    os.kill(int((private / "capture.lock").read_text()), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert b"task 3: Exited with exit code 137" in err
    assert not is_alive(driver)
    shown = scene.shown("orphan")
    assert shown["status"] == "Failed"
    assert "rank 3: its launcher has gone" in shown["cause"]


@needs_slurm
def test_what_a_killed_step_has_left_is_told_and_sent_by_the_nodes_service(scene: Scene) -> None:
    nodes = scene.cluster.site.nodes
    command = scene.command("killed", "--", sys.executable, "-c", WAITER, srun=("-N2", "--ntasks-per-node=2"))
    process = scene.start("killed", *command)
    for node in nodes:  # all but Slurm's own
        for pid in pids_in(node):
            if b"slurm" not in Path(f"/proc/{pid}/comm").read_bytes():
                os.kill(pid, signal.SIGKILL)
    assert process.wait(60) == 137
    process.communicate()
    services = [scene.cluster.beside_slurmd(node, *RUNYARD, "ship", "--watch", env=scene.environ) for node in nodes]
    try:
        wait_for(lambda: scene.shown("killed")["is_complete"], "the rest of the run at the collector", limit_s=60)
    finally:
        for service in services:
            service.terminate()
            service.wait(30)
    shown = scene.shown("killed")
    assert shown["status"] == "Failed"
    assert "its launcher has gone: what Slurm had started for rank" in shown["cause"]
    assert all(log == b"ready\n" for log in scene.logs("killed").values())


@needs_slurm
def test_what_slurm_hands_a_task_as_a_descriptor_reaches_the_driver(scene: Scene) -> None:
    program = "import os, stat; print(os.environ['PMI_RANK'], stat.S_ISSOCK(os.fstat(int(os.environ['PMI_FD'])).st_mode))"
    command = scene.command("pmi", "--", sys.executable, "-c", program, srun=("-N1", "-n2", "--mpi=pmi2"))
    done = scene.srun(*command)
    assert sorted(done.stdout.splitlines()) == [b"0 True", b"1 True"], done.stderr


@needs_slurm
def test_nodes_that_share_a_spool_are_told_which_setting_to_change(scene: Scene, tmp_path: Path) -> None:
    srun = ("-N2", "--ntasks-per-node=2", "--kill-on-bad-exit=1")
    command = scene.command("shared", "--", sys.executable, "-c", WAITER, srun=srun)
    done = scene.srun(*command, RUNYARD_SPOOL__DIR=str(tmp_path / "shared"))
    assert done.returncode != 0
    assert b"spool.dir has to name a folder of the node's own" in done.stderr
    assert b"Traceback" not in done.stderr


@needs_slurm
@pytest.mark.parametrize("example", ["one-task-per-node", "one-task-per-process"])
def test_the_sbatch_examples_run(scene: Scene, tmp_path: Path, example: str) -> None:
    shutil.copy(EXAMPLES / f"{example}.sh", tmp_path)
    (tmp_path / "train.py").write_text(TALKER)
    token = tmp_path / "token"
    token.write_text(scene.collector.token)
    token.chmod(0o600)
    environ = scene.environ | {
        "RUNYARD_CLIENT__TOKEN_FILE": str(token),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    del environ["RUNYARD_TOKEN"]
    sbatch = ("sbatch", "--parsable", f"--chdir={tmp_path}", "--output=out.txt", f"{tmp_path}/{example}.sh")
    done = scene.cluster.run(*sbatch, env=environ)
    assert done.returncode == 0, done.stderr
    job = done.stdout.decode().split()[0]
    wait_for(lambda: not scene.cluster.run("squeue", "-h", "-j", job).stdout, "the job's end", limit_s=60)
    said = (tmp_path / "out.txt").read_text(errors="replace")
    run_id = f"train_slurm{job}_0"
    logs = scene.logs(run_id)
    assert len(logs) == 4, said
    assert {variables(log)["RANK"] for log in logs.values()} == {"0", "1", "2", "3"}
    assert scene.root(run_id).parent.name == "train"
    assert scene.shown(run_id)["status"] == "Completed"
