"""What was acknowledged is there after kill -9, and what was not can be sent again; a stop is graceful."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from runyard.errors import CollectorUnreachable
from tests.collector.node import LOG, Node, data_of, frame
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for


def test_kill_9_in_the_middle_of_writing_loses_nothing_that_was_acknowledged(collector: CollectorProcess) -> None:
    node = Node(collector)
    first, second = (one["id"] for one in node.open(LOG, "logs/b.txt"))
    data = random.Random(1).randbytes(8 << 20)
    acknowledged = {first: 0, second: 0}
    is_over = threading.Event()

    def send() -> None:
        offsets = {first: 0, second: 0}
        while not is_over.is_set():
            frames = [frame(stream, offset, data[offset : offset + 40_000]) for stream, offset in offsets.items()]
            try:
                acks = node.ingest(*frames, sync=True).json["acks"]
            except (OSError, ValueError):
                return
            for ack in acks:
                offsets[ack["id"]] = ack["offset"] % len(data)
                acknowledged[ack["id"]] = ack["durable"]

    for _ in range(3):
        sender = threading.Thread(target=send)
        before = dict(acknowledged)
        sender.start()
        is_ahead = partial(_is_ahead, acknowledged, before)
        wait_for(is_ahead, "some acks")
        collector.kill()
        sender.join()
        collector.restart()
        opened = {one["id"]: one for one in node.open(LOG, "logs/b.txt")}
        for stream, durable in acknowledged.items():
            assert opened[stream]["offset"] >= durable
            assert opened[stream]["durable"] == opened[stream]["offset"]
        for stream, name in ((first, LOG), (second, "logs/b.txt")):
            size = opened[stream]["offset"]
            assert node.on_disk(name) == data[:size]
            node.send(stream, size, data[size : size + 1000])
    is_over.set()


def test_a_stream_that_was_opened_keeps_its_id_over_a_restart(collector: CollectorProcess) -> None:
    node = Node(collector)
    (opened,) = node.open(LOG, source_id="8:1234")
    node.send(opened["id"], 0, b"abc", sync=True)
    collector.kill()
    collector.restart()
    listed = node.client.json("GET", f"/runs/{node.run_id}/streams", params={"node_id": node.node_id})["streams"]
    assert listed == [opened | {"offset": 3, "durable": 3}]
    assert node.open(LOG, source_id="other") == listed
    # Without being opened again: whoever knows the id may go on.
    collector.restart()
    assert node.send(opened["id"], 3, b"d")["offset"] == 4


def test_a_follower_is_let_go_and_everything_is_durable_when_the_collector_stops(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__COMMIT_INTERVAL_S": "1000"}) as collector:
        node = Node(collector)
        stream = node.open_one()
        with node.follow() as events:
            node.send(stream, 0, b"abc\n")
            assert {next(events).name for _ in range(3)} == {"open", "status", "data"}
            begun = time.monotonic()
            assert collector.stop() == 0
            assert time.monotonic() - begun < 5
            assert list(events) == []
        assert node.on_disk(LOG) == b"abc\n"
        with pytest.raises(CollectorUnreachable):
            node.run()
        collector.start()
        assert node.open(LOG)[0]["durable"] == 4


def test_what_is_sent_while_the_collector_stops_is_answered_or_refused(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    offset = 0
    stopping = threading.Timer(0.1, os.kill, [collector.pid, signal.SIGTERM])
    stopping.start()
    while True:
        try:
            answer = node.ingest(frame(stream, offset, b"x" * 5000), sync=True)
        except (OSError, ValueError):
            break
        offset = answer.json["acks"][0]["durable"]
    stopping.join()
    wait_for(lambda: not collector.is_running, "the end of the collector")
    assert len(node.on_disk(LOG)) >= offset > 0


def test_a_generation_survives_a_kill_at_any_step(collector: CollectorProcess) -> None:
    """The steps of opening are cut off where a kill may cut them: the file was not moved yet, or not confirmed yet."""
    import sqlite3

    node = Node(collector)
    old = node.open_one("logs/x.txt")
    node.send(old, 0, b"old bytes", sync=True)
    new = node.open("logs/x.txt", generation=1)[0]["id"]
    collector.stop()
    folder = collector.data_dir / "runs" / "exp" / node.run_id / node.folder / "logs"
    database = sqlite3.connect(collector.data_dir / "collector.sqlite3")
    for is_moved in (False, True):
        if not is_moved:
            (folder / "x.txt.~0~").rename(folder / "x.txt")
        with database:
            database.execute("UPDATE streams SET is_placed = 0 WHERE id = ?", (new,))
        collector.restart()
        assert node.on_disk("logs/x.txt.~0~") == b"old bytes"
        assert node.on_disk("logs/x.txt") == b""
        collector.stop()
    database.close()
    collector.restart()
    assert node.send(new, 0, b"new bytes")["offset"] == 9
    assert data_of(node.followed(file="logs/x.txt", until="now")) == b"new bytes"


def _is_ahead(now: dict[int, int], before: dict[int, int]) -> bool:
    return all(now[stream] > before[stream] + 100_000 for stream in before)
