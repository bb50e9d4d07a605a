"""A run's files: what was uploaded and what its nodes have shipped, as one tree, whoever owns them."""

from __future__ import annotations

import json
import random
import time

import pytest

from runyard import names
from tests.collector.node import LOG, Node, call, sha256
from tests.collector_process import CollectorProcess

from .uploads import (
    all_files,
    archive,
    begin,
    delete_file,
    enter,
    folder,
    get_file,
    kept,
    put_blob,
    put_file,
    record,
    ship,
    unzipped,
)


@pytest.fixture
def data() -> bytes:
    """Bytes of this test's own."""
    return random.randbytes(100_000)


def blob_name(data: bytes) -> str:
    return f"{names.BLOBS_DIR}/{sha256(data)}"


@pytest.mark.row("C7")
def test_uploads_and_what_nodes_ship_are_listed_folder_by_folder(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    put_file(node, "outputs/model/weights.bin", data)
    put_file(node, "notes.txt", b"mine")
    ship(node, LOG, b"a line\n")
    ship(node, "outputs/model/config.json", b"{}", is_sealed=True)
    ship(node, names.index_of(LOG), b"i" * 32)
    top = folder(node)
    assert (top["folders"], [file["path"] for file in top["files"]]) == (["azureml-logs", "outputs"], ["notes.txt"])
    assert folder(node, "outputs")["folders"] == ["outputs/model"]
    assert folder(node, "outputs/")["folders"] == ["outputs/model"]
    config, weights = folder(node, "outputs/model")["files"]
    assert config == {
        "path": "outputs/model/config.json",
        "size_bytes": 2,
        "come_bytes": 2,
        "sha256": sha256(b"{}"),
        "modified_ms": config["modified_ms"],
        "node_id": node.node_id,
    }
    assert abs(config["modified_ms"] / 1000 - time.time()) < 60
    assert (weights["size_bytes"], weights["sha256"], weights["node_id"]) == (len(data), sha256(data), "")
    assert folder(node, "nothing/here") == {"path": "nothing/here", "folders": [], "files": []}
    assert list(all_files(node)) == [LOG, "notes.txt", "outputs/model/config.json", "outputs/model/weights.bin"]


def test_a_folder_is_listed_page_by_page(collector: CollectorProcess) -> None:
    node = Node(collector)
    for name in ("b", "d/x", "d/y", "a/z", "c"):
        put_file(node, name, b"x")
    found: list[tuple[list[str], list[str]]] = []
    token: str | None = None
    while len(found) < 9:
        page = folder(node, page_size=1, page_token=token)
        found.append((page["folders"], [file["path"] for file in page["files"]]))
        token = page.get("next_page_token")
        if token is None:
            break
    assert found == [(["a"], []), ([], ["b"]), ([], ["c"]), (["d"], [])]


def test_a_range_of_an_uploaded_file_is_read(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    put_file(node, "m.png", data)
    whole, part = get_file(node, "m.png"), get_file(node, "m.png", Range="bytes=10-19")
    assert (whole.status, whole.data, whole.headers["Content-Type"]) == (200, data, "image/png")
    assert (whole.headers["ETag"], whole.headers["X-Content-Type-Options"]) == (f'"{sha256(data)}"', "nosniff")
    assert (part.status, part.data) == (206, data[10:20])
    assert get_file(node, "m.png", If_None_Match=f'"{sha256(data)}"').status == 304
    assert get_file(node, "n.png").json["code"] == "no-such-file"


def test_an_upload_hides_what_a_node_has_shipped_until_it_is_taken_away(collector: CollectorProcess) -> None:
    node = Node(collector)
    ship(node, "outputs/x.txt", b"shipped")
    put_file(node, "outputs/x.txt", b"uploaded")
    assert get_file(node, "outputs/x.txt").data == b"uploaded"
    put_file(node, "outputs/x.txt", b"uploaded again")
    assert all_files(node)["outputs/x.txt"]["size_bytes"] == len(b"uploaded again")
    assert delete_file(node, "outputs/x.txt") == 204
    assert get_file(node, "outputs/x.txt").data == b"shipped"
    assert delete_file(node, "outputs/x.txt") == 404


def test_files_of_several_nodes_lie_in_the_nodes_folders(collector: CollectorProcess) -> None:
    first = Node(collector, ip="10.77.0.11", node_count=2)
    second = Node(collector, run_id=first.run_id, ip="10.77.0.12", create=False)
    second.run_token = first.run_token
    ship(first, "outputs/x.txt", b"first")
    ship(second, "outputs/x.txt", b"second")
    put_file(first, "outputs/x.txt", b"of the run")
    assert {"10.77.0.11", "10.77.0.12", "outputs"} <= set(folder(first)["folders"])
    assert get_file(first, "10.77.0.12/outputs/x.txt").data == b"second"
    assert get_file(first, "outputs/x.txt").data == b"of the run"


def test_a_file_whose_bytes_are_on_the_node_is_listed_and_read_when_all_have_come(
    collector: CollectorProcess, data: bytes
) -> None:
    node = Node(collector)
    record(node, kept("", "outputs/m.bin", data))
    assert all_files(node)["outputs/m.bin"]["come_bytes"] == 0
    stream = ship(node, blob_name(data), data[:60_000])
    file = all_files(node)["outputs/m.bin"]
    assert (file["come_bytes"], file["size_bytes"]) == (60_000, len(data))
    half = get_file(node, "outputs/m.bin")
    assert (half.status, half.json["code"]) == (503, "not-here-yet")
    assert "60000 of the 100000 bytes" in half.json["detail"]
    assert int(half.headers["Retry-After"]) > 0
    node.send(stream, 60_000, data[60_000:])
    assert get_file(node, "outputs/m.bin", Range="bytes=99990-").data == data[99_990:]


def test_bytes_that_never_came_are_told_as_lost(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    record(node, kept("", "m.bin", data))
    node.complete()
    assert (get_file(node, "m.bin").status, get_file(node, "m.bin").json["code"]) == (410, "lost")
    assert put_blob(collector, data, token=node.run_token).status == 201  # the run has the same bytes, and sends them itself
    assert get_file(node, "m.bin").data == data


def test_another_file_in_the_place_of_a_blob_is_none(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    record(node, kept("", "m.bin", data))
    wrong = bytes(len(data))
    ship(node, blob_name(data), wrong, is_sealed=True)
    assert get_file(node, "m.bin").status == 503


def test_children_have_files_of_their_own(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    child, now_ms = f"{node.run_id}_1", time.time_ns() // 10**6
    record(node, ["c", child, "", "first", "child", "u", now_ms], kept(child, "m.bin", data), kept("", "m.bin", b"parent's"))
    ship(node, blob_name(data), data)
    ship(node, blob_name(b"parent's"), b"parent's")
    assert get_file(node, "m.bin").data == b"parent's"
    assert call(collector, "GET", f"/api/v1/runs/{child}/artifacts/m.bin").data == data
    assert unzipped(call(collector, "GET", f"/api/v1/runs/{child}/archive").data) == {"m.bin": data}


def test_what_is_the_projects_own_shows_up_in_no_list(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    ship(node, LOG, b"a line\n", is_sealed=True)
    private = {names.index_of(LOG): b"i" * 32, blob_name(data): data, f"{names.TRACKING_DIR}/1-aa.jsonl": b"\n"}
    for name, content in private.items():
        ship(node, name, content, is_sealed=True)
    node.complete()
    listed = [file["path"] for file in node.client.json("GET", f"/runs/{node.run_id}/files")["files"]]
    assert listed == list(all_files(node)) == list(unzipped(archive(node).data)) == [LOG]
    followed = {json.loads(event.data)["path"] for event in node.followed() if event.name == "open"}
    assert followed == {LOG}
    verified = {file["path"] for file in node.client.json("GET", f"/runs/{node.run_id}/verify")["files"]}
    assert verified == {LOG, *private}
    asked = node.client.json("GET", f"/runs/{node.run_id}/files", params={"private": 1})["files"]
    assert {file["path"] for file in asked} == verified


def test_a_path_that_cannot_be_is_refused_with_a_sentence(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    put_file(node, "a/b", data)
    for path in ("a", "a/b/c"):
        answer = enter(node, path, data)
        assert (answer.status, answer.json["code"]) == (409, "refused")
        assert "both file and folder" in answer.json["detail"]
    for path in ("/etc/passwd", "../x", "a//b", "x" * 300, ""):
        assert enter(node, path, data).status == 400
    missing = enter(node, "c", b"never uploaded" + data)
    assert (missing.status, missing.json["code"]) == (409, "no-such-blob")
    body = {"path": "c", "sha256": sha256(data), "size_bytes": len(data)}
    nowhere = call(collector, "POST", "/api/v1/runs/nix/artifacts", body)
    assert (nowhere.status, nowhere.json["code"]) == (404, "no-such-run")


def test_a_runs_token_writes_its_own_run_alone(collector: CollectorProcess, data: bytes) -> None:
    node, other = Node(collector), Node(collector)
    assert put_blob(collector, data, token=node.run_token).status == 201
    body = {"path": "m.bin", "sha256": sha256(data), "size_bytes": len(data)}
    for run_id, status in ((node.run_id, 201), (other.run_id, 403)):
        assert call(collector, "POST", f"/api/v1/runs/{run_id}/artifacts", body, token=node.run_token).status == status
    target = f"/api/v1/runs/{other.run_id}/artifacts/m.bin"
    assert call(collector, "DELETE", target, token=node.run_token).status == 403


def test_a_read_goes_on_while_an_upload_stands_still(collector: CollectorProcess, data: bytes) -> None:
    node = Node(collector)
    put_file(node, "m.bin", b"x")
    connection = begin(collector, data, data[:50_000])
    try:
        assert get_file(node, "m.bin").data == b"x"
    finally:
        connection.close()
