"""A run with --max-restarts: what has failed is started again as a whole, and every attempt stays readable."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from tests.agent.node_runs import LOG, NodeRun
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .conftest import NodeRunFactory
from .test_pipeline import node_folder, runyard
from .test_several_nodes import MemberFactory, completed, member, shown

__all__ = ["member"]

# Of the attempt that a driver is in, and of a file that lets it go on.
TWICE_BAD = (
    'echo "this is attempt $RUNYARD_ATTEMPT"; echo trouble >&2; test $RUNYARD_ATTEMPT = 2 || exit $((4 + RUNYARD_ATTEMPT))'
)
SECOND_WAITS = 'test $RUNYARD_ATTEMPT = 1 || exit 3; echo here; while [ ! -e "$GO" ]; do sleep 0.05; done; exit 5'


def attempt_of(run: NodeRun, number: int) -> Path:
    """The attempt's folder in the spool."""
    return run.run_dir.with_name(names.attempt_dir("r", number))


def told(collector: CollectorProcess) -> list[tuple[Any, ...]]:
    """What the collector knows of the attempts before the newest one, on the run's first node."""
    earlier = shown(collector)["nodes"][0]["earlier"]
    return [(one["attempt"], one["status"], one["exit_code"], one["cause"]) for one in earlier]


def begun(collector: CollectorProcess) -> int:
    """The newest attempt that the collector has heard of; -1: not even of the run."""
    runs = collector.client().json("GET", "/runs")["runs"]
    return runs[0]["attempt"] if runs else -1


