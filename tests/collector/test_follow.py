"""A follower gets every byte once, in order, as it comes, whatever dies in between."""

from __future__ import annotations

import base64
import json
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from runyard import names, timeindex
from runyard.errors import CollectorError, CollectorRefused
from runyard.sse import Event
from tests.collector.node import LOG, Node, call, data_of, frame, gap_frame
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for


def values(events: list[Event], name: str) -> list[dict[str, Any]]:
    """The data of the events of one kind."""
    return [json.loads(event.data) for event in events if event.name == name]


def until(events: Iterator[Event], name: str) -> list[Event]:
    """The events up to the first of kind `name`, with it."""
    found = []
    for event in events:
        found.append(event)
        if event.name == name:
            return found
    raise AssertionError(f"the stream ended without {name}: {[event.name for event in found]}")


def until_bytes(events: Iterator[Event], count: int) -> list[Event]:
    """The events up to the one with which `count` bytes have come."""
    found: list[Event] = []
    while len(data_of(found)) < count:
        found.append(next(events))
    return found


def test_bytes_are_seen_as_they_come_and_the_end_is_told(collector: CollectorProcess) -> None:
    node = Node(collector)
    with node.follow() as events:
        assert values(until(events, "status"), "status") == [{"status": "NotStarted"}]
        stream = node.open_one()
        node.put_state("Running", started_ns=1)
        seen = until(events, "status")
        for number in range(5):
            node.send(stream, number * 2, b"%d\n" % number)
            seen += until(events, "data")
        node.put_state("Finalizing")
        node.seal(stream, b"0\n1\n2\n3\n4\n")
        node.complete("Failed", 3)
        seen += until(events, "end")
        assert list(events) == []
    assert values(seen, "open") == [{"stream": stream, "path": LOG, "node_id": node.node_id, "offset": 0, "generation": 0}]
    assert data_of(seen, stream) == b"0\n1\n2\n3\n4\n"
    assert [one["status"] for one in values(seen, "status")] == ["Running", "Finalizing", "Failed"]
    assert values(seen, "end") == [{"status": "Failed", "exit_code": 3}]


