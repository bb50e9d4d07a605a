"""The queue as a person uses it: a real collector, real agents with folders of their own, and the commands of `runyard`."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from tests.agent.node_runs import is_alive
from tests.agent_process import CLUSTER, AgentProcess, node_of, running_agent, status_of
from tests.cli.scene import live, runyard
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

LIMIT_S = 60.0
LOG = names.driver_log(0, 1)
# Says that it is there, and goes on until a file is there that it is told of; ends with the exit code in that file.
WAITER = """
import os, pathlib, sys, time
end = pathlib.Path(sys.argv[1])
print("attempt", os.environ["RUNYARD_ATTEMPT"], "as", os.getpid(), flush=True)
while not end.exists():
    time.sleep(0.02)
print("told to end", flush=True)
sys.exit(int(end.read_text()))
"""
TRAINING = """
import os, pathlib
print("rank", os.environ["RANK"], "of", os.environ["WORLD_SIZE"], pathlib.Path("word.txt").read_text(), flush=True)
os.write(1, b"\\x00\\xff no line's end")
"""


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[CollectorProcess]:
    """A collector that soon misses a node."""
    quick = {"RUNYARD_COLLECTOR__LOST_CONTACT_S": "4", "RUNYARD_COLLECTOR__GIVE_UP_LOST_S": "6"}
    with running_collector(tmp_path, environ=quick) as process:
        yield process


MakeAgents = Callable[..., list[AgentProcess]]


@pytest.fixture
def agents(collector: CollectorProcess, tmp_path: Path) -> Iterator[MakeAgents]:
    """Makes agents of one cluster, each as on a machine of its own."""
    with ExitStack() as stack:

        def make(*names_of: str, url: str = "") -> list[AgentProcess]:
            environ = {"RUNYARD_COLLECTOR_URL": url} if url else {}
            made = [running_agent(tmp_path / name, collector, environ=environ) for name in names_of]
            return [stack.enter_context(one) for one in made]

        yield make


class Cable:
    """The only way from a node to the collector."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self._process = process
        self.url = url

    def cut(self) -> None:
        """From now on nothing comes through; nobody is told so."""
        self._process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def cable(collector: CollectorProcess) -> Iterator[Cable]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.set_inheritable(True)
        port = collector.url.rpartition(":")[2]
        argv = [sys.executable, "-m", "tests.relay", str(listener.fileno()), "127.0.0.1", port, "0"]
        process = subprocess.Popen(argv, pass_fds=(listener.fileno(),))
        try:
            yield Cable(process, f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            process.kill()
            process.wait()


def done(collector: CollectorProcess, *words: str) -> str:
    """What a verb that has to succeed says."""
    found = runyard(collector, *words)
    assert found.returncode == 0, found.stderr
    return found.stdout.decode().strip()


def submit_waiter(collector: CollectorProcess, end: Path, run_id: str, *flags: str) -> str:
    words = ("submit", "--cluster", CLUSTER, "--run-id", run_id, *flags)
    assert done(collector, *words, "--", sys.executable, "-c", WAITER, str(end)) == run_id
    return run_id


def shown(collector: CollectorProcess, run_id: str) -> Any:
    return json.loads(done(collector, "show", run_id, "-o", "json"))


def completed(collector: CollectorProcess, run_id: str) -> Any:
    """The run, when all of it is at the collector."""
    client = collector.client()
    wait_for(lambda: client.json("GET", f"/runs/{run_id}")["is_complete"], f"{run_id} is complete", limit_s=LIMIT_S)
    return client.json("GET", f"/runs/{run_id}")


def started(agent: AgentProcess, run_id: str, attempt: int = 0) -> int:
    """The pid of the driver there, once it has said it."""
    said = rb"attempt %d as (\d+)\n" % attempt
    pids = wait_for(lambda: re.findall(said, agent.log_of(run_id, attempt)), f"{run_id} on {agent.spool}", limit_s=LIMIT_S)
    return int(pids[0])


def whose(nodes: list[AgentProcess], run_id: str, attempt: int = 0) -> AgentProcess:
    """The agent that has the run."""
    having = wait_for(lambda: [one for one in nodes if one.log_of(run_id, attempt)], f"{run_id} on a node", limit_s=LIMIT_S)
    return having[0]


def is_idle(collector: CollectorProcess, agent: AgentProcess) -> bool:
    node = node_of(collector, agent)
    return node["status"] == "Idle" and not node["runs"]


@pytest.mark.row("C6")
def test_a_run_on_two_nodes_is_submitted_and_followed_to_its_exit_code(
    collector: CollectorProcess, agents: MakeAgents, tmp_path: Path
) -> None:
    nodes = agents("one", "two")
    code = tmp_path / "code"
    (code / "inner").mkdir(parents=True)
    (code / "inner/train.py").write_text(TRAINING)
    (code / "inner/word.txt").write_text("hello")
    words = ("submit", "-f", "--cluster", CLUSTER, "--run-id", "wide", "--nodes", "2", "--distribution", "pytorch")
    flags = ("--code", str(code), "--cwd", "inner", "--", sys.executable, "train.py")
    with live(collector, *words, *flags, RUNYARD_ENVIRONMENT__CACHE_DIR=str(tmp_path / "cache")) as follower:
        assert follower.end() == 0, follower.err
    assert follower.out == b"rank 0 of 2 hello\n\x00\xff no line's end"
    run = completed(collector, "wide")
    assert (run["status"], run["exit_code"], len(run["nodes"])) == ("Completed", 0, 2)
    found = (collector.data_dir / "runs/default/wide").glob("*/azureml-logs/70_driver_log_*.txt")
    logs = sorted(found, key=lambda path: path.name)
    assert [log.read_bytes() for log in logs] == [b"rank %d of 2 hello\n\x00\xff no line's end" % rank for rank in (0, 1)]
    assert done(collector, "verify", "wide")
    for node in nodes:
        wait_for(lambda node=node: is_idle(collector, node), "the node is free again")  # type: ignore[misc]


@pytest.mark.row("C7")
def test_a_run_is_cancelled_where_it_runs_and_where_it_waits(
    collector: CollectorProcess, agents: MakeAgents, tmp_path: Path
) -> None:
    (node,) = agents("one")
    submit_waiter(collector, tmp_path / "never", "runs")
    driver = started(node, "runs")
    submit_waiter(collector, tmp_path / "never", "waits")
    queue = done(collector, "clusters", CLUSTER)
    assert re.search(r"^waits +Queued .*1 node: 0 of 1 free now$", queue, re.MULTILINE), queue
    assert re.search(r"^runs +Running ", queue, re.MULTILINE), queue
    assert done(collector, "cancel", "waits") == "waits Canceled"
    assert done(collector, "cancel", "runs", "--reason", "it diverges") == "runs CancelRequested"
    run = completed(collector, "runs")
    assert run["status"] == "Canceled"
    assert "it diverges" in run["cause"]
    assert not is_alive(driver)
    assert node.log_of("waits") == b""
    wait_for(lambda: is_idle(collector, node), "the node is free again")


def test_a_drained_node_keeps_what_it_has_and_gets_nothing_new(
    collector: CollectorProcess, agents: MakeAgents, tmp_path: Path
) -> None:
    nodes = agents("one", "two")
    small = ("--cpus", "0.5")
    submit_waiter(collector, tmp_path / "end", "first", *small)
    busy = whose(nodes, "first")
    (other,) = [node for node in nodes if node is not busy]
    assert "1 runs go on there" in done(collector, "drain", busy.node_id, "--reason", "new disks")
    submit_waiter(collector, tmp_path / "end", "second", *small)
    started(other, "second")
    done(collector, "drain", other.node_id)
    submit_waiter(collector, tmp_path / "end", "third", *small)
    wait_for(lambda: "2 cannot be used" in shown(collector, "third")["pending"], "it is said why it waits")
    (tmp_path / "end").write_text("0")
    assert [completed(collector, run_id)["status"] for run_id in ("first", "second")] == ["Completed"] * 2
    assert status_of(collector, "third") == "Queued"
    done(collector, "resume", busy.node_id)
    assert completed(collector, "third")["status"] == "Completed"
    assert busy.log_of("third") != b""


def test_runs_share_a_node_as_far_as_it_has_what_they_ask_for(
    collector: CollectorProcess, agents: MakeAgents, tmp_path: Path
) -> None:
    (node,) = agents("one")
    cpus = node_of(collector, node)["capacity"]["cpus"]
    half = ("--cpus", str(cpus / 2))
    for run_id in ("a", "b", "c"):
        submit_waiter(collector, tmp_path / f"end-{run_id}", run_id, *half)
    assert started(node, "a") != started(node, "b")
    assert status_of(collector, "c") == "Queued"
    too_many = runyard(collector, "submit", "--cluster", CLUSTER, "--cpus", str(cpus + 1), "--", "true")
    assert (too_many.returncode, too_many.stdout) == (2, b"")
    assert f"the largest have {cpus:g} CPUs".encode() in too_many.stderr
    (tmp_path / "end-a").write_text("0")
    started(node, "c")
    for run_id, code in (("b", 3), ("c", 0)):
        (tmp_path / f"end-{run_id}").write_text(str(code))
    assert [completed(collector, run_id)["exit_code"] for run_id in ("a", "b", "c")] == [0, 3, 0]


def test_a_run_of_a_node_that_is_lost_goes_to_another_and_the_lost_one_ends_its_part_when_it_is_back(
    collector: CollectorProcess, agents: MakeAgents, tmp_path: Path
) -> None:
    with cable(collector) as line:
        (lost,) = agents("lost", url=line.url)
        submit_waiter(collector, tmp_path / "end", "moves", "--retries", "1")
        old = started(lost, "moves")
        wait_for(lambda: status_of(collector, "moves") == "Running", "it runs")
        line.cut()
        wait_for(lambda: node_of(collector, lost)["status"] == "LostContact", "it is missed")
        (other,) = agents("other")
        new = started(other, "moves", 1)
        assert is_alive(old)  # nobody could tell it
        line.mend()
        wait_for(lambda: not is_alive(old), "the lost node has ended its part", limit_s=LIMIT_S)
        wait_for(lambda: is_idle(collector, lost), "the node that was lost is free", limit_s=LIMIT_S)
        assert is_alive(new)
        (tmp_path / "end").write_text("0")
        run = completed(collector, "moves")
        assert (run["status"], run["exit_code"], run["attempt"]) == ("Completed", 0, 1)
        assert b"attempt 1" in runyard(collector, "logs", "moves").stdout
        said = [path.read_bytes() for path in (collector.data_dir / "runs/default/moves").rglob("70_driver_log.txt")]
        assert len(said) == 2
        assert b"attempt 0 as %d\n" % old in said


def test_a_run_of_a_lost_node_without_retries_has_failed_and_says_so(
    collector: CollectorProcess, agents: MakeAgents, tmp_path: Path
) -> None:
    with cable(collector) as line:
        (lost,) = agents("lost", url=line.url)
        with live(collector, "submit", "-f", "--cluster", CLUSTER, "--run-id", "gone", "--", "sleep", "60") as follower:
            driver = wait_for(lambda: lost.json_of("gone", names.process_dir(0) + "/started.json"), "it runs")["pid"]
            wait_for(lambda: status_of(collector, "gone") == "Running", "it runs")
            line.cut()
            wait_for(lambda: status_of(collector, "gone") == "Failed", "it is given up", limit_s=LIMIT_S)
            assert "lost contact with node" in shown(collector, "gone")["cause"]
            line.mend()
            wait_for(lambda: not is_alive(driver), "the lost node has ended it", limit_s=LIMIT_S)
            assert follower.end() == 1, follower.err
        run = completed(collector, "gone")
        assert (run["status"], run["attempt"]) == ("Failed", 0)


def test_kills_of_agent_and_collector_in_the_middle_leave_runs_and_queue_as_they_were(
    collector: CollectorProcess, agents: MakeAgents, tmp_path: Path
) -> None:
    (node,) = agents("one")
    submit_waiter(collector, tmp_path / "end", "goes-on")
    driver = started(node, "goes-on")
    submit_waiter(collector, tmp_path / "end", "next", "--priority", "-1")
    submit_waiter(collector, tmp_path / "end", "before", "--priority", "1")
    node.kill()
    collector.kill()
    assert is_alive(driver)
    collector.start()
    node.start()
    assert [one["run"]["run_id"] for one in json.loads(done(collector, "clusters", CLUSTER, "-o", "json"))["runs"]] == [
        "before",
        "goes-on",
        "next",
    ]
    (tmp_path / "end").write_text("5")
    runs = [completed(collector, run_id) for run_id in ("goes-on", "before", "next")]
    assert [(run["exit_code"], run["attempt"]) for run in runs] == [(5, 0)] * 3
    assert runs[0]["ended_ns"] < runs[1]["started_ns"] < runs[1]["ended_ns"] < runs[2]["started_ns"]
    assert node.log_of("goes-on") == b"attempt 0 as %d\ntold to end\n" % driver


def test_mlflow_is_left_alone_where_who_submits_wants_that(collector: CollectorProcess, agents: MakeAgents) -> None:
    (node,) = agents("one")
    for run_id, flags, count in (("led", (), 1), ("alone", ("--no-mlflow",), 0)):
        argv = ("submit", "--cluster", CLUSTER, "--run-id", run_id, *flags, "--", "env")
        assert runyard(collector, *argv).returncode == 0
        assert completed(collector, run_id)["status"] == "Completed"
        assert node.log_of(run_id).count(b"MLFLOW_TRACKING_URI=") == count