@pytest.mark.row("A4")
def test_a_run_that_fails_twice_is_started_again_and_all_three_attempts_stay_readable(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    run = node_run("sh", "-c", TWICE_BAD, flags=("--max-restarts", "3"))
    ended = run.complete()
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout.decode() == "".join(f"this is attempt {number}\n" for number in range(3))
    assert [attempt_of(run, number).exists() for number in range(4)] == [True, True, True, False]
    for number in range(3):
        spooled = attempt_of(run, number)
        assert (spooled / names.SHIPPED_FILE).exists()
        for name in (LOG, names.PROCESS_STATUS, names.SYSTEM_LOG):
            kept = node_folder(collector) / names.of_attempt(name, number)
            assert kept.read_bytes() == (spooled / name).read_bytes(), kept
        words = runyard(collector, "logs", "r", "--attempt", str(number), "--stream", "out")
        assert words == f"this is attempt {number}\n".encode()
    assert runyard(collector, "logs", "r") == (attempt_of(run, 2) / LOG).read_bytes()
    state = json.loads(runyard(collector, "show", "r", "-o", "json"))
    assert [state[key] for key in ("status", "exit_code", "cause", "attempt", "is_complete")] == ["Completed", 0, "", 2, True]
    assert told(collector) == [(0, "Failed", 4, "exit code 4"), (1, "Failed", 5, "exit code 5")]
    assert b"exit code 5" in runyard(collector, "show", "r")
    runyard(collector, "verify", "r")
    runyard(collector, "download", "r", "--to", str(tmp_path / "all"))
    found = {path.read_bytes() for path in (tmp_path / "all").rglob("70_driver_log.txt")}
    assert found == {(attempt_of(run, number) / LOG).read_bytes() for number in range(3)}


def test_a_run_that_always_fails_ends_after_its_restarts_with_the_last_attempts_cause(
    collector: CollectorProcess, node_run: NodeRunFactory
) -> None:
    run = node_run("sh", "-c", "exit $((7 + RUNYARD_ATTEMPT))", flags=("--max-restarts", "2"))
    assert run.complete().returncode == 9
    state = shown(collector)
    assert [state[key] for key in ("status", "exit_code", "cause", "attempt")] == ["Failed", 9, "exit code 9", 2]
    assert state["is_complete"]
    assert [one[0] for one in told(collector)] == [0, 1]


def test_between_two_attempts_the_run_is_not_over_for_its_readers(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    run = node_run("sh", "-c", SECOND_WAITS, flags=("--max-restarts", "1"), env={"GO": str(tmp_path / "go")})
    seen: list[str] = []
    is_over = threading.Event()

    def look() -> None:
        client = collector.client()
        while not is_over.is_set():
            found = client.json("GET", "/runs")["runs"]
            seen.extend(one["status"] for one in found)
            is_over.wait(0.005)

    watch = threading.Thread(target=look)
    watch.start()
    run.launch()
    try:
        wait_for(lambda: begun(collector) == 1 and shown(collector)["status"] == "Running", "the second attempt")
    finally:
        is_over.set()
        watch.join()
    assert not {"Failed", "Completed", "Canceled"} & set(seen)
    (tmp_path / "go").touch()
    assert run.process is not None
    run.process.communicate(timeout=30)
    assert run.process.returncode == 5
    assert shown(collector)["status"] == "Failed"


def test_who_follows_a_run_sees_the_attempts_one_after_another(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    words = TWICE_BAD.replace(">&2;", '>&2; while [ ! -e "$GO" ]; do sleep 0.05; done;')
    run = node_run("sh", "-c", words, flags=("--max-restarts", "3"), env={"GO": str(tmp_path / "go")})
    env = os.environ | {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    run.launch()
    argv = [sys.executable, "-m", "runyard", "logs", "-f", "r", "--stream", "out"]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"this is attempt 0\n"
        (tmp_path / "go").touch()
        seen, said = reader.communicate(timeout=60)
    assert seen == b"this is attempt 1\nthis is attempt 2\n", said
    assert run.process is not None
    run.process.communicate(timeout=30)


def test_who_cancels_a_later_attempt_cancels_the_run(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    run = node_run("sh", "-c", SECOND_WAITS, flags=("--max-restarts", "5"), env={"GO": str(tmp_path / "go")})
    process = run.launch()
    wait_for(lambda: (attempt_of(run, 1) / names.process_dir(0) / "started.json").exists(), "the second attempt's driver")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert not attempt_of(run, 2).exists()
    state = shown(collector)
    assert (state["status"], state["attempt"], state["is_complete"]) == ("Canceled", 1, True)


def test_a_later_attempt_survives_its_shepherds_and_the_collectors_kill(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    run = node_run("sh", "-c", SECOND_WAITS, flags=("--max-restarts", "2"), env={"GO": str(tmp_path / "go")})
    process = run.launch()
    second = attempt_of(run, 1)
    wait_for(lambda: (second / names.process_dir(0) / "started.json").exists(), "the second attempt's driver")
    state: dict[str, Any] = wait_for(lambda: json.loads((second / names.STATE_FILE).read_text()), "its state")
    os.kill(state["shepherd_pid"], signal.SIGKILL)
    collector.kill()
    (tmp_path / "go").touch()
    wait_for(
        lambda: (attempt_of(run, 2) / LOG).exists() and (second / names.STATE_FILE).exists(), "the third attempt", limit_s=60
    )
    collector.start()
    process.communicate(timeout=60)
    assert process.returncode == 3
    runyard(collector, "ship", "--spool", str(run.run_dir.parent))
    found = shown(collector)
    assert [found[key] for key in ("status", "exit_code", "attempt", "is_complete")] == ["Failed", 3, 2, True]
    assert [one[2] for one in told(collector)] == [3, 5]
    for number in range(3):
        kept = node_folder(collector) / names.of_attempt(LOG, number)
        assert kept.read_bytes() == (attempt_of(run, number) / LOG).read_bytes()


def test_an_attempt_whose_starter_is_killed_is_the_last_one(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    run = node_run("sh", "-c", SECOND_WAITS, flags=("--max-restarts", "5"), env={"GO": str(tmp_path / "go")})
    process = run.launch()
    second = attempt_of(run, 1)
    wait_for(lambda: (second / names.process_dir(0) / "started.json").exists(), "the second attempt's driver")
    process.kill()
    process.communicate(timeout=30)
    (tmp_path / "go").touch()
    wait_for(lambda: json.loads((second / names.STATE_FILE).read_text()).get("ended_ns"), "its end")
    runyard(collector, "ship", "--spool", str(run.run_dir.parent))
    state = shown(collector)
    assert [state[key] for key in ("status", "exit_code", "attempt", "is_complete")] == ["Failed", 5, 1, True]


@pytest.mark.row("A15")
def test_a_rank_that_fails_on_one_node_has_all_nodes_start_again(collector: CollectorProcess, member: MemberFactory) -> None:
    words = 'echo "rank $RANK attempt $RUNYARD_ATTEMPT of $WORLD_SIZE"; test "$RANK$RUNYARD_ATTEMPT" != 10 || exit 6'
    nodes = [member(rank, "sh", "-c", words, flags=("--max-restarts", "2", "--failure-grace", "0")) for rank in (0, 1)]
    ends = [one.end() for one in nodes]
    assert [code for code, _ in ends] == [0, 0], ends
    for rank, one in enumerate(nodes):
        for number in range(2):
            log = attempt_of(one, number) / names.driver_log(rank, 2)
            assert log.read_text() == f"rank {rank} attempt {number} of 2\n"
            assert runyard(collector, "logs", "r", "--rank", str(rank), "--attempt", str(number)) == log.read_bytes()
        assert not attempt_of(one, 2).exists()
    state = completed(collector)
    assert [state[key] for key in ("status", "exit_code", "cause", "attempt")] == ["Completed", 0, "", 1]
    overall = (collector.data_dir / "runs" / "default" / "r" / names.STDOUT_LOGS).read_text().splitlines()
    labels = [f"rank {rank}{again}] rank {rank} attempt" for rank in (0, 1) for again in ("", " attempt 1")]
    assert [sum(label in line for line in overall) for label in labels] == [1, 1, 1, 1], overall
    causes = {earlier["cause"] for node in state["nodes"] for earlier in node["earlier"] if earlier["exit_code"] == 6}
    assert causes == {"rank 1: exit code 6"}


@pytest.mark.row("A15")
def test_nodes_that_run_on_are_ended_and_started_again_until_the_last_attempt_which_names_its_own_first_failure(
    collector: CollectorProcess, member: MemberFactory
) -> None:
    words = 'echo "rank $RANK attempt $RUNYARD_ATTEMPT"; test $RANK != 1 || exit $((6 + RUNYARD_ATTEMPT)); sleep 600'
    nodes = [member(rank, "sh", "-c", words, flags=("--max-restarts", "1", "--failure-grace", "0")) for rank in (0, 1)]
    ends = [one.end() for one in nodes]
    assert ends[1][0] == 7, ends
    assert ends[0][0] != 0, ends
    for rank, one in enumerate(nodes):
        assert (attempt_of(one, 1) / names.driver_log(rank, 2)).read_text() == f"rank {rank} attempt 1\n"
        assert not attempt_of(one, 2).exists()
    state = completed(collector)
    assert [state[key] for key in ("status", "exit_code", "attempt")] == ["Failed", 7, 1]
    assert "rank 1 on" in state["cause"]
    assert "exit code 7" in state["cause"]


def test_a_cancel_on_one_node_leaves_no_node_that_starts_again(collector: CollectorProcess, member: MemberFactory) -> None:
    words = 'test "$RANK$RUNYARD_ATTEMPT" != 10 || exit 6; sleep 600'
    nodes = [member(rank, "sh", "-c", words, flags=("--max-restarts", "3", "--failure-grace", "0")) for rank in (0, 1)]
    wait_for(lambda: shown_attempt_runs(collector, 1), "the second attempt", limit_s=60)
    assert nodes[1].process is not None
    nodes[1].process.send_signal(signal.SIGINT)
    ends = [one.end() for one in nodes]
    assert all(code for code, _ in ends), ends
    assert [attempt_of(one, 2).exists() for one in nodes] == [False, False]
    state = completed(collector)
    assert [state[key] for key in ("status", "attempt")] == ["Canceled", 1]


def shown_attempt_runs(collector: CollectorProcess, number: int) -> bool:
    """Whether both ranks of this attempt run."""
    if begun(collector) != number:
        return False
    state = shown(collector)
    running = [process for process in state["processes"] if process["status"] == "Started"]
    return [node["attempt"] for node in state["nodes"]] == [number, number] and len(running) == 2


def test_code_and_data_are_brought_again_for_each_attempt(
    collector: CollectorProcess, node_run: NodeRunFactory, tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.sh").write_text("ls | grep -e train -e behind; touch left-behind; test $RUNYARD_ATTEMPT = 1\n")
    run = node_run("sh", "train.sh", flags=("--code", str(tmp_path / "code"), "--max-restarts", "2"))
    ended = run.complete()
    assert ended.returncode == 0, ended.stderr.decode()
    assert [(attempt_of(run, number) / LOG).read_text() for number in range(2)] == ["train.sh\n", "train.sh\n"]


def test_a_run_that_cannot_be_started_again_ends_with_the_attempt_that_it_had(
    collector: CollectorProcess, node_run: NodeRunFactory
) -> None:
    run = node_run("sh", "-c", "exit 3", flags=("--max-restarts", "2"))
    run.run_dir.parent.mkdir(parents=True)
    attempt_of(run, 1).mkdir()
    ended = run.complete()
    assert ended.returncode == 3
    assert b"the run is not started again" in ended.stderr
    state = shown(collector)
    assert [state[key] for key in ("status", "exit_code", "attempt", "is_complete")] == ["Failed", 3, 0, True]
    assert run.path(names.SHIPPED_FILE).exists()