def test_the_end_waits_for_the_word_that_all_is_sealed(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.put_state("Completed", exit_code=0)
    with node.follow() as events:
        until(events, "status")
        node.send(stream, 0, b"late\n")
        assert data_of(until(events, "data")) == b"late\n"
        node.complete()
        assert until(events, "end")[-1].name == "end"


def test_a_cursor_goes_on_exactly_where_its_client_stopped(collector: CollectorProcess) -> None:
    node = Node(collector)
    chosen = random.Random(11)
    ids = [one["id"] for one in node.open(*[f"logs/{n}.txt" for n in range(7)])]
    contents = {stream: chosen.randbytes(chosen.randrange(1, 200_000)) for stream in ids}
    offsets = dict.fromkeys(ids, 0)
    while any(offsets[s] < len(contents[s]) for s in ids):
        stream = chosen.choice([s for s in ids if offsets[s] < len(contents[s])])
        piece = contents[stream][offsets[stream] :][: chosen.randrange(1, 50_000)]
        offsets[stream] = node.send(stream, offsets[stream], piece)["offset"]
    for stream in ids[:3]:
        node.seal(stream, contents[stream])
    node.complete()
    all_events = [event for event in node.followed() if event.name == "data"]
    for position in range(0, len(all_events), 3):
        seen = all_events[: position + 1]
        rest = node.followed(last_id=seen[-1].id)
        assert rest[-1].name == "end"
        for stream in ids:
            assert data_of(seen + rest, stream) == contents[stream]


def test_nothing_is_missed_or_doubled_over_kills_of_the_collector(collector: CollectorProcess) -> None:
    node = Node(collector)
    first, second = (one["id"] for one in node.open(LOG, "logs/b.txt"))
    chosen = random.Random(2)
    contents = {stream: chosen.randbytes(600_000) for stream in (first, second)}
    seen: list[Event] = []
    for _ in range(4):
        last_id = seen[-1].id if seen else ""
        with node.follow(last_id=last_id) as events:
            target = len(data_of(seen)) + 150_000
            sender = threading.Thread(target=_send_some, args=(node, contents, chosen.randrange(1000)))
            sender.start()
            while len(data_of(seen)) < target:
                seen.append(next(events))
            sender.join()
            collector.kill()
        collector.restart()
    for stream, content in contents.items():
        offset = node.ingest(streams=[stream]).json["acks"][0]["offset"]
        node.send(stream, offset, content[offset:])
        node.seal(stream, content)
    node.complete()
    seen += node.followed(last_id=seen[-1].id)
    assert seen[-1].name == "end"
    for stream, content in contents.items():
        assert data_of(seen, stream) == content


def _send_some(node: Node, contents: dict[int, bytes], seed: int) -> None:
    chosen = random.Random(seed)
    offsets = {ack["id"]: ack["offset"] for ack in node.ingest(streams=list(contents)).json["acks"]}
    sent = 0
    while sent < 200_000:
        stream = chosen.choice(list(contents))
        piece = contents[stream][offsets[stream] :][: chosen.randrange(1, 9000)]
        offsets[stream] += len(piece)
        sent += max(1, len(piece))
        node.ingest(frame(stream, offsets[stream] - len(piece), piece))


def test_a_run_that_ended_before_a_restart_is_followed_whole(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    data = random.Random(8).randbytes(700_000)
    node.send(stream, 0, data)
    node.seal(stream, data)
    node.complete()
    collector.kill()
    collector.restart()
    events = node.followed()
    assert data_of(events, stream) == data
    assert [event.name for event in events if event.name != "data"] == ["open", "status", "end"]


def test_until_now_ends_with_what_is_there(collector: CollectorProcess) -> None:
    node = Node(collector)
    assert [event.name for event in node.followed(until="now")] == ["status", "end"]
    stream = node.open_one()
    node.put_state("Running")
    node.send(stream, 0, b"abc")
    events = node.followed(until="now")
    assert data_of(events) == b"abc"
    assert values(events, "end") == [{"status": "Running", "exit_code": None}]


def test_files_and_nodes_are_chosen(collector: CollectorProcess) -> None:
    first = Node(collector)
    second = Node(collector, run_id=first.run_id, create=False, ip="10.0.0.2")
    second.run_token = first.run_token
    for node in (first, second):
        for name in ("logs/a.txt", "logs/b.txt"):
            node.send(node.open_one(name), 0, f"{node.folder}/{name}".encode())

    def paths(**params: Any) -> set[str]:
        events = first.followed(until="now", **params)
        # The run is on two nodes: it has overall logs, too.
        found = {path for one in values(events, "open") if (path := one["path"]).startswith(("10.", "127."))}
        assert {base64.b64decode(one["data"]).decode() for one in values(events, "data")} == found
        return found

    assert paths() == {f"{node.folder}/logs/{name}.txt" for node in (first, second) for name in "ab"}
    assert paths(file="10.0.0.2/logs/a.txt") == {"10.0.0.2/logs/a.txt"}
    assert paths(file=["10.0.0.2/logs/a.txt", "127.0.0.1/logs/b.txt"]) == {"10.0.0.2/logs/a.txt", "127.0.0.1/logs/b.txt"}
    assert paths(node=second.node_id) == paths(node="10.0.0.2") == {"10.0.0.2/logs/a.txt", "10.0.0.2/logs/b.txt"}
    assert paths(file="logs/a.txt") == {"127.0.0.1/logs/a.txt", "10.0.0.2/logs/a.txt"}
    assert paths(file="nothing.txt") == set()


def test_a_file_that_does_not_exist_yet_is_waited_for(collector: CollectorProcess) -> None:
    node = Node(collector)
    with node.follow(file="logs/late.txt") as events:
        until(events, "status")
        node.send(node.open_one("logs/other.txt"), 0, b"no")
        node.send(node.open_one("logs/late.txt"), 0, b"yes")
        assert data_of(until(events, "data")) == b"yes"


def test_tail_starts_so_many_lines_before_the_end(collector: CollectorProcess) -> None:
    node = Node(collector)
    lines = [b"line %d " % n + b"x" * (n % 3000) + b"\n" for n in range(400)]
    stream = node.open_one()
    node.send(stream, 0, b"".join(lines))
    for count in (0, 1, 2, 100, 399, 400, 401):
        events = node.followed(until="now", tail_lines=count)
        assert data_of(events) == b"".join(lines[len(lines) - min(count, 400) :])
    node.send(stream, len(b"".join(lines)), b"no newline")
    assert data_of(node.followed(until="now", tail_lines=1)) == b"no newline"
    assert data_of(node.followed(until="now", tail_lines=2)) == lines[-1] + b"no newline"
    # The place survives a reconnect, also when nothing was sent before it.
    with node.follow(tail_lines=0) as live:
        cursor = until(live, "status")[-1].id
    node.send(stream, len(b"".join(lines)) + 10, b"!\n")
    assert data_of(node.followed(last_id=cursor, until="now", tail_lines=0)) == b"!\n"


class IndexedLog:
    """A log with its time index, as capture writes them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.log, self.index = (one["id"] for one in node.open(LOG, names.index_of(LOG)))
        self.data = b""
        self.records = b""

    def write(self, data: bytes, wall_ns: int, source: int, *, index: bool = True) -> None:
        """Sends some bytes, and their index record."""
        self.node.send(self.log, len(self.data), data)
        self.data += data
        if index:
            self.write_index(wall_ns, source)

    def write_index(self, wall_ns: int, source: int) -> None:
        """Sends the record that covers all that has no record yet."""
        record = timeindex.pack(len(self.data), wall_ns, wall_ns, source)
        self.node.send(self.index, len(self.records), record)
        self.records += record


def test_annotated_bytes_come_with_their_records_and_not_before(collector: CollectorProcess) -> None:
    node = Node(collector)
    indexed = IndexedLog(node)
    with node.follow(annotate=1) as events:
        indexed.write(b"out\n", 100, timeindex.STDOUT)
        indexed.write(b"err\n", 200, timeindex.STDERR)
        first = until_bytes(events, 8)
        assert [record for one in values(first, "data") for record in one["records"]] == [[4, 100, 1], [8, 200, 2]]
        indexed.write(b"no record yet\n", 0, 0, index=False)
        # The index of other bytes wakes the follower, too; these wait all the same.
        other = node.open_one("logs/marker.txt")
        node.send(other, 0, b"marker")
        assert data_of(until(events, "data"), other) == b"marker"
        indexed.write_index(300, timeindex.STDOUT)
        (event,) = values(until(events, "data"), "data")
        assert (event["offset"], event["records"]) == (8, [[22, 300, 1]])
        indexed.write(b"never indexed", 0, 0, index=False)
        node.seal(indexed.log, indexed.data)
        (event,) = values(until(events, "data"), "data")
        assert base64.b64decode(event["data"]) == b"never indexed"
        assert event["records"] == [[35, 300, 3]]


def test_records_cover_each_event_exactly(collector: CollectorProcess) -> None:
    node = Node(collector)
    indexed = IndexedLog(node)
    chosen = random.Random(4)
    for number in range(60):
        indexed.write(chosen.randbytes(chosen.choice((1, 50, 5000, 150_000))), 1000 + number, 1 + number % 2)
    expected = timeindex.unpack(indexed.records)
    for event in values(node.followed(until="now", annotate=1, file=LOG), "data"):
        start, end = event["offset"], event["offset"] + len(base64.b64decode(event["data"]))
        inside = [record for record in expected if record.end > start]
        inside = inside[: next(i for i, record in enumerate(inside) if record.end >= end) + 1]
        assert event["records"] == [[min(record.end, end), record.wall_ns, record.source] for record in inside]
    plain = node.followed(until="now", annotate=1, file=names.index_of(LOG))
    assert data_of(plain) == indexed.records


def test_a_file_without_an_index_is_annotated_with_what_is_not_known(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one("logs/mine.txt"), 0, b"abc")
    (event,) = values(node.followed(until="now", annotate=1), "data")
    assert event["records"] == [[3, 0, 3]]


def test_since_starts_with_the_bytes_seen_then(collector: CollectorProcess) -> None:
    node = Node(collector)
    indexed = IndexedLog(node)
    for number in range(1, 201):
        indexed.write(b"%03d\n" % number, number * 10, timeindex.STDOUT)
    for since, first in ((0, 1), (10, 1), (11, 2), (1000, 100), (1995, 200), (2000, 200)):
        assert data_of(node.followed(until="now", since_ns=since))[:4] == b"%03d\n" % first
    assert data_of(node.followed(until="now", since_ns=2001)) == b""
    assert data_of(node.followed(until="now", since_ns=100, tail_lines=2)) == b"199\n200\n"


def test_a_gap_is_told_in_place_of_its_bytes(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.send(stream, 0, b"before")
    node.ingest(gap_frame(stream, 6, 1_000_006), frame(stream, 1_000_006, b"after"))
    events = node.followed(until="now")
    assert values(events, "gap") == [{"stream": stream, "offset": 6, "length": 1_000_000}]
    assert [base64.b64decode(one["data"]) for one in values(events, "data")] == [b"before", b"after"]
    (gap,) = (event for event in events if event.name == "gap")
    assert [event.name for event in node.followed(last_id=gap.id, until="now")] == ["open", "status", "data", "end"]


def test_a_superseded_file_is_sent_whole_before_the_next_generation(collector: CollectorProcess) -> None:
    node = Node(collector)
    old = node.open_one("logs/x.txt")
    node.send(old, 0, b"old")
    with node.follow() as events:
        seen = until_bytes(events, 3)
        new = node.open_one("logs/x.txt", generation=1)
        seen += until(events, "open")
        node.send(new, 0, b"new")
        seen += until(events, "data")
    assert [(event.name, json.loads(event.data)["stream"]) for event in seen if event.name != "status"] == [
        ("open", old),
        ("data", old),
        ("superseded", old),
        ("open", new),
        ("data", new),
    ]
    assert values(seen, "superseded") == [{"stream": old, "generation": 1}]
    # Whoever had a part of the old one gets its rest first.
    node.complete()
    resumed = node.followed(last_id=f";{old}:1")
    assert [event.name for event in resumed if event.name != "status"] == ["open", "data", "superseded", "open", "data", "end"]
    assert data_of(resumed) == b"ldnew"
    # Whoever starts now gets the file as it is, and the earlier generation under its own path.
    assert data_of(node.followed()) == b"new"
    assert data_of(node.followed(file="logs/x.txt.~0~")) == b"old"
    assert data_of(node.followed(file="logs/x.txt")) == b"new"


def test_a_silent_node_is_shown_and_comes_back(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__LOST_CONTACT_S": "1"}) as collector:
        node = Node(collector)
        stream = node.open_one()
        node.put_state("Running")
        with node.follow() as events:
            assert values(until(events, "status"), "status") == [{"status": "Running"}]
            assert values(until(events, "status"), "status") == [{"status": "NotResponding"}]
            assert node.run()["status"] == "NotResponding"
            listed = node.client.json("GET", "/runs", params={"status": "NotResponding"})["runs"]
            assert [run["run_id"] for run in listed] == [node.run_id]
            assert node.client.json("GET", "/runs", params={"status": "Running"})["runs"] == []
            node.ingest(streams=[stream])
            assert node.run()["status"] == "Running"
            assert values(until(events, "status"), "status") == [{"status": "Running"}]
            node.complete()
            until(events, "end")


def test_a_comment_comes_when_nothing_else_does(collector: CollectorProcess) -> None:
    node = Node(collector)
    client = collector.client(timeout_s=20)
    with client.stream("GET", f"/runs/{node.run_id}/follow") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        data = b""
        while not data.endswith(b": still here\n\n"):
            data += client.read(response, 4096)


def test_a_slow_follower_costs_no_memory(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    piece = bytes(1 << 20)
    node.send(stream, 0, piece)
    host, _, port = collector.url.removeprefix("http://").partition(":")
    request = f"GET /api/v1/runs/{node.run_id}/follow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {collector.token}\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(20):
            peer = stack.enter_context(socket.create_connection((host, int(port))))
            peer.sendall(request.encode())
        wait_for(lambda: b"runyard_followers 20.0" in call(collector, "GET", "/metrics").data, "twenty followers")
        process = psutil.Process(collector.pid)
        before = process.memory_info().rss
        for number in range(1, 120):
            node.send(stream, number << 20, piece)
        assert process.memory_info().rss - before < 40e6
    wait_for(lambda: b"runyard_followers 0.0" in call(collector, "GET", "/metrics").data, "that they have left", limit_s=20)


def test_a_wrong_cursor_or_an_unknown_run_is_refused(collector: CollectorProcess) -> None:
    node = Node(collector)
    for last_id in ("nonsense", "1;2", ";1:x", ";" + "9" * 30 + ":1"):
        with pytest.raises(CollectorRefused) as refused:
            node.followed(last_id=last_id)
        assert (refused.value.status, refused.value.code) == (400, "invalid")
    with pytest.raises(CollectorError, match="there is no run"):
        node.client.stream("GET", "/runs/nothing/follow").__enter__()
