"""Code snapshots are kept once under their digest, streamed both ways; what is broken, too large or cut off leaves nothing."""

from __future__ import annotations

import hashlib
import http.client
import io
import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorRefused
from tests.agent.ship.test_tls import tls_front
from tests.collector.node import Answer, Node, call, sha256
from tests.collector.small_disk import DISK_BYTES, fill
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

TAR = "application/x-tar"


def put(collector: CollectorProcess, snapshot_id: str, data: bytes, content_type: str = TAR) -> Answer:
    return call(collector, "PUT", f"/api/v1/snapshots/{snapshot_id}", data, headers={"Content-Type": content_type})


def get(collector: CollectorProcess, snapshot_id: str, method: str = "GET", **headers: str) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return call(collector, method, f"/api/v1/snapshots/{snapshot_id}", headers=sent)


def kept(collector: CollectorProcess) -> set[str]:
    """What lies in the snapshots' folder, below it, too."""
    root = collector.data_dir / "snapshots"
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def counted(collector: CollectorProcess) -> tuple[float, float]:
    """Uploads and bytes, as the metrics tell them."""
    lines = call(collector, "GET", "/metrics").data.decode().splitlines()
    found = {line.partition(" ")[0]: float(line.partition(" ")[2]) for line in lines if not line.startswith("#")}
    return found["runyard_snapshot_uploads_total"], found["runyard_snapshot_bytes_total"]


def begin_upload(collector: CollectorProcess, snapshot_id: str, length: int) -> http.client.HTTPConnection:
    """An upload whose body has not come yet."""
    connection = http.client.HTTPConnection(collector.url.removeprefix("http://"), timeout=20)
    connection.putrequest("PUT", f"/api/v1/snapshots/{snapshot_id}")
    for name, value in (("Authorization", f"Bearer {collector.token}"), ("Content-Type", TAR), ("Content-Length", length)):
        connection.putheader(name, str(value))
    connection.endheaders()
    return connection


@pytest.fixture
def data() -> bytes:
    """A snapshot of this test's own."""
    return random.randbytes(300_000)


def test_a_snapshot_is_kept_and_given_back_over_a_restart(collector: CollectorProcess, data: bytes) -> None:
    snapshot_id = sha256(data)
    missing = get(collector, snapshot_id)
    assert (missing.status, missing.json["code"]) == (404, "no-such-snapshot")
    assert get(collector, snapshot_id, "HEAD").status == 404
    made = put(collector, snapshot_id, data)
    assert (made.status, made.json["id"], made.json["size_bytes"]) == (201, snapshot_id, len(data))
    collector.kill()
    collector.restart()
    head, found = get(collector, snapshot_id, "HEAD"), get(collector, snapshot_id)
    assert (head.status, head.data, found.status, found.data) == (200, b"", 200, data)
    for answer in (head, found):
        assert answer.headers["Content-Length"] == str(len(data))
        assert answer.headers["ETag"] == f'"{snapshot_id}"'
        assert answer.headers["Content-Type"] == TAR
    part = get(collector, snapshot_id, Range="bytes=299990-")
    assert (part.status, part.data) == (206, data[299_990:])
    assert get(collector, snapshot_id, If_None_Match=f'"{snapshot_id}"').status == 304


