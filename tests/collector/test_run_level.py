"""The run-level files of a run on several nodes: merged while it is live, whole and sealed when it is over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from runyard import labels, names, timeindex
from runyard.collector.merge.journal import Journal
from tests.collector.node import Node, data_of, frame
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

S = 10**9
SKEW_NS = 300 * S


class Rank:
    """One process's driver log and its index, as a node sends them."""

    def __init__(self, node: Node, rank: int, *, offset_ns: int, attempt: int = 0, generation: int = 0) -> None:
        self.node, self.name = node, f"azureml-logs/70_driver_log_{rank}.txt"
        index = names.index_of(self.name)
        opened = node.open(self.name, index, attempt=attempt, generation=generation)
        self.log_id, self.index_id = (stream["id"] for stream in opened)
        self.offset_ns = offset_ns  # the collector's clock is the node's monotonic one + this
        self.data, self.index = b"", b""

    def write(self, text: bytes, at_ns: int, source: int = timeindex.STDOUT) -> None:
        """Bytes that were written at `at_ns` of the collector's clock; the node's wall clock is five minutes ahead."""
        self.send(text, at_ns, source)

    def send(self, text: bytes, at_ns: int, source: int) -> None:
        record = timeindex.pack(len(self.data) + len(text), at_ns + SKEW_NS, at_ns - self.offset_ns, source)
        self.node.send(self.log_id, len(self.data), text)
        self.node.send(self.index_id, len(self.index), record)
        self.data += text
        self.index += record

    def of_source(self, source: int) -> bytes:
        start, found = 0, b""
        for record in timeindex.unpack(self.index):
            found += self.data[start : record.end] if record.source == source else b""
            start = record.end
        return found

    def seal(self) -> None:
        assert self.node.seal(self.log_id, self.data)["result"] == "sealed"
        assert self.node.seal(self.index_id, self.index)["result"] == "sealed"


def two_nodes(collector: CollectorProcess, experiment: str = "exp") -> tuple[Node, Node]:
    first = Node(collector, ip="10.77.0.11", node_count=2, experiment=experiment)
    second = Node(collector, run_id=first.run_id, ip="10.77.0.12", create=False, experiment=experiment)
    second.run_token = first.run_token
    return first, second


def run_level(node: Node, name: str) -> bytes:
    folder: Path = node.collector.data_dir / "runs" / node.experiment / node.run_id
    return (folder / name).read_bytes() if (folder / name).exists() else b""


def is_sealed(node: Node) -> bool:
    files = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    mine = [file for file in files if not file["folder"]]
    return len(mine) == 5 and all(file["is_sealed"] for file in mine)


def end(*nodes: Node, status: str = "Completed") -> None:
    for node in nodes:
        node.complete(status)
    wait_for(lambda: is_sealed(nodes[0]), "the run-level files are sealed")


def put_clock(node: Node, offset_ns: int) -> None:
    node.put_state("Running", clock={"offset_ns": offset_ns, "error_ns": 1000})


