"""`runyard ps`, `show`, `verify` and `config`: what a person and a program see of runs and settings."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from runyard.collector.messages import NodeStatus
from tests.cli.scene import NOON_NS, Driver, command, environment, lines, runyard
from tests.collector.node import LOG, Node
from tests.collector_process import CollectorProcess

SECRET = "s3cr3t-t0ken"


@pytest.fixture
def collector(standing_collector: CollectorProcess) -> CollectorProcess:
    return standing_collector


@pytest.fixture
def experiment() -> str:
    """A name of this test's own, for the collector is shared."""
    return "exp-" + secrets.token_hex(3)


def listed(collector: CollectorProcess, *flags: str) -> list[str]:
    done = runyard(collector, "ps", "-o", "json", *flags)
    assert done.returncode == 0, done.stderr
    return [run["run_id"] for run in json.loads(done.stdout)["runs"]]


def test_ps_lists_runs_newest_first_and_each_flag_chooses(collector: CollectorProcess, experiment: str) -> None:
    now = time.time_ns()
    first = Node(collector, experiment=experiment, created_ns=now - 2 * 3600 * 10**9, user="ann", tags={"k": "1", "z": "x"})
    second = Node(collector, experiment=experiment, created_ns=now, user="bob", tags={"k": "2"}, ip="10.9.8.7")
    Driver(first).start().end(1)
    Driver(second).start()
    both = [second.run_id, first.run_id]
    mine = ("--experiment", experiment)
    assert listed(collector, *mine) == both
    assert listed(collector, *mine, "--limit", "1") == both[:1]
    assert listed(collector, *mine, "--status", "failed") == [first.run_id]
    assert listed(collector, *mine, "--tag", "k=1", "--tag", "z=x") == [first.run_id]
    assert listed(collector, *mine, "--tag", "k=1", "--tag", "z=y") == []
    assert listed(collector, *mine, "--user", "bob") == [second.run_id]
    assert listed(collector, *mine, "--node", second.node_id) == [second.run_id]
    assert listed(collector, *mine, "--node", "10.9.8.7") == [second.run_id]
    assert listed(collector, *mine, "--since", "1h") == [second.run_id]
    assert listed(collector, *mine, "--since", "1d") == both


def test_ps_shows_a_table_without_colours_where_it_is_no_terminal(collector: CollectorProcess, experiment: str) -> None:
    node = Node(collector, experiment=experiment, name="evil \x1b[2J\u202e name", user="ann")
    Driver(node).start().end(3)
    done = runyard(collector, "ps", "--experiment", experiment)
    head, row = lines(done.stdout)
    assert head.split() == ["RUN", "EXPERIMENT", "STATUS", "EXIT", "USER", "CREATED", "TOOK", "NAME"]
    assert row.split()[:5] == [node.run_id, experiment, "Failed", "3", "ann"]
    assert "1m30s" in row
    assert "\x1b" not in row
    assert "\u202e" not in row


def test_ps_says_that_there_are_more(collector: CollectorProcess, experiment: str) -> None:
    for _ in range(3):
        Node(collector, experiment=experiment)
    done = runyard(collector, "ps", "--experiment", experiment, "--limit", "2")
    assert len(lines(done.stdout)) == 3
    assert b"--limit 4" in done.stderr


def test_ps_without_a_match_is_no_failure(collector: CollectorProcess) -> None:
    done = runyard(collector, "ps", "--experiment", "nothing-here")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"no run is like that" in done.stderr


def test_ps_knows_every_status(collector: CollectorProcess, experiment: str) -> None:
    node = Node(collector, experiment=experiment)
    for status in get_args(NodeStatus):
        node.put_state(status)
        assert listed(collector, "--experiment", experiment, "--status", status.lower()) == [node.run_id]
        row = lines(runyard(collector, "ps", "--experiment", experiment).stdout)[1]
        assert row.split()[2] == status
    assert listed(collector, "--experiment", experiment, "--status", "notresponding") == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--status", "complete"], "did you mean Completed?"),
        (["--status", "canceling"], "did you mean Canceled?"),
        (["--status", "cancel_requested"], "did you mean CancelRequested?"),
        (["--tag", "k"], "key=value"),
        (["--limit", "0"], "at least 1"),
        (["--since", "yesterday"], "RFC 3339"),
    ],
)
def test_a_mistake_in_a_flag_of_ps_is_one_sentence(collector: CollectorProcess, flags: list[str], words: str) -> None:
    done = runyard(collector, "ps", *flags)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_show_tells_state_cause_processes_and_files(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector, tags={"k": "v"}, user="ann", hostname="box", cwd="/w")).start().write(b"x" * 1234)
    driver.drop(1000).end(7)
    open_stream = driver.node.open_one("logs/open.log")
    driver.node.send(open_stream, 0, b"abc")
    text = runyard(collector, "show", driver.node.run_id).stdout.decode()
    assert text.startswith(f"{driver.node.run_id}  Failed, exit code 7, took 1m30s, complete\n")
    for words in (
        "rank 0 ended with exit code 7",
        "k=v",
        "python train.py",
        "ann at box",
        "worker_0",
        "4242",
        driver.node.node_id,
    ):
        assert words in text
    rows = {row.split()[0]: row for row in text.splitlines() if row.startswith(("azureml-logs", "logs"))}
    assert "2.2 kB" in rows[LOG]
    assert "sealed" in rows[LOG]
    assert "1000 bytes dropped" in rows[LOG]
    assert rows["logs/open.log"].split()[-1] == "open"
    document = json.loads(runyard(collector, "show", driver.node.run_id, "-o", "json").stdout)
    assert document["exit_code"] == 7
    assert {file["path"] for file in document["files"]} >= {LOG, "logs/open.log"}


