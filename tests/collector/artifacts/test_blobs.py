"""Blobs are kept once under their digest; an upload that breaks off goes on where it was, whoever was killed."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.collector.node import Node, call, sha256
from tests.collector.small_disk import DISK_BYTES, fill
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

from .uploads import BYTES, begin, come, get_file, put_blob, put_file


@pytest.fixture
def data() -> bytes:
    """A blob of this test's own."""
    return random.randbytes(400_000)


def on_disk(collector: CollectorProcess) -> set[str]:
    root = collector.data_dir / "blobs"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_an_upload_goes_on_where_it_was(collector: CollectorProcess, data: bytes) -> None:
    assert come(collector, data) == (0, False)
    first = put_blob(collector, data[:100_000], whole=data)
    assert (first.status, first.json) == (202, {"sha256": sha256(data), "bytes": 100_000, "is_whole": False})
    assert come(collector, data) == (100_000, False)
    wrong = put_blob(collector, data[99_999:], offset=99_999, whole=data)
    assert (wrong.status, wrong.json["code"], wrong.json["offset"]) == (409, "offset", 100_000)
    last = put_blob(collector, data[100_000:], offset=100_000, whole=data)
    assert (last.status, last.json) == (201, {"sha256": sha256(data), "bytes": len(data), "is_whole": True})
    assert come(collector, data) == (len(data), True)
    assert put_blob(collector, data).status == 200


def test_a_blob_without_a_length_ends_with_its_body(collector: CollectorProcess, data: bytes) -> None:
    assert call(collector, "PUT", f"/api/v1/blobs/{sha256(data)}", data, headers=BYTES).status == 201
    assert call(collector, "PUT", f"/api/v1/blobs/{sha256(b'')}", b"", headers=BYTES).status in (200, 201)
    assert come(collector, b"") == (0, True)


def test_a_connection_that_breaks_loses_nothing_that_came(collector: CollectorProcess, data: bytes) -> None:
    with closing(begin(collector, data, data[:300_000])):
        wait_for(lambda: come(collector, data)[0] == 300_000, "what was sent has come")
    assert come(collector, data) == (300_000, False)
    assert put_blob(collector, data[300_000:], offset=300_000, whole=data).status == 201


def test_a_kill_of_the_collector_in_an_upload_loses_nothing_that_was_acknowledged(tmp_path: Path, data: bytes) -> None:
    with running_collector(tmp_path) as collector:
        node = Node(collector)
        with closing(begin(collector, data, data[:250_000])):
            wait_for(lambda: come(collector, data)[0] > 0, "some has come")
            acknowledged = come(collector, data)[0]
            collector.kill()
        collector.start()
        there, is_whole = come(collector, data)
        assert (there >= acknowledged, is_whole) == (True, False)
        assert put_blob(collector, data[there:], offset=there, whole=data).status == 201
        put_file(node, "m.bin", data)
        assert get_file(node, "m.bin").data == data
        assert on_disk(collector) == {sha256(data)}


def test_a_kill_between_the_bytes_and_their_row_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    with running_collector(tmp_path) as collector:
        put_blob(collector, data)
        put_blob(collector, data[:5], whole=data + b"more")
        collector.kill()
        with closing(sqlite3.connect(collector.data_dir / "collector.sqlite3")) as catalog, catalog:
            catalog.execute("DELETE FROM blobs")
        collector.start()
        assert on_disk(collector) == {name for name in on_disk(collector) if name.startswith("partial/")}
        assert come(collector, data) == (0, False)
        assert come(collector, data + b"more") == (5, False)


def test_what_nobody_goes_on_with_for_a_day_is_removed(tmp_path: Path, data: bytes) -> None:
    with running_collector(tmp_path) as collector:
        put_blob(collector, data[:5], whole=data)
        (partial,) = (collector.data_dir / "blobs" / "partial").iterdir()
        old_s = time.time() - 86500
        os.utime(partial, (old_s, old_s))
        collector.restart()
        assert come(collector, data) == (0, False)


def test_a_wrong_digest_keeps_nothing(collector: CollectorProcess, data: bytes) -> None:
    wrong = data[:-1] + bytes([data[-1] ^ 1])
    answer = call(collector, "PUT", f"/api/v1/blobs/{sha256(data)}?size_bytes={len(data)}", wrong, headers=BYTES)
    assert (answer.status, answer.json["code"]) == (400, "mismatch")
    assert come(collector, data) == (0, False)
    assert put_blob(collector, data).status == 201


def test_the_same_bytes_by_two_at_once_are_kept_once(tmp_path: Path, data: bytes) -> None:
    with running_collector(tmp_path) as collector:
        other = call(collector, "POST", "/api/v1/tokens", {"kind": "user", "subject": "ann"}).json["token"]
        with closing(begin(collector, data, data[:200_000])) as connection:
            wait_for(lambda: come(collector, data)[0] == 200_000, "one has begun")
            assert come(collector, data, token=other) == (0, False)  # nobody goes on with another's upload
            assert put_blob(collector, data, token=other).status == 201
            connection.send(data[200_000:])
            assert connection.getresponse().status == 200
        assert on_disk(collector) == {sha256(data)}


def test_who_begins_again_takes_over_from_a_connection_that_hangs(collector: CollectorProcess, data: bytes) -> None:
    with closing(begin(collector, data, data[:200_000])) as hanging:
        wait_for(lambda: come(collector, data)[0] == 200_000, "it has begun")
        with closing(begin(collector, data, data[200_000:300_000], offset=200_000)) as second:
            wait_for(lambda: come(collector, data)[0] == 300_000, "the second goes on")
            hanging.send(data[200_000:])
            answer = hanging.getresponse()
            assert (answer.status, b"taken-over" in answer.read()) == (409, True)
            second.send(data[300_000:])
            assert second.getresponse().status == 201
    assert come(collector, data) == (len(data), True)


def test_many_uploads_of_one_blob_at_once_end_well(collector: CollectorProcess, data: bytes) -> None:
    statuses: list[int] = []
    tokens = [call(collector, "POST", "/api/v1/tokens", {"kind": "user", "subject": "x"}).json["token"] for _ in range(6)]
    threads = [
        threading.Thread(target=lambda token=token: statuses.append(put_blob(collector, data, token=token).status))
        for token in tokens
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 201}
    assert statuses.count(201) == 1


def test_what_is_no_blob_is_refused_with_a_sentence(collector: CollectorProcess, data: bytes) -> None:
    assert call(collector, "PUT", "/api/v1/blobs/abc", b"x", headers=BYTES).json["code"] == "invalid"
    assert call(collector, "PUT", f"/api/v1/blobs/{sha256(data)}", b"x", headers={"Content-Type": "text/plain"}).status == 415
    assert call(collector, "PUT", f"/api/v1/blobs/{sha256(data)}?offset=-1", b"x", headers=BYTES).status == 400


@pytest.mark.needs_system("mount")
def test_a_full_disk_is_told_and_the_upload_goes_on_when_there_is_room(
    full_collector: CollectorProcess, small_disk: Path
) -> None:
    data = random.randbytes(DISK_BYTES // 3)
    ballast = fill(small_disk)
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - DISK_BYTES // 6)
    full = put_blob(full_collector, data)
    assert (full.status, full.json["code"]) == (507, "disk-full")
    with ballast.open("r+b") as file:
        file.truncate(0)
    there, _ = come(full_collector, data)
    assert there > 0
    assert put_blob(full_collector, data[there:], offset=there, whole=data).status == 201