@pytest.mark.row("A15")
def test_lines_of_two_nodes_stand_in_the_order_of_time_although_their_clocks_are_off(collector: CollectorProcess) -> None:
    first, second = two_nodes(collector)
    now_ns = time.time_ns() - 20 * S
    ranks = [Rank(first, 0, offset_ns=now_ns - 5 * S), Rank(second, 1, offset_ns=now_ns - 900 * S)]
    put_clock(first, now_ns - 5 * S)
    put_clock(second, now_ns - 900 * S)
    for step in range(40):
        rank = ranks[step % 2]
        rank.write(b"step %d\n" % step, now_ns + step * S // 10)
        rank.write(b"warn %d\n" % step, now_ns + step * S // 10 + 1, timeindex.STDERR)
    wait_for(lambda: run_level(first, names.STDOUT_LOGS).count(b"\n") == 40, "merged while the run is live")
    for rank in ranks:
        rank.seal()
    end(first, second)
    ips = (b"10.77.0.11 rank 0", b"10.77.0.12 rank 1")
    assert run_level(first, names.STDOUT_LOGS) == b"".join(b"[%b] step %d\n" % (ips[n % 2], n) for n in range(40))
    assert run_level(first, names.STDERR_LOGS) == b"".join(b"[%b] warn %d\n" % (ips[n % 2], n) for n in range(40))


@pytest.mark.row("A15")
def test_lines_are_there_once_over_kills_of_the_collector_and_come_back_byte_for_byte(collector: CollectorProcess) -> None:
    first, second = two_nodes(collector)
    base_ns = time.time_ns() - 60 * S
    ranks = [Rank(first, 0, offset_ns=base_ns), Rank(second, 1, offset_ns=0)]
    put_clock(first, base_ns)
    put_clock(second, 0)
    texts = [b"plain\n", b"10%\r20%\r100%\n", b"\xff\x00 no utf-8\n", b"\n", b"[10.77.0.12 rank 1] fake\n", b"torn", b" line\n"]
    for turn in range(3):
        for step, text in enumerate(texts * 6):
            ranks[step % 2].write(text, base_ns + (turn * 1000 + step) * S // 100, 1 + step % 3 // 2)
        wait_for(lambda: run_level(first, names.STDOUT_LOGS), "something is merged")
        collector.kill()
        collector.restart()
        for node in (first, second):
            node.client = collector.client()
    ranks[0].write(b"no newline at the end", base_ns + 50 * S)
    for rank in ranks:
        rank.seal()
    end(first, second)
    shown = shown_log(collector, first.run_id, names.STDOUT_LOGS)
    assert shown.count(b"] 100%\n") == shown.count(b"%") > 0
    for name, source in ((names.STDOUT_LOGS, timeindex.STDOUT), (names.STDERR_LOGS, timeindex.STDERR)):
        found = streams_of(run_level(first, name))
        assert found == {f"rank {number}": rank.of_source(source) for number, rank in enumerate(ranks)}


def shown_log(collector: CollectorProcess, run_id: str, file: str) -> bytes:
    command = [sys.executable, "-m", "runyard", "logs", run_id, "--file", file]
    environ = os.environ | {"RUNYARD_CLIENT__COLLECTOR_URL": collector.url, "RUNYARD_CLIENT__TOKEN": collector.token}
    return subprocess.run(command, env=environ, check=True, capture_output=True).stdout


def streams_of(merged: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for text in merged.split(b"\n")[:-1]:
        line = labels.split(text + b"\n")
        found[line.origin.what] = found.get(line.origin.what, b"") + line.data
    return found


def test_a_node_that_stalls_holds_nobody_back_and_what_it_sends_later_is_marked_late(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__MERGE_WAIT_S": "0.5"}) as collector:
        first, second = two_nodes(collector)
        base_ns = time.time_ns() - 30 * S
        ranks = [Rank(first, 0, offset_ns=0), Rank(second, 1, offset_ns=0)]
        put_clock(first, 0)
        put_clock(second, 0)
        ranks[0].write(b"young\n", base_ns + S)
        wait_for(lambda: b"young" in run_level(first, names.STDOUT_LOGS), "nobody is held back")
        ranks[1].write(b"old\n", base_ns)
        wait_for(lambda: b"old" in run_level(first, names.STDOUT_LOGS), "nothing is lost")
        assert run_level(first, names.STDOUT_LOGS) == b"[10.77.0.11 rank 0] young\n[10.77.0.12 rank 1 late] old\n"


@pytest.mark.row("A15")
@pytest.mark.row("A7")
@pytest.mark.row("A8")
def test_the_run_level_files_are_files_like_any_other(collector: CollectorProcess) -> None:
    first, second = two_nodes(collector)
    status = '{"process_name":"%s","timestamp":"2026-01-01T00:00:0%d.000000000Z","status":"%s"}\n'
    for number, node in enumerate((first, second)):
        put_clock(node, 0)
        info = b'{"process_name":"rank_%d","node_id":"x"}\n' % number
        lines = (status % (f"rank_{number}", number, "Started") + status % ("*", 9, "Completed")).encode()
        log = b"[2026-01-01T00:00:0%d.000000Z] prepared\n  and more\n" % number
        job = names.preparation_log(node.node_id)
        for name, data in ((names.PROCESS_INFO, info), (names.PROCESS_STATUS, lines), (job, log)):
            stream = node.open_one(name)
            node.send(stream, 0, data)
            node.seal(stream, data)
    with first.follow(file=names.PROCESS_STATUS) as events:
        end(first, second, status="Canceled")
        followed = data_of(list(events)).decode()
    expected = status % ("rank_0", 0, "Started") + status % ("rank_1", 1, "Started")
    last = json.loads(followed.removeprefix(expected))
    assert last == {"process_name": "*", "timestamp": "1970-01-01T00:00:00.000000002Z", "status": "Terminated"}
    assert first.file(names.PROCESS_STATUS).data.decode() == followed
    assert first.file(names.PROCESS_INFO, Range="bytes=0-39").data == b'{"process_name":"rank_0","node_id":"x"}\n'
    assert first.file(f"{first.folder}/{names.PROCESS_INFO}").data == b'{"process_name":"rank_0","node_id":"x"}\n'
    assert run_level(first, names.EXECUTION_LOGS).splitlines() == [
        line
        for number, ip in enumerate((b"10.77.0.11", b"10.77.0.12"))
        for line in (b"[%b log 65] [2026-01-01T00:00:0%d.000000Z] prepared" % (ip, number), b"[%b log 65]   and more" % ip)
    ]
    checked = first.client.json("GET", f"/runs/{first.run_id}/verify")["files"]
    assert {file["path"]: file["result"] for file in checked if "/10.77" not in file["path"]}[names.STDOUT_LOGS] == "ok"


def test_a_later_attempt_is_labelled_and_a_run_on_one_node_has_no_run_level_files(collector: CollectorProcess) -> None:
    first, second = two_nodes(collector)
    put_clock(first, 0)
    base_ns = time.time_ns() - 30 * S
    for attempt in (0, 1):
        rank = Rank(first, 0, offset_ns=0, attempt=attempt)
        rank.write(b"try\n", base_ns + attempt)
        rank.seal()
    end(first, second, status="Failed")
    assert run_level(first, names.STDOUT_LOGS) == b"[10.77.0.11 rank 0] try\n[10.77.0.11 rank 0 attempt 1] try\n"
    alone = Node(collector)
    alone.complete()
    assert not _files(alone)


def test_nobody_but_the_collector_writes_run_level_files(collector: CollectorProcess) -> None:
    first, _ = two_nodes(collector)
    put_clock(first, 0)
    wait_for(lambda: any(not file["folder"] for file in _files(first)), "the run-level files are there")
    last = first.open_one("outputs/x")
    for stream in range(1, last):
        assert first.ingest(frame(stream, 0, b"mine")).status in (403, 404)


def _files(node: Node) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    return found


def test_a_sealed_run_keeps_its_overall_logs_where_a_power_cut_has_brought_back_its_journal(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        nodes = two_nodes(collector)
        for number, node in enumerate(nodes):
            put_clock(node, 0)
            rank = Rank(node, number, offset_ns=0)
            rank.write(b"a line\n", time.time_ns())
            rank.seal()
        end(*nodes)
        wait_for(lambda: is_sealed(nodes[0]), "a seal")
        merged = run_level(nodes[0], names.STDOUT_LOGS)
        assert merged.count(b"a line\n") == 2
        path = collector.data_dir / "merge" / f"{nodes[0].run_id}.journal"
        wait_for(lambda: not path.exists(), "the journal's end")
        collector.kill()
        # As it was before anything was in the files: what no journal tells of is cut off.
        Journal(path).begin({"out": f"{nodes[0].experiment}/{nodes[0].run_id}/{names.STDOUT_LOGS}"})
        collector.restart()
        assert run_level(nodes[0], names.STDOUT_LOGS) == merged
        assert not path.exists()