PREPARATION_LOG = "azureml-logs/65_job_prep-it's here.txt"
PLACE = b"[the stamp] datastore 'images' cannot be read: the key is wrong\n"


def failed_in_preparation(node: Node) -> dict[str, Any]:
    """A node whose preparation has failed, and what it says of that."""
    node.send(node.open_one(PREPARATION_LOG), 0, b"it began\n" + PLACE + b"it ended\n")
    failure: dict[str, Any] = {"phase": "preparation", "cause": "datastore 'images': the key is wrong", "log": PREPARATION_LOG}
    failure |= {"start": 9, "end": 9 + len(PLACE)}
    moments = [("Starting", "", 0), ("Preparing", "preparation", 2), ("Finalizing", "release", 92), ("Failed", "release", 93)]
    told = [{"status": status, "phase": phase, "wall_ns": NOON_NS + at_s * 10**9} for status, phase, at_s in moments]
    node.put_state("Finalizing", phase="release", failure=failure, transitions=told)
    return failure


def shown_place(collector: CollectorProcess, node: Node) -> bytes:
    """What the command writes that `show` names for the place of the failure."""
    text = runyard(collector, "show", node.run_id).stdout.decode()
    (shown,) = (line.partition("see it")[2].strip() for line in text.splitlines() if line.startswith("  see it"))
    assert shown.startswith("runyard logs ")
    by_python = f"{shlex.quote(sys.executable)} -m {shown}"
    return subprocess.run(["sh", "-c", by_python], env=environment(collector), capture_output=True, timeout=30).stdout


def test_show_tells_the_phases_and_where_one_failed(collector: CollectorProcess) -> None:
    node = Node(collector)
    failure = failed_in_preparation(node)
    text = runyard(collector, "show", node.run_id).stdout.decode()
    about = {line[2:13].strip(): line[14:] for line in text.splitlines() if line.startswith("  ")}
    assert about["phase"] == "release"
    assert about["failed in"] == "preparation"
    assert about["because"] == "datastore 'images': the key is wrong"
    assert about["told in"] == f"{PREPARATION_LOG}, bytes 9 to {9 + len(PLACE)}"
    rows = [line.split() for line in text.partition("Transitions (4)\n")[2].splitlines()[:5]]
    assert rows == [
        ["AT", "STATUS", "PHASE", "TOOK"],
        ["2026-09-21T14:13:20.000Z", "Starting", "-", "2.0s"],
        ["2026-09-21T14:13:22.000Z", "Preparing", "preparation", "1m30s"],
        ["2026-09-21T14:14:52.000Z", "Finalizing", "release", "1.0s"],
        ["2026-09-21T14:14:53.000Z", "Failed", "release", "-"],
    ]
    document = json.loads(runyard(collector, "show", node.run_id, "-o", "json").stdout)
    assert (document["phase"], document["failure"]) == ("release", failure)
    assert document["transitions"] == document["nodes"][0]["transitions"]
    assert [one["phase"] for one in document["transitions"]] == ["", "preparation", "release", "release"]


def test_the_command_that_show_names_shows_exactly_the_place(collector: CollectorProcess) -> None:
    alone, first = Node(collector), Node(collector)
    second = Node(collector, run_id=first.run_id, create=False, ip="10.0.0.2")
    second.run_token = first.run_token
    first.open_one(PREPARATION_LOG)
    for node in (alone, second):
        failed_in_preparation(node)
        assert shown_place(collector, node) == PLACE


def test_show_counts_the_time_of_a_phase_that_goes_on(collector: CollectorProcess) -> None:
    node = Node(collector)
    told = [{"status": "Preparing", "phase": "image", "wall_ns": time.time_ns() - 200 * 10**9}]
    node.put_state("Preparing", phase="image", transitions=told)
    text = runyard(collector, "show", node.run_id).stdout.decode()
    (row,) = (line.split() for line in text.splitlines() if line.endswith("s") and "Preparing  image" in line)
    assert row[1:3] == ["Preparing", "image"]
    assert row[3].startswith("3m")
    assert "failed in" not in text