def test_an_empty_snapshot_is_one(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        assert put(collector, sha256(b""), b"").status == 201
        assert get(collector, sha256(b"")).data == b""


def test_a_snapshot_that_is_known_is_received_zero_times(collector: CollectorProcess, data: bytes) -> None:
    before = counted(collector)
    assert put(collector, sha256(data), data).status == 201
    once = counted(collector)
    assert (once[0] - before[0], once[1] - before[1]) == (1, len(data))
    again = put(collector, sha256(data), data)
    assert (again.status, again.json["id"]) == (200, sha256(data))
    assert counted(collector) == once


def test_the_answer_to_a_known_snapshot_does_not_wait_for_its_body(collector: CollectorProcess, data: bytes) -> None:
    assert put(collector, sha256(data), data).status == 201
    with closing(begin_upload(collector, sha256(data), len(data))) as connection:
        assert connection.getresponse().status == 200


def test_a_chunked_body_is_taken(collector: CollectorProcess, data: bytes) -> None:
    connection = http.client.HTTPConnection(collector.url.removeprefix("http://"), timeout=20)
    headers = {"Authorization": f"Bearer {collector.token}", "Content-Type": TAR}
    pieces = (data[start : start + 7777] for start in range(0, len(data), 7777))
    with closing(connection):
        connection.request("PUT", f"/api/v1/snapshots/{sha256(data)}", body=pieces, headers=headers, encode_chunked=True)
        assert connection.getresponse().status == 201
    assert get(collector, sha256(data)).data == data


def test_bytes_with_another_digest_are_refused_and_not_kept(collector: CollectorProcess, data: bytes) -> None:
    before = kept(collector)
    answer = put(collector, sha256(data), data[:-1] + b"!")
    assert (answer.status, answer.json["code"]) == (400, "mismatch")
    assert sha256(data[:-1] + b"!") in answer.json["detail"]
    assert get(collector, sha256(data)).status == 404
    assert kept(collector) == before
    assert put(collector, sha256(data), data).status == 201


@pytest.mark.parametrize("snapshot_id", ["x", "A" * 64, "0" * 63, "0" * 65, "..%2F" + "0" * 61])
def test_an_id_that_is_no_digest_is_refused(collector: CollectorProcess, snapshot_id: str) -> None:
    for answer in (put(collector, snapshot_id, b"x"), get(collector, snapshot_id)):
        assert (answer.status, answer.json["code"]) == (400, "invalid")


def test_a_body_of_another_type_is_refused(collector: CollectorProcess, data: bytes) -> None:
    assert put(collector, sha256(data), data, "application/zip").status == 415


def test_what_is_too_large_is_refused_with_and_without_a_length(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__MAX_SNAPSHOT_BYTES": "100000"}) as collector:
        data = bytes(100_001)
        with closing(begin_upload(collector, sha256(data), len(data))) as connection:
            answer = Answer(connection.getresponse())
        assert (answer.status, answer.json["code"]) == (413, "too-large")
        assert "100000 bytes" in answer.json["detail"]
        headers = {"Authorization": f"Bearer {collector.token}", "Content-Type": TAR}
        connection = http.client.HTTPConnection(collector.url.removeprefix("http://"), timeout=20)
        with closing(connection):
            target = f"/api/v1/snapshots/{sha256(data)}"
            connection.request("PUT", target, body=iter([data[:60_000], data[60_000:]]), headers=headers, encode_chunked=True)
            assert connection.getresponse().status == 413
        assert kept(collector) == set()
        assert put(collector, sha256(data[:-1]), data[:-1]).status == 201


def test_an_upload_that_breaks_off_leaves_nothing(collector: CollectorProcess, data: bytes) -> None:
    before = kept(collector)
    with closing(begin_upload(collector, sha256(data), len(data))) as connection:
        connection.send(data[:200_000])
        wait_for(lambda: len(kept(collector)) > len(before), "that the upload has begun")
        assert get(collector, sha256(data)).status == 404
    wait_for(lambda: kept(collector) == before, "that what came is gone")
    assert put(collector, sha256(data), data).status == 201


def test_a_kill_in_the_middle_of_an_upload_leaves_nothing_that_counts(collector: CollectorProcess, data: bytes) -> None:
    before = kept(collector)
    with closing(begin_upload(collector, sha256(data), len(data))) as connection:
        connection.send(data[:200_000])
        wait_for(lambda: len(kept(collector)) > len(before), "that the upload has begun")
        collector.kill()
    collector.restart()
    assert kept(collector) == before
    assert get(collector, sha256(data)).status == 404
    assert put(collector, sha256(data), data).status == 201


def test_an_upload_that_stands_still_does_not_keep_the_collector_from_stopping(tmp_path: Path, data: bytes) -> None:
    with running_collector(tmp_path) as collector:
        with closing(begin_upload(collector, sha256(data), len(data))) as connection:
            connection.send(data[:200_000])
            wait_for(lambda: kept(collector), "that the upload has begun")
            assert collector.stop() == 0
        assert kept(collector) == set()
        collector.start()
        assert get(collector, sha256(data)).status == 404


def test_bytes_without_a_row_are_not_known_and_are_replaced(collector: CollectorProcess, data: bytes) -> None:
    """The kill came between the two last steps."""
    (collector.data_dir / "snapshots").mkdir(exist_ok=True)
    (collector.data_dir / "snapshots" / sha256(data)).write_bytes(b"whatever it was")
    assert get(collector, sha256(data)).status == 404
    assert put(collector, sha256(data), data).status == 201
    assert get(collector, sha256(data)).data == data


def test_a_row_without_its_bytes_is_not_known_and_they_are_taken_again(collector: CollectorProcess, data: bytes) -> None:
    assert put(collector, sha256(data), data).status == 201
    (collector.data_dir / "snapshots" / sha256(data)).unlink()
    assert get(collector, sha256(data), "HEAD").status == 404
    assert put(collector, sha256(data), data).status == 201
    assert get(collector, sha256(data)).data == data


def test_many_uploads_of_one_snapshot_at_once_keep_it_once(collector: CollectorProcess, data: bytes) -> None:
    before = kept(collector)
    wrong = data[:-1] + b"!"
    bodies = [data, wrong] * 4
    connections = [begin_upload(collector, sha256(data), len(data)) for _ in bodies]
    for connection, body in zip(connections, bodies, strict=True):
        connection.send(body[:150_000])
    wait_for(lambda: len(kept(collector)) == len(before) + len(bodies), "that all have begun")
    statuses: list[int] = []

    def finish(connection: http.client.HTTPConnection, body: bytes) -> None:
        with closing(connection):
            connection.send(body[150_000:])
            statuses.append(connection.getresponse().status)

    threads = [threading.Thread(target=finish, args=pair) for pair in zip(connections, bodies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 200, 200, 201, 400, 400, 400, 400]
    assert kept(collector) == before | {sha256(data)}
    assert get(collector, sha256(data)).data == data


def test_too_many_uploads_at_once_are_told_to_come_back(tmp_path: Path, data: bytes) -> None:
    with running_collector(tmp_path) as collector:
        connections = [begin_upload(collector, sha256(data), len(data)) for _ in range(64)]
        wait_for(lambda: len(kept(collector)) == 64, "that all have begun")
        answer = put(collector, sha256(data), data)
        assert (answer.status, answer.json["code"]) == (503, "busy")
        assert float(answer.headers["Retry-After"]) > 0
        for connection in connections:
            connection.close()
        wait_for(lambda: kept(collector) == set(), "that all are gone")
        assert put(collector, sha256(data), data).status == 201


class Zeros:
    """A file of NUL bytes that takes no memory."""

    def read(self, size: int) -> bytes:
        return bytes(size)


def test_a_large_snapshot_costs_no_memory_on_the_way_in_or_out(tmp_path: Path) -> None:
    size = 200 << 20
    digest = hashlib.sha256()
    for _ in range(200):
        digest.update(bytes(1 << 20))
    with running_collector(tmp_path) as collector:
        client = collector.client(timeout_s=60)
        process = psutil.Process(collector.pid)
        before = process.memory_info().rss
        file: object = Zeros()
        answer = client.upload(f"/snapshots/{digest.hexdigest()}", file, size, content_type=TAR)  # type: ignore[arg-type]
        assert answer["size_bytes"] == size
        assert process.memory_info().rss - before < 40e6
        with client.stream("GET", f"/snapshots/{digest.hexdigest()}") as response:
            assert sum(len(data) for data in _pieces(client, response)) == size
        assert process.memory_info().rss - before < 40e6


def _pieces(client: CollectorClient, response: http.client.HTTPResponse) -> Iterator[bytes]:
    while data := client.read(response, 1 << 20):
        yield data


def test_ingest_goes_on_beside_an_upload_that_stands_still(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    stream = node.open_one()
    with closing(begin_upload(collector, sha256(data), len(data))) as connection:
        connection.send(data[:100_000])
        assert node.send(stream, 0, b"abc", sync=True)["durable"] == 3
        connection.send(data[100_000:])
        assert connection.getresponse().status == 201


def test_the_client_takes_the_answer_that_comes_before_its_body_is_sent(collector: CollectorProcess, tmp_path: Path) -> None:
    data = bytes(8 << 20)
    path = tmp_path / "code.tar"
    path.write_bytes(data)
    client = collector.client(timeout_s=30)
    for _ in range(2):
        with path.open("rb") as file:
            assert client.upload(f"/snapshots/{sha256(data)}", file, len(data), content_type=TAR)["size_bytes"] == len(data)
    with path.open("rb") as file, pytest.raises(CollectorRefused) as refused:
        client.upload(f"/snapshots/{'0' * 64}", file, 2 << 30, content_type=TAR)
    assert (refused.value.status, refused.value.code) == (413, "too-large")


@pytest.mark.needs_system("openssl")
def test_a_snapshot_comes_over_tls_as_it_is(
    collector: CollectorProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = random.randbytes(3 << 20)
    with tls_front(collector, tmp_path) as (url, certificate):
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with closing(CollectorClient(url, collector.token, timeout_s=30)) as client:
            client.upload(f"/snapshots/{sha256(data)}", io.BytesIO(data), len(data), content_type=TAR)
    assert get(collector, sha256(data)).data == data


def test_a_snapshot_that_the_catalog_cannot_take_leaves_nothing(tmp_path: Path, data: bytes) -> None:
    with (
        running_collector(tmp_path) as collector,
        closing(sqlite3.connect(collector.data_dir / "collector.sqlite3")) as catalog,
    ):
        catalog.execute("CREATE TRIGGER refuse BEFORE INSERT ON snapshots BEGIN SELECT RAISE(ABORT, 'not now'); END")
        answer = put(collector, sha256(data), data)
        assert (answer.status, answer.json["code"]) == (503, "database")
        assert kept(collector) == set()
        catalog.execute("DROP TRIGGER refuse")
        assert put(collector, sha256(data), data).status == 201


@pytest.mark.needs_system("mount")
def test_a_full_disk_is_told_and_what_came_makes_room_again(full_collector: CollectorProcess, small_disk: Path) -> None:
    data = random.randbytes(DISK_BYTES * 2 // 3)
    ballast = fill(small_disk)
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - DISK_BYTES // 3)
    with pytest.raises(CollectorBusy) as refused:
        _upload(full_collector, data)
    assert (refused.value.status, refused.value.code) == (507, "disk-full")
    assert kept(full_collector) == set()
    with ballast.open("r+b") as file:
        file.truncate(0)
    assert _upload(full_collector, data)["size_bytes"] == len(data)
    assert get(full_collector, sha256(data)).data == data


def _upload(collector: CollectorProcess, data: bytes) -> dict[str, int]:
    made: dict[str, int] = collector.client().upload(
        f"/snapshots/{sha256(data)}", io.BytesIO(data), len(data), content_type=TAR
    )
    return made
