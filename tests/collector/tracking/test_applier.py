"""Journals are applied as they come, each line once, whatever is killed in between; and nobody waits for a long one."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from runyard.names import of_attempt
from tests.collector.node import Node
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

JOURNAL = ".runyard/tracking/17-0a1b2c3d.jsonl"
SECOND = ".runyard/tracking/18-0a1b2c3d.jsonl"
AT_MS = 1764417000000


def line(*record: Any) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def losses(start: int, end: int, name: str = "loss", run: str = "") -> bytes:
    return b"".join(line("m", run, name, n / 8, n, AT_MS + n) for n in range(start, end))


def applied(node: Node) -> dict[str, int]:
    """How far each journal is."""
    streams = node.client.json("GET", f"/runs/{node.run_id}/records")["streams"]
    return {of_attempt(one["name"], one["attempt"]): one["applied"] for one in streams}


def wait_applied(node: Node, size: int, name: str = JOURNAL) -> None:
    wait_for(lambda: applied(node).get(name) == size, f"{size} bytes of {name} are applied")


def values(node: Node, name: str = "loss", run_id: str = "") -> list[Any]:
    path = f"/runs/{run_id or node.run_id}/metrics/values"
    points = node.client.json("GET", path, params={"name": name, "limit": 100_000})["points"]
    return [(one["value"], one["step"]) for one in points]


def wanted(count: int, start: int = 0) -> list[Any]:
    return [(n / 8, n) for n in range(start, start + count)]


def run_of(node: Node, run_id: str = "") -> Any:
    return node.client.json("GET", f"/runs/{run_id or node.run_id}")


@pytest.mark.row("B5")
def test_a_record_is_to_be_read_well_within_a_second(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one(JOURNAL)
    node.send(stream, 0, losses(0, 1))
    wait_applied(node, len(losses(0, 1)))
    begun_s = time.monotonic()
    node.send(stream, len(losses(0, 1)), losses(1, 2))
    wait_for(lambda: values(node) == wanted(2), "the second value is there")
    assert time.monotonic() - begun_s < 1.0


def test_lines_may_come_in_any_pieces_and_the_last_one_waits_for_its_end(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one(JOURNAL)
    data = losses(0, 40)
    cuts = sorted(random.Random(5).sample(range(1, len(data)), 12))
    for start, end in zip([0, *cuts], [*cuts, len(data) - 1], strict=True):
        node.send(stream, start, data[start:end])
    whole = data.rindex(b"\n", 0, -1) + 1
    wait_applied(node, whole)
    assert values(node) == wanted(39)
    node.send(stream, len(data) - 1, b"\n")
    wait_applied(node, len(data))
    assert values(node) == wanted(40)


@pytest.mark.row("B5")
def test_what_is_no_record_becomes_a_warning_and_what_follows_is_applied(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one(JOURNAL)
    data = losses(0, 1) + b"not JSON\n\n" + line("m", "", "loss", "much", 1, 1) + line("p", "", "lr", "1")
    data += line("p", "", "lr", "2") + b"\0\0\0\n" + b'["m","","\xff",1,1,1]\n' + losses(1, 2)
    node.send(stream, 0, data)
    wait_applied(node, len(data))
    assert values(node) == wanted(2)
    run = run_of(node)
    assert run["params"] == {"lr": "1"}
    told = run["warnings"]
    assert len(told) == 5, told
    assert f"the line at byte {len(losses(0, 1))} is no record" in told[0]
    assert any("its bytes are lost" in one for one in told)
    assert f"the parameter 'lr' of run {node.run_id} is '1' already, and cannot become '2'" in told


def test_several_journals_and_attempts_of_a_run_are_applied_each_in_its_order(collector: CollectorProcess) -> None:
    node = Node(collector)
    first, second = node.open_one(JOURNAL), node.open_one(SECOND)
    later = node.open(JOURNAL, attempt=1)[0]["id"]
    data = {first: losses(0, 500, "a"), second: losses(0, 500, "b"), later: losses(500, 600, "a")}
    sent = dict.fromkeys(data, 0)
    for _ in range(10):
        for stream, whole in data.items():
            piece = whole[sent[stream] : sent[stream] + len(whole) // 10 + 1]
            node.send(stream, sent[stream], piece)
            sent[stream] += len(piece)
    wait_for(lambda: sum(applied(node).values()) == sum(map(len, data.values())), "all is applied")
    assert values(node, "b") == wanted(500)
    found = values(node, "a")
    assert [one for one in found if one[1] < 500] == wanted(500)
    assert [one for one in found if one[1] >= 500] == wanted(100, 500)


@pytest.mark.row("B6")
def test_a_killed_collector_loses_nothing_and_applies_nothing_twice(tmp_path: Path) -> None:
    lines = 60_000
    with running_collector(tmp_path) as collector:
        node = Node(collector)
        stream = node.open_one(JOURNAL)
        data = losses(0, lines) + line("c", f"{node.run_id}_1", "", "", "", "", AT_MS) + line("p", "", "p", "1")
        node.send(stream, 0, data, sync=True)
        far = 0
        for _ in range(4):
            wait_for(lambda before=far: sum(applied(node).values()) > before, "more is applied")  # type: ignore[misc]
            collector.kill()
            far = _applied_on_disk(collector)
            collector.restart()
        assert 0 < far < len(data), "it was killed in the middle"
        wait_applied(node, len(data))
        assert values(node) == wanted(lines)
        run = run_of(node)
        assert (run["params"], run["warnings"]) == ({"p": "1"}, [])
        assert run_of(node, f"{node.run_id}_1")["parent_run_id"] == node.run_id


def _applied_on_disk(collector: CollectorProcess) -> int:
    database = sqlite3.connect(collector.data_dir / "collector.sqlite3")
    try:
        return int(database.execute('SELECT coalesce(sum("offset"), 0) FROM applied_records').fetchone()[0])
    finally:
        database.close()


def test_others_write_while_a_long_journal_is_applied(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one(JOURNAL)
    data = losses(0, 60_000)
    longest_s = 0.0
    sending = threading.Thread(target=node.send, args=(stream, 0, data))
    sending.start()
    wait_for(lambda: applied(node).get(JOURNAL, 0) > 0, "applying has begun")
    writes = 0
    while applied(node)[JOURNAL] < len(data):
        begun_s = time.monotonic()
        node.put_state("Running")
        longest_s = max(longest_s, time.monotonic() - begun_s)
        writes += 1
    sending.join()
    assert writes > 3
    # Each of them waits for one piece; all of the journal takes seconds.
    assert longest_s < 1.0
    assert values(node) == wanted(60_000)


def test_a_line_longer_than_a_piece_is_applied_and_one_that_never_ends_does_not_stop_the_rest(
    collector: CollectorProcess,
) -> None:
    node = Node(collector)
    stream = node.open_one(JOURNAL)
    long = line("r", "", "t", {f"c{n}": "x" * 5000 for n in range(100)}, 1)
    endless = b"[" * (5 << 20) + b"\n"
    data = long + endless + losses(0, 1)
    node.send(stream, 0, data)
    wait_applied(node, len(data))
    assert values(node) == wanted(1)
    assert node.client.json("GET", f"/runs/{node.run_id}/metrics", params={"name": "t"})["metrics"][0]["count"] == 1


@pytest.mark.row("B5")
def test_the_children_that_nobody_ended_end_with_their_parent(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one(JOURNAL)
    left, done = f"{node.run_id}_1", f"{node.run_id}_2"
    data = line("c", left, "", "", "", "", AT_MS) + line("c", done, "", "", "", "", AT_MS)
    data += (
        line("s", left, "Running", "", AT_MS) + line("s", done, "Completed", "", AT_MS) + line("s", "", "Completed", "", AT_MS)
    )
    data += line("m", left, "loss", 1, None, AT_MS)[:-1]  # its end is lost with its process; sealed, it is a line all the same
    node.send(stream, 0, data)
    wait_for(lambda: applied(node).get(JOURNAL, 0) > 100, "the children are there")
    node.put_state("Running")
    assert run_of(node)["status"] == "Running", "what a client says of a run that a node has is a hint"
    assert run_of(node)["hint"] == "Completed"
    assert run_of(node, left)["status"] == "Running"
    assert node.seal(stream, data)["result"] == "sealed"
    node.put_state("Failed", exit_code=1, is_complete=True, started_ns=1, ended_ns=2)
    child = wait_for(lambda: (run := run_of(node, left))["status"] == "Failed" and run, "it has ended with its parent")
    assert "nobody has said how it ended itself" in child["cause"]
    assert child["is_complete"]
    assert run_of(node, done)["status"] == "Completed"
    assert run_of(node)["is_complete"]
    assert values(node, run_id=left) == [(1, None)]
    verified = node.client.json("GET", f"/runs/{left}/verify")
    assert (verified["is_complete"], verified["files"]) == (True, [])


def test_a_client_run_that_nobody_has_spoken_of_for_a_day_does_not_respond(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        node = Node(collector)
        child = f"{node.run_id}_1"
        stream = node.open_one(JOURNAL)
        data = line("c", child, "", "", "", "", AT_MS) + line("s", child, "Running", "", AT_MS)
        node.send(stream, 0, data)
        wait_applied(node, len(data))
        assert run_of(node, child)["status"] == "Running"
        collector.stop()
        database = sqlite3.connect(collector.data_dir / "collector.sqlite3")
        with database:
            database.execute("UPDATE runs SET said_ms = said_ms - 86400001 WHERE run_id = ?", (child,))
        database.close()
        collector.start()
        assert run_of(node, child)["status"] == "NotResponding"
        silent = node.client.json("GET", "/runs", params={"status": "NotResponding", "include_children": 1})["runs"]
        assert [run["run_id"] for run in silent] == [child]
        more = losses(0, 1, run=child)
        node.send(stream, len(data), more)
        wait_applied(node, len(data) + len(more))
        assert run_of(node, child)["status"] == "Running"
