"""What a node sends arrives byte for byte, exactly once, whatever is sent again, cut off or wrong."""

from __future__ import annotations

import http.client
import json
import random
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from runyard import wire
from tests.collector.node import LOG, Answer, Node, call, data_of, frame, gap_frame
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

FRAMES = {"Content-Type": "application/vnd.runyard.frames"}


def test_a_run_goes_from_creation_to_its_end(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    assert node.send(stream, 0, b"hello\n", sync=True) == {"id": stream, "offset": 6, "durable": 6}
    node.put_state("Running", started_ns=1)
    assert node.seal(stream, b"hello\n")["result"] == "sealed"
    node.complete()
    events = node.followed()
    assert [event.name for event in events] == ["open", "status", "data", "end"]
    assert data_of(events) == b"hello\n"
    assert json.loads(events[-1].data) == {"status": "Completed", "exit_code": 0}
    assert node.file(LOG).data == b"hello\n"
    assert node.on_disk(LOG) == b"hello\n"


def test_ten_megabytes_of_hostile_bytes_are_identical(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    chosen = random.Random(7)
    parts = [
        b"\0" * 999,
        b"\r",
        b"\r\n",
        b"\xff\xfe\x80",
        b"\x1b[31m",
        b"a" * 100_000,
        b"\n",
        wire.MAGIC * 20,
        chosen.randbytes(70_001),
    ]
    data = b"".join(chosen.choice(parts) for _ in range(1000))[: 10 << 20]
    assert len(data) == 10 << 20
    sent = 0
    while sent < len(data):
        pieces = [chosen.choice((1, 27, 28, 29, 4096, 262_143, 262_145, 1_000_000)) for _ in range(5)]
        body = b""
        for size in pieces:
            body += frame(stream, sent, data[sent : sent + size])
            sent += len(data[sent : sent + size])
        assert node.ingest(body).status == 200
    assert node.on_disk(LOG) == data
    assert node.file(LOG).data == data
    assert data_of(node.followed(until="now")) == data


def test_one_request_carries_frames_of_many_streams(collector: CollectorProcess) -> None:
    node = Node(collector)
    ids = [one["id"] for one in node.open(*[f"logs/{n}.txt" for n in range(50)])]
    answer = node.ingest(*[frame(stream, 0, b"%d\n" % stream) for stream in ids], *[frame(stream, 0, b"") for stream in ids])
    assert [ack["id"] for ack in answer.json["acks"]] == ids
    assert all(node.on_disk(f"logs/{n}.txt") == b"%d\n" % stream for n, stream in enumerate(ids))


def test_sending_again_is_harmless(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.send(stream, 0, b"0123456789")
    assert node.send(stream, 0, b"0123456789")["offset"] == 10
    assert node.send(stream, 4, b"456789abc")["offset"] == 13
    assert node.send(stream, 2, b"XX")["offset"] == 13
    assert node.on_disk(LOG) == b"0123456789abc"


def test_a_frame_from_the_future_is_refused_with_the_offset_that_is_expected(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream, other = (one["id"] for one in node.open(LOG, "logs/other.txt"))
    answer = node.ingest(frame(other, 0, b"kept"), frame(stream, 0, b"abc"), frame(stream, 4, b"e"), frame(other, 4, b"lost"))
    assert (answer.status, answer.json["code"]) == (409, "gap")
    assert (answer.json["stream"], answer.json["expected"]) == (stream, 3)
    assert {ack["id"]: ack["offset"] for ack in answer.json["acks"]} == {other: 4, stream: 3}
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert node.on_disk(LOG) == b"abc"


def test_a_torn_body_keeps_what_came_before(collector: CollectorProcess) -> None:
    node = Node(collector)
    header = wire.HEADER_BYTES
    for cut, kept in ((10, 0), (header, 0), (header + 2, 2), (header + 10, 6), (2 * header + 7, 7), (2 * header + 12, 12)):
        name = f"logs/{cut}.txt"
        stream = node.open_one(name)
        answer = node.ingest((frame(stream, 0, b"first\n") + frame(stream, 6, b"second\n"))[:cut])
        assert (answer.status, answer.json["code"]) == (400, "torn")
        assert [ack["offset"] for ack in answer.json["acks"]] == ([kept] if kept else [])
        assert node.on_disk(name) == b"first\nsecond\n"[:kept]
        node.send(stream, 0, b"first\nsecond\n")
        assert node.on_disk(name) == b"first\nsecond\n"


def test_a_connection_that_breaks_in_a_frame_keeps_what_came_before(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    host, _, port = collector.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as peer:
        head = f"POST /api/v1/ingest HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {node.run_token}\r\n"
        head += "Content-Type: application/vnd.runyard.frames\r\nContent-Length: 100000\r\n\r\n"
        peer.sendall(head.encode() + frame(stream, 0, b"abc") + frame(stream, 3, b"x" * 1000)[:50])
        wait_for(lambda: len(node.on_disk(LOG)) == 3 + 22, "the bytes that were sent")
    assert node.send(stream, 25, b"on")["offset"] == 27


def test_a_corrupt_header_is_refused_and_writes_nothing(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    good = frame(stream, 0, b"good")
    for position in range(wire.HEADER_BYTES):
        bad = bytearray(frame(stream, 4, b"evil"))
        bad[position] ^= 0x40
        answer = node.ingest(good, bytes(bad))
        assert (answer.status, answer.json["code"]) == (400, "corrupt"), position
        assert answer.json["acks"] == [{"id": stream, "offset": 4, "durable": answer.json["acks"][0]["durable"]}]
    assert node.on_disk(LOG) == b"good"


def test_too_large_a_body_is_refused(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__MAX_BATCH_BYTES": "65536"}) as collector:
        node = Node(collector)
        stream = node.open_one()
        answer = node.ingest(frame(stream, 0, b"x" * 70_000))
        assert (answer.status, answer.json["code"]) == (413, "too-large")
        # Without a length the collector finds out as it reads; what came before the limit is kept.
        chunks = iter([frame(stream, 0, b"y" * 60_000), frame(stream, 60_000, b"z" * 60_000)])
        answer = _chunked(node, chunks)
        assert (answer.status, answer.json["code"]) == (413, "too-large")
        assert node.send(stream, answer.json["acks"][0]["offset"], b"on")["offset"] >= 60_002


def _chunked(node: Node, chunks: Iterator[bytes]) -> Answer:
    connection = http.client.HTTPConnection(node.collector.url.removeprefix("http://"), timeout=20)
    headers = {"Authorization": f"Bearer {node.run_token}"} | FRAMES
    connection.request("POST", "/api/v1/ingest", body=chunks, headers=headers, encode_chunked=True)
    try:
        return Answer(connection.getresponse())
    finally:
        connection.close()


def test_a_chunked_body_is_taken(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    whole = frame(stream, 0, b"first\n") + frame(stream, 6, b"second\n")
    answer = _chunked(node, iter([whole[position : position + 5] for position in range(0, len(whole), 5)]))
    assert answer.json["acks"][0]["offset"] == 13
    assert node.on_disk(LOG) == b"first\nsecond\n"


def test_streams_of_others_are_refused(collector: CollectorProcess) -> None:
    mine, theirs = Node(collector), Node(collector)
    stream = theirs.open_one()
    answer = mine.ingest(frame(stream, 0, b"evil"))
    assert (answer.status, answer.json["code"]) == (403, "not-yours")
    answer = mine.ingest(streams=[stream])
    assert (answer.status, answer.json["code"]) == (403, "not-yours")
    answer = mine.ingest(frame(4_000_000, 0, b"x"))
    assert (answer.status, answer.json["code"], answer.json["stream"]) == (404, "no-such-stream", 4_000_000)
    assert theirs.on_disk(LOG) == b""


def test_a_wrong_content_type_is_refused(collector: CollectorProcess) -> None:
    answer = call(collector, "POST", "/api/v1/ingest", b"x", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.json["code"]) == (415, "wrong-type")
    answer = call(collector, "POST", "/api/v1/ingest", b"x", headers=FRAMES | {"Content-Encoding": "gzip"})
    assert (answer.status, answer.json["code"]) == (415, "wrong-type")


def test_a_gap_reads_as_nul_and_is_listed(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.send(stream, 0, b"0123456789")
    answer = node.ingest(gap_frame(stream, 8, 12), frame(stream, 12, b"abc"))
    assert answer.json["acks"][0]["offset"] == 15
    assert node.on_disk(LOG) == b"01234567\0\0\0\0abc"
    assert node.ingest(gap_frame(stream, 8, 12)).status == 200
    (file,) = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    assert (file["gaps"], file["bytes"]) == ([[8, 12]], 15)
    answer = node.ingest(gap_frame(stream, 16, 20))
    assert (answer.status, answer.json["expected"]) == (409, 15)
    # Beyond what a file can hold: refused, and not marked either.
    answer = node.ingest(gap_frame(stream, 15, 2**63 - 1))
    assert (answer.status, answer.json["code"]) == (413, "too-large")
    collector.restart()
    (file,) = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    assert (file["gaps"], file["bytes"]) == ([[8, 12]], 15)
    assert node.seal(stream, b"01234567\0\0\0\0abc")["result"] == "sealed"
    (verified,) = node.client.json("GET", f"/runs/{node.run_id}/verify")["files"]
    assert verified["result"] == "gaps"


def test_sync_answers_when_all_is_durable(collector: CollectorProcess) -> None:
    node = Node(collector)
    first, second = (one["id"] for one in node.open("logs/a.txt", "logs/b.txt"))
    node.send(first, 0, b"abc")
    answer = node.ingest(frame(second, 0, b"xy"), sync=True, streams=[first])
    assert {ack["id"]: ack["durable"] for ack in answer.json["acks"]} == {first: 3, second: 2}
    # An empty body may ask, too.
    node.send(first, 3, b"def")
    assert node.ingest(sync=True, streams=[first]).json["acks"] == [{"id": first, "offset": 6, "durable": 6}]
    assert node.ingest().json["acks"] == []


def test_bytes_become_durable_without_being_asked_for(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.send(stream, 0, b"abc")
    wait_for(lambda: node.ingest(streams=[stream]).json["acks"][0]["durable"] == 3, "a commit by time")


def test_two_writers_of_one_stream_do_not_mix_their_bytes(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    data = random.Random(3).randbytes(3 << 20)

    def send_all(seed: int) -> None:
        chosen, offset = random.Random(seed), 0
        while offset < len(data):
            piece = data[offset : offset + chosen.randrange(1, 300_000)]
            offset = node.ingest(frame(stream, offset, piece)).json["acks"][0]["offset"]

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(send_all, seed) for seed in range(4)]:
            done.result()
    assert node.on_disk(LOG) == data


def test_a_name_that_is_not_utf8_keeps_its_bytes(collector: CollectorProcess) -> None:
    node = Node(collector)
    name = b"outputs/caf\xe9 \xff.txt".decode("utf-8", "surrogateescape")
    (opened,) = node.open(name)
    assert opened["name"] == name
    node.send(opened["id"], 0, b"x\n")
    assert node.on_disk(name) == b"x\n"
    (file,) = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    assert file["path"] == name
    assert node.file(name).data == b"x\n"
    assert json.loads(node.followed(until="now")[0].data)["path"] == name