def test_show_names_no_place_where_there_is_none(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.put_state("Failed", failure={"phase": "image", "cause": "no such image"})
    text = runyard(collector, "show", node.run_id).stdout.decode()
    assert "no such image" in text
    assert "told in" not in text
    assert "see it" not in text


def test_colours_come_on_a_terminal_alone_and_not_with_no_color(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().end()
    show = " ".join(command("show", driver.node.run_id))

    def on_terminal(**environ: str) -> bytes:
        environ = environment(collector, TERM="xterm", **environ)
        return subprocess.run(["script", "-qec", show, "/dev/null"], env=environ, capture_output=True, timeout=30).stdout

    assert b"\x1b[32mCompleted" in on_terminal()
    assert b"\x1b" not in on_terminal(NO_COLOR="1")
    assert b"\x1b" not in runyard(collector, "show", driver.node.run_id).stdout


def test_verify_is_0_for_a_whole_run_alone(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"abc")
    done = runyard(collector, "verify", driver.node.run_id)
    assert done.returncode == 1
    assert b"not complete" in done.stdout
    driver.end()
    done = runyard(collector, "verify", driver.node.run_id)
    assert done.returncode == 0
    assert b"every byte" in done.stdout
    document = json.loads(runyard(collector, "verify", driver.node.run_id, "-o", "json").stdout)
    assert document["is_well"] is True
    assert {file["result"] for file in document["files"]} == {"ok"}


def test_verify_shows_gaps_and_counts_them(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"abc").drop(4000).drop(96).write(b"x").end()
    done = runyard(collector, "verify", driver.node.run_id)
    assert done.returncode == 1
    assert b"4096 bytes were dropped" in done.stdout
    assert LOG.encode() in done.stdout
    document = json.loads(runyard(collector, "verify", driver.node.run_id, "-o", "json").stdout)
    assert document["is_well"] is False
    assert sum(end - start for start, end in document["gaps"][LOG]) == 4096


def test_verify_finds_a_changed_byte_at_the_collector(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().write(b"abcdef").end()
    path = collector.data_dir / "runs" / "exp" / driver.node.run_id / driver.node.folder / LOG
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.write(b"X")
    done = runyard(collector, "verify", driver.node.run_id)
    assert done.returncode == 1
    assert b"not what the node sealed" in done.stdout


def test_a_run_id_and_a_collector_given_by_flags(collector: CollectorProcess) -> None:
    driver = Driver(Node(collector)).start().end()
    done = runyard(
        collector, "show", driver.node.run_id, "--collector", collector.url, RUNYARD_COLLECTOR_URL="http://127.0.0.1:1"
    )
    assert done.returncode == 0


def config(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder)} | environ
    return subprocess.run([sys.executable, "-m", "runyard", "config", *arguments], env=clean, cwd=folder, capture_output=True)


def test_config_explain_names_each_source_and_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "runyard.toml").write_text("[ship]\nheartbeat_s = 3\n")
    environ = {"RUNYARD_TOKEN": SECRET, "RUNYARD_COLLECTOR__DATABASE_URL": f"postgresql://u:{SECRET}@h/d"}
    done = config(tmp_path, "explain", "--collector", "http://c:1", **environ)
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in lines(done.stdout)}
    assert "file runyard.toml" in rows["ship.heartbeat_s"]
    assert "flag --collector" in rows["client.collector_url"]
    assert "(set, not shown)" in rows["client.token"]
    assert "variable RUNYARD_TOKEN" in rows["client.token"]
    assert "default" in rows["run.grace_s"]
    as_json = config(tmp_path, "explain", "-o", "json", **environ)
    found = {f"{item['section']}.{item['key']}": item for item in json.loads(as_json.stdout)["settings"]}
    assert found["ship.heartbeat_s"]["value"] == 3.0
    assert "value" not in found["client.token"]
    assert SECRET.encode() not in done.stdout + done.stderr + as_json.stdout + as_json.stderr


def test_config_check_refuses_an_unknown_key_and_names_the_nearest(tmp_path: Path) -> None:
    assert config(tmp_path, "check").returncode == 0
    path = tmp_path / "bad.toml"
    path.write_text("[client]\ncolector_url = 'http://c:1'\n")
    done = config(tmp_path, "check", "--config", str(path))
    assert done.returncode == 2
    assert b"did you mean 'collector_url'?" in done.stderr
    path.write_text("[client]\ncollector_url = 'c:1'\n")
    assert config(tmp_path, "check", "--config", str(path)).returncode == 2
    path.write_text("[client]\ntoken_file = '/nonexistent/token'\n")
    assert config(tmp_path, "check", "--config", str(path)).returncode == 2
