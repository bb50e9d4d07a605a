"""What runs use, as their telemetry files tell: real runs, looked at by a sampler of the test's own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runyard.agent.telemetry.sampler import Sampler
from tests.agent.node_runs import NodeRun, is_alive
from tests.waiting import wait_for

MIB = 1 << 20
# Memory and a child of its own in a session of its own, which its parent leaves behind.
DRIVER = """
import os, subprocess, sys, time
held = bytearray(int(sys.argv[1]) << 20)
code = "import time; held = bytearray(%d << 20); open(%r, 'w').close(); time.sleep(600)" % (int(sys.argv[2]), sys.argv[3])
subprocess.run(["sh", "-c", 'setsid "$0" -c "$1" & exec true', sys.executable, code])
if len(sys.argv) > 4:
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.7: pass"])
    open(sys.argv[3] + ".burnt", "w").close()
time.sleep(600)
"""


class Node:
    """A spool, its runs and the sampler that looks at them."""

    def __init__(self, spool: Path) -> None:
        self.spool = spool
        spool.mkdir()
        self.said: list[str] = []
        self.sampler = Sampler(spool, self.said.append)
        self._runs: list[NodeRun] = []

    def start(self, run_id: str, *command: str, flags: tuple[str, ...] = ()) -> NodeRun:
        run = NodeRun(self.spool, *command, run_id=run_id, flags=flags)
        run.start()
        self._runs.append(run)
        return run

    def lines(self, run: NodeRun) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path(run).read_text().splitlines()]

    def line(self, run: NodeRun) -> dict[str, Any]:
        """What one more sample says of a run."""
        self.sampler.sample()
        return self.lines(run)[-1]

    def path(self, run: NodeRun) -> Path:
        (path,) = run.run_dir.glob("logs/azureml/telemetry-*.jsonl")
        return path

    def close(self) -> None:
        self.sampler.close()
        for run in self._runs:
            assert run.process is not None
            run.process.terminate()
            run.process.communicate()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path / "spool")
    try:
        yield made
    finally:
        made.close()


def driver(folder: Path, name: str, mib: int, child_mib: int, *more: str) -> tuple[Path, list[str]]:
    """(the file that tells that all is there, the command)."""
    ready = folder / name
    return ready, [sys.executable, "-c", DRIVER, str(mib), str(child_mib), str(ready), *more]


def test_each_run_has_what_its_own_processes_use_also_those_that_left_their_parents(node: Node, tmp_path: Path) -> None:
    ready, command = driver(tmp_path, "a", 60, 90)
    run, other = node.start("a", *command), node.start("b", "sleep", "600")
    wait_for(ready.exists, "the driver's child")
    line = node.line(run)
    assert 150 * MIB < line["mem_bytes"] < 350 * MIB
    assert line["processes"] >= 4  # shepherd, capture, driver, its child
    assert [rank["rank"] for rank in line["ranks"]] == [0]
    assert 60 * MIB < line["ranks"][0]["mem_bytes"] < 90 * MIB
    assert node.line(other)["mem_bytes"] < 100 * MIB
    assert "mem_used_bytes" in line["node"]


def test_a_process_is_its_runs_by_its_mark_alone_when_shepherd_and_capture_are_gone(node: Node, tmp_path: Path) -> None:
    ready, command = driver(tmp_path, "a", 10, 120)
    run = node.start("a", *command)
    wait_for(ready.exists, "the driver's child")
    shepherd, capture = run.state()["shepherd_pid"], run.capture_pid()
    assert run.process is not None
    run.process.kill()  # it would start the shepherd again
    os.kill(shepherd, 9)
    os.kill(capture, 9)
    wait_for(lambda: not is_alive(shepherd) and not is_alive(capture), "their end")
    try:
        line = node.line(run)
        assert line["processes"] == 2
        assert line["mem_bytes"] > 130 * MIB
    finally:
        for pid in node.sampler.processes_of("a"):
            os.kill(pid, 9)


def test_each_rank_has_its_own_tree_and_what_an_ended_child_has_used_is_not_lost(node: Node, tmp_path: Path) -> None:
    script = f'echo > {tmp_path}/$RUNYARD_RANK; [ $RUNYARD_RANK = 0 ] || exec sleep 600; "$@"'
    ready, command = driver(tmp_path, "a", 10, 10, "burn")
    run = node.start("a", "sh", "-c", script, "sh", *command, flags=("--nproc-per-node", "2"))
    wait_for(ready.with_suffix(".burnt").exists, "the end of the child that computes")
    line = node.line(run)
    by_rank = {rank["rank"]: rank for rank in line["ranks"]}
    assert by_rank[0]["cpu_s"] > 0.65
    assert by_rank[1]["cpu_s"] < 0.3
    assert line["cpu_s"] >= by_rank[0]["cpu_s"]
    assert by_rank[1]["mem_bytes"] < 10 * MIB


def test_nothing_is_written_after_the_nodes_last_word_and_nothing_for_folders_that_are_no_runs(
    node: Node, tmp_path: Path
) -> None:
    (node.spool / "no run").mkdir()
    (node.spool / "broken").mkdir()
    (node.spool / "broken" / ".runyard").mkdir()
    (node.spool / "broken" / ".runyard" / "run.json").write_text('{"run_id": 1}')
    go = tmp_path / "go"
    run = node.start("a", "sh", "-c", f"until [ -e {go} ]; do sleep 0.05; done")
    assert node.sampler.sample()["runs"] == 1
    go.touch()
    run.final_state()
    before = node.path(run).read_bytes()
    assert node.sampler.sample()["runs"] == 0
    assert node.path(run).read_bytes() == before
    assert node.said == []


def test_a_link_a_pipe_or_another_name_of_a_file_in_its_place_is_not_written_to(node: Node, tmp_path: Path) -> None:
    run = node.start("a", "sleep", "600")
    precious = tmp_path / "precious"
    precious.write_text("kept")
    node.sampler.sample()
    path = node.path(run)
    path.unlink()
    for put in (path.symlink_to, path.hardlink_to):
        put(precious)
        node.sampler.sample()
        path.unlink()
    os.mkfifo(path)
    node.sampler.sample()
    path.unlink()
    folder = path.parent.rename(tmp_path / "elsewhere")
    path.parent.symlink_to(folder)
    node.sampler.sample()
    assert precious.read_text() == "kept"
    assert not (folder / path.name).exists()
    path.parent.unlink()
    folder.rename(path.parent)
    assert node.line(run)["processes"] >= 3


def test_a_line_that_a_death_has_cut_is_closed_by_the_next_one(node: Node) -> None:
    run = node.start("a", "sleep", "600")
    node.sampler.sample()
    path = node.path(run)
    path.write_bytes(path.read_bytes() + b'{"wall_ns":17')
    node.sampler.sample()
    first, cut, last = path.read_text().splitlines()
    assert cut == '{"wall_ns":17'
    assert json.loads(last)["mono_ns"] > json.loads(first)["mono_ns"]
    assert path.stat().st_mode & 0o777 == 0o600
