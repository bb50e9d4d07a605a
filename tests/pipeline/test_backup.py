"""A backup that is made while nodes write brings every byte back: the earlier ones by itself, the later ones from the nodes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from runyard import names
from tests.agent.node_runs import NodeRun, is_alive
from tests.agent_process import AgentProcess, join_token, running_agent, status_of, submit
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .conftest import NodeRunFactory

# Writes all the time to both streams and two files of its own, one of which it begins anew all the time, records a metric
# and a file, until a file is there that tells it to end.
BUSY = """
import os, pathlib, sys, time
from runyard import Run
end, run, count = pathlib.Path(sys.argv[1]), Run.get_context(), 0
folder = pathlib.Path(os.environ["RUNYARD_LOG_DIR"])
folder.mkdir(parents=True, exist_ok=True)
pathlib.Path("given").write_text("given " * 1000)
run.upload_file("given.txt", "given")
while not end.exists():
    print(f"line {count} " + "x" * 200, flush=True)
    print(f"warning {count}", file=sys.stderr, flush=True)
    if count % 100 == 0:
        (folder / "again.txt").write_text(f"{count}\\n" * (count % 7 + 1))
    with (folder / "on.txt").open("a") as file:
        file.write(f"{count}\\n" * 100)
    run.log("count", count)
    count += 1
    time.sleep(0.001)  # as a training computes
print("the end", flush=True)
"""


# Counts until a file is there that tells it to end; says first who it is.
COUNTING = """
import os, pathlib, sys, time
print(os.getpid(), flush=True)
end, count = pathlib.Path(sys.argv[1]), 0
while not end.exists():
    print("line", count, flush=True)
    count += 1
    time.sleep(0.01)
print("the end", flush=True)
"""


@dataclass
class Busy:
    """A busy run: `begin` it, `end` it. What it prints is not echoed: nobody reads along."""

    run: NodeRun
    end_file: Path
    process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(self.run.argv, env=self.run.env, stdin=nothing, stdout=nothing, stderr=nothing)

    def end(self) -> int:
        """The exit code."""
        self.end_file.touch()
        return self.process.wait(60) if self.process is not None else 0


def command(*words: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    argv = [sys.executable, "-m", "runyard", *words]
    return subprocess.run(argv, env=kept | (environ or {}), capture_output=True, text=True, timeout=60, check=False)


def backup(collector: CollectorProcess, to: Path) -> str:
    done = command("collector", "backup", str(to), "--data-dir", str(collector.data_dir))
    assert done.returncode == 0, done.stderr
    return done.stdout


def restore(collector: CollectorProcess, source: Path) -> None:
    """As after the loss of the collector's disk."""
    collector.kill()
    shutil.rmtree(collector.data_dir)
    done = command("collector", "restore", str(source), "--data-dir", str(collector.data_dir))
    assert done.returncode == 0, done.stderr
    collector.start()


def come(collector: CollectorProcess, run: Busy) -> int:
    """How many bytes of the run's log the collector has."""
    found = list(collector.data_dir.glob(f"runs/default/{run.run.run_dir.name}/*/{names.driver_log(0, 1)}"))
    return found[0].stat().st_size if found else 0


