"""A full disk is said so, nothing that was acknowledged is lost, and all goes on when there is room again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from runyard.errors import CollectorBusy
from tests.collector.node import LOG, Node, call, data_of, frame
from tests.collector.small_disk import DISK_BYTES, fill
from tests.collector_process import CollectorProcess


def _fill_database(node: Node) -> None:
    for _ in range(200):
        node.put_state("Running", cause="x" * 4000)


@pytest.mark.needs_system("mount")
def test_a_full_disk_refuses_and_recovers(full_collector: CollectorProcess, small_disk: Path) -> None:
    (small_disk / "other").write_bytes(bytes(4 << 20))  # what somebody else may delete later
    node = Node(full_collector)
    stream = node.open_one()
    data = random.Random(6).randbytes(DISK_BYTES)
    durable = offset = 0
    while True:
        answer = node.ingest(frame(stream, offset, data[offset : offset + 900_000]), sync=True)
        if answer.status != 200:
            break
        offset, durable = answer.json["acks"][0]["offset"], answer.json["acks"][0]["durable"]
        assert durable == offset
    assert (answer.status, answer.json["code"]) == (507, "disk-full")
    assert float(answer.headers["Retry-After"]) > 0
    offset = answer.json["acks"][0]["offset"]
    assert offset >= durable > DISK_BYTES // 2
    assert node.on_disk(LOG) == data[:offset]

    fill(small_disk)
    assert call(full_collector, "GET", "/livez", token="").status == 200
    assert call(full_collector, "GET", "/readyz").status == 503
    assert call(full_collector, "GET", "/readyz").json["checks"]["disk"] == "the disk is full"
    # What needs the database is refused as well, once its log has no room; reading goes on.
    with pytest.raises(CollectorBusy) as refused:
        _fill_database(node)
    assert (refused.value.status, refused.value.code) == (507, "disk-full")
    assert data_of(node.followed(until="now", file=LOG)) == data[:offset]

    full_collector.kill()
    (small_disk / "other").unlink()
    full_collector.restart()
    assert node.open(LOG)[0]["offset"] == offset
    node.put_state("Running")
    assert node.run()["status"] == "Running"
    assert node.send(stream, offset, data[offset : offset + 1000], sync=True)["durable"] == offset + 1000


@pytest.mark.needs_system("mount")
def test_room_that_comes_back_is_used_without_a_restart(full_collector: CollectorProcess, small_disk: Path) -> None:
    node = Node(full_collector)
    first, second = (one["id"] for one in node.open(LOG, "logs/b.txt"))
    node.send(first, 0, b"abc", sync=True)
    ballast = fill(small_disk)
    answer = node.ingest(frame(second, 0, bytes(20_000)), sync=True)
    assert (answer.status, answer.json["code"]) == (507, "disk-full")
    written = {ack["id"]: ack["offset"] for ack in answer.json["acks"]}.get(second, 0)
    with pytest.raises(CollectorBusy) as refused:
        node.open(*[f"outputs/{number}/{number}.bin" for number in range(500)])
    assert (refused.value.status, refused.value.code) == (507, "disk-full")
    ballast.unlink()
    answer = node.ingest(frame(second, written, bytes(20_000 - written)), frame(first, 3, b"def"), sync=True)
    assert {ack["id"]: ack["durable"] for ack in answer.json["acks"]} == {first: 6, second: 20_000}
    assert len(node.open(*[f"outputs/{number}/{number}.bin" for number in range(500)])) == 500
    assert node.on_disk("logs/b.txt") == bytes(20_000)