def check_whole(collector: CollectorProcess, run: Busy) -> None:
    """Everything that the node has written is at the collector, byte for byte, and sealed."""
    client, run_id = collector.client(), run.run.run_dir.name
    wait_for(lambda: client.json("GET", f"/runs/{run_id}")["is_complete"], f"{run_id} is complete")
    for log in ("azureml-logs/70_driver_log.txt", "logs/on.txt", "logs/again.txt"):
        with client.stream("GET", f"/runs/{run_id}/files/{log}") as answer:
            assert answer.read() == run.run.path(log).read_bytes(), log
    done = command("verify", run_id, environ={"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token})
    assert done.returncode == 0, done.stdout + done.stderr
    written = run.run.path("azureml-logs/70_driver_log.txt").read_text().count("line ")
    (metric,) = client.json("GET", f"/runs/{run_id}/metrics")["metrics"]
    assert metric["count"] == written
    with client.stream("GET", f"/runs/{run_id}/artifacts/given.txt") as answer:
        assert answer.read() == b"given " * 1000


@pytest.fixture
def busy(node_run: NodeRunFactory, tmp_path: Path) -> Iterator[Callable[[str], Busy]]:
    """Makes busy runs; they end with the test."""
    made: list[Busy] = []

    def make(run_id: str) -> Busy:
        folder = tmp_path / f"{run_id}.code"
        folder.mkdir()
        end_file = tmp_path / f"{run_id}.end"
        env = {"RUNYARD_SHIP__BACKOFF_MAX_S": "0.5", "PYTHONPATH": str(Path.cwd())}
        run = node_run(sys.executable, "-c", BUSY, str(end_file), run_id=run_id, flags=("--cwd", str(folder)), env=env)
        made.append(Busy(run, end_file))
        return made[-1]

    yield make
    for one in made:
        one.end()


def test_a_collector_that_is_lost_comes_back_with_every_byte(
    collector: CollectorProcess, busy: Callable[[str], Busy], tmp_path: Path
) -> None:
    ended, live, later = busy("ended"), busy("live"), busy("later")
    for run in (ended, live):
        run.begin()
        wait_for(lambda run=run: come(collector, run) > 100_000, "the log comes")  # type: ignore[misc]
    assert ended.end() == 0

    to = tmp_path / "backup"
    backup(collector, to)
    first = come(collector, live)
    wait_for(lambda: come(collector, live) > first + 100_000, "the log goes on")
    said = backup(collector, to)  # brought up to date: what has not changed is not copied again
    copied, files = int(said.split("new or changed: ")[1].split()[0]), int(said.split(": ")[1].split()[0])
    assert copied < files
    saved = come(collector, live)
    with closing(sqlite3.connect(to / "collector.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    # After the backup: one goes on, one begins and is sent to its end.
    later.begin()
    wait_for(lambda: come(collector, live) > saved + 100_000 and come(collector, later) > 100_000, "more comes")
    assert later.end() == 0
    check_whole(collector, later)

    restore(collector, to)
    restored = come(collector, live)
    wait_for(lambda: come(collector, live) > restored + 100_000, "the node goes on by itself")
    assert live.end() == 0
    again = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    done = command("ship", "--again", "--spool", str(tmp_path / "spool"), environ=again)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "later: " in done.stdout
    assert "ended: " not in done.stdout  # the backup has it whole
    for run in (ended, live, later):
        check_whole(collector, run)


def test_a_run_whose_beginning_the_backup_does_not_know_is_taken_on_while_it_runs(
    collector: CollectorProcess, busy: Callable[[str], Busy], tmp_path: Path
) -> None:
    to = tmp_path / "backup"
    backup(collector, to)
    run = busy("new")
    run.begin()
    wait_for(lambda: come(collector, run) > 100_000, "the log comes")
    restore(collector, to)
    wait_for(lambda: come(collector, run) > 100_000, "the log comes again, from its first byte")
    assert run.end() == 0
    check_whole(collector, run)


def test_a_node_that_the_backup_does_not_know_comes_back_by_a_fresh_join_token(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    to = tmp_path / "backup"
    backup(collector, to)
    with running_agent(tmp_path / "node", collector) as agent:
        assert collector.client().json("GET", "/nodes")["nodes"]
        restore(collector, to)
        assert not collector.client().json("GET", "/nodes")["nodes"]
        agent.join_token_file.write_text(join_token(collector) + "\n")
        wait_for(lambda: collector.client().json("GET", "/nodes")["nodes"], "the node is back", limit_s=60)


def counting(collector: CollectorProcess, agent: AgentProcess, run_id: str, end: Path) -> int:
    """The pid of a run that the node has got from the queue; some of it is at the collector."""
    submit(collector, run_id, (sys.executable, "-c", COUNTING, str(end)))
    wait_for(lambda: durable_bytes(collector, run_id) > 1000, f"the log of {run_id} comes", limit_s=60)
    return int(agent.log_of(run_id).split(b"\n")[0])


def durable_bytes(collector: CollectorProcess, run_id: str) -> int:
    """How much of the driver's log the collector has in its files."""
    found = list(collector.data_dir.glob(f"runs/default/{run_id}/*/{names.driver_log(0, 1)}"))
    return found[0].stat().st_size if found else 0


def test_a_run_of_the_queue_that_the_backup_does_not_know_goes_on_to_its_own_end(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    to, end = tmp_path / "backup", tmp_path / "end"
    with running_agent(tmp_path / "node", collector) as agent:
        backup(collector, to)
        pid = counting(collector, agent, "later", end)
        restore(collector, to)
        submit(collector, "next", ("true",), request={})  # wants a node of its own
        wait_for(lambda: agent.said("does not know the run"), "the agent hears of another memory", limit_s=60)
        wait_for(lambda: durable_bytes(collector, "later") > 1000, "the log comes again", limit_s=60)
        agent.kill()
        agent.start()
        restarted = len(agent.log_of("later"))
        wait_for(lambda: durable_bytes(collector, "later") > restarted, "the next agent sends on", limit_s=60)
        agent.restart()
        restarted = len(agent.log_of("later"))
        wait_for(lambda: durable_bytes(collector, "later") > restarted, "and the one after it", limit_s=60)
        assert is_alive(pid)
        assert status_of(collector, "next") == "Queued"
        end.touch()
        for run_id in ("later", "next"):
            wait_for(lambda run_id=run_id: status_of(collector, run_id) == "Completed", f"{run_id} ends", limit_s=60)  # type: ignore[misc]
        wait_for(lambda: collector.client().json("GET", "/runs/later")["is_complete"], "it is complete", limit_s=60)
        log = agent.log_of("later")
        with collector.client().stream("GET", f"/runs/later/files/{names.driver_log(0, 1)}") as answer:
            assert answer.read() == log
        assert log.endswith(b"\nthe end\n")
        assert not agent.said("asked to end")


def test_a_run_on_two_nodes_that_the_backup_does_not_know_goes_on_on_both(collector: CollectorProcess, tmp_path: Path) -> None:
    to, end = tmp_path / "backup", tmp_path / "end"
    with running_agent(tmp_path / "one", collector) as one, running_agent(tmp_path / "two", collector) as two:
        backup(collector, to)
        submit(collector, "wide", (sys.executable, "-c", COUNTING, str(end)), node_count=2)
        wait_for(lambda: sum(len(log) > 1000 for log in logs_of_two(collector.data_dir)) == 2, "both logs come", limit_s=60)
        restore(collector, to)
        wait_for(lambda: sum(len(log) > 1000 for log in logs_of_two(collector.data_dir)) == 2, "both come again", limit_s=60)
        end.touch()
        wait_for(lambda: status_of(collector, "wide") == "Completed", "it ends", limit_s=60)
        wait_for(lambda: collector.client().json("GET", "/runs/wide")["is_complete"], "it is complete", limit_s=60)
        written = sorted(log for agent in (one, two) for log in logs_of_two(agent.spool))
        assert sorted(logs_of_two(collector.data_dir)) == written
        assert all(log.endswith(b"\nthe end\n") for log in written)


def logs_of_two(folder: Path) -> list[bytes]:
    """What the drivers of a run on two nodes have written, as far as it is below the folder."""
    logs = [names.driver_log(rank, 2) for rank in range(2)]
    return [path.read_bytes() for log in logs for path in folder.glob(f"**/wide/**/{log}")]


def test_runs_that_a_restored_collector_knows_or_has_come_to_know_again_end_by_its_word(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    to, end = tmp_path / "backup", tmp_path / "end"
    with running_agent(tmp_path / "node", collector) as agent:
        pids = [counting(collector, agent, "known", end)]
        backup(collector, to)
        pids.append(counting(collector, agent, "later", end))
        restore(collector, to)
        wait_for(lambda: status_of(collector, "later") == "Running", "it is registered again", limit_s=60)
        assert all(is_alive(pid) for pid in pids)
        for run_id in ("known", "later"):
            collector.client().json("POST", f"/runs/{run_id}/cancel", {})
            wait_for(lambda run_id=run_id: status_of(collector, run_id) == "Canceled", f"{run_id} ends", limit_s=60)  # type: ignore[misc]
        assert not any(is_alive(pid) for pid in pids)


def test_a_first_backup_that_broke_off_is_gone_on_with(collector: CollectorProcess, tmp_path: Path) -> None:
    to, folder = tmp_path / "backup", collector.data_dir / "runs" / "default"
    folder.mkdir()
    (folder / "one").write_bytes(b"bytes")
    with closing(socket.socket(socket.AF_UNIX)) as no_file:
        no_file.bind(str(folder / "two"))
        done = command("collector", "backup", str(to), "--data-dir", str(collector.data_dir))
        assert done.returncode == 1
        assert str(folder / "two") in done.stderr
    (folder / "two").unlink()
    backup(collector, to)
    assert (to / "runs" / "default" / "one").read_bytes() == b"bytes"


def test_a_collector_that_has_begun_anew_does_not_wipe_its_backup(collector: CollectorProcess, tmp_path: Path) -> None:
    to, file = tmp_path / "backup", Path("runs", "default", "one")
    (collector.data_dir / file).parent.mkdir()
    (collector.data_dir / file).write_bytes(b"bytes")
    backup(collector, to)
    collector.kill()
    shutil.rmtree(collector.data_dir)  # as where its disk is not mounted
    collector.start()
    done = command("collector", "backup", str(to), "--data-dir", str(collector.data_dir))
    assert done.returncode == 1
    assert "is a backup of other data than" in done.stderr
    assert done.stderr.count("\n") == 1
    restore(collector, to)
    assert (collector.data_dir / file).read_bytes() == b"bytes"
    backup(collector, to)  # the restored one goes on with it


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["backup", "{}/b", "--data-dir", "{}/collector"], "holds no collector.sqlite3; where the database lies elsewhere"),
        (["backup"], "runyard collector backup wants a folder; write it as in backup /srv/backup"),
        (
            ["backup", "{}/b", "--data-dir", "{}"],
            "holds no collector's data; collector.data_dir or --data-dir names its folder",
        ),
        (["backup", "{}/full", "--data-dir", "{}/collector"], "is there and is no backup; give an empty folder"),
        (["restore", "{}/full", "--data-dir", "{}/new"], "is no backup that has come to its end: it has no backup.json"),
        (["restore", "{}/whole", "--data-dir", "{}/collector"], "is in use by a collector; stop it first"),
        (["restore", "{}/whole", "--data-dir", "{}/held"], "holds runs already; move them away, nothing is overwritten"),
    ],
)
def test_what_cannot_be_is_one_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "collector/runs").mkdir(parents=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/some").touch()
    (tmp_path / "held/runs").mkdir(parents=True)
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole/backup.json").write_text(json.dumps({"has_database": True}))
    with (tmp_path / "collector/collector.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = command("collector", *(word.format(tmp_path) for word in words))
    assert done.returncode in (1, 2)
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_with_a_database_elsewhere_the_files_are_copied_and_what_is_missing_is_told(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    elsewhere = {"RUNYARD_COLLECTOR__DATABASE_URL": "postgresql+psycopg://somewhere/catalog"}
    done = command("collector", "backup", str(tmp_path / "backup"), "--data-dir", str(collector.data_dir), environ=elsewhere)
    assert done.returncode == 0
    assert "it is at collector.database_url" in done.stderr
    assert not (tmp_path / "backup/collector.sqlite3").exists()
