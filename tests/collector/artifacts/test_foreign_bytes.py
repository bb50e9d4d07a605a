"""Nobody gets with a run's token, by a digest alone, the bytes that another run has sent."""

from __future__ import annotations

import json
import random
import secrets
import time
from contextlib import closing

import pytest

from tests.collector.mlflow.mlflow_api import Mlflow
from tests.collector.node import Answer, Node, call, sha256
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .uploads import BYTES, all_files, begin, come, enter, get_file, kept, put_blob, put_file, record, ship


@pytest.fixture
def data() -> bytes:
    """What another run has, as its file."""
    return random.randbytes(300_000)


@pytest.fixture
def node(collector: CollectorProcess, data: bytes) -> Node:
    """A run that knows the digest of `data`, and no more of it."""
    other = Node(collector)
    assert put_blob(collector, data, token=other.run_token).status == 201
    assert enter(other, "secret.bin", data, token=other.run_token).status == 201
    return Node(collector)


def post_record(node: Node, entry: list[object], token: str) -> Answer:
    path, headers = f"/api/v1/runs/{node.run_id}/records", {"Content-Type": "application/x-ndjson"}
    return call(node.collector, "POST", path, json.dumps(entry).encode(), token=token, headers=headers)


def child_of(node: Node) -> tuple[str, str]:
    """A child of the run with a token of its own: its id and the token."""
    run_id, token = f"{node.run_id}_{secrets.token_hex(2)}", secrets.token_hex(32)
    fields = {"run_id": run_id, "run_token_sha256": sha256(token.encode()), "parent_run_id": node.run_id}
    assert call(node.collector, "POST", "/api/v1/runs", node.description(**fields), token=node.run_token).status == 201
    return run_id, token


def test_a_digest_alone_makes_no_file(node: Node, data: bytes) -> None:
    answer = enter(node, "m.bin", data, token=node.run_token)
    never = enter(node, "m.bin", b"nobody's" + data, token=node.run_token)
    for refused in (answer, never):  # told alike: that the bytes are there is a secret, too
        assert (refused.status, refused.json["code"]) == (409, "no-such-blob")
    assert all_files(node) == {}


def test_an_upload_without_the_bytes_is_none(node: Node, data: bytes) -> None:
    collector, token, path = node.collector, node.run_token, f"/api/v1/blobs/{sha256(data)}"
    assert come(collector, data, token=token) == (0, False)
    begun = put_blob(collector, b"", whole=data, token=token)
    assert (begun.status, begun.json["is_whole"], begun.json["bytes"]) == (202, False, 0)
    assert call(collector, "PUT", path, b"", token=token, headers=BYTES).json["code"] == "mismatch"
    at_the_end = put_blob(collector, b"", offset=len(data), whole=data, token=token)
    assert (at_the_end.status, at_the_end.json["code"]) == (409, "offset")
    assert put_blob(collector, bytes(len(data)), whole=data, token=token).json["code"] == "mismatch"
    assert come(collector, data, token=token) == (0, False)
    assert enter(node, "m.bin", data, token=token).json["code"] == "no-such-blob"


def test_a_record_in_a_journal_brings_no_bytes_that_its_node_has_not_shipped(node: Node, data: bytes) -> None:
    child, now_ms = f"{node.run_id}_1", time.time_ns() // 10**6
    record(node, kept("", "m.bin", data), ["c", child, "", "", "child", "u", now_ms], kept(child, "m.bin", data))
    for run_id in ("", child):
        assert get_file(node, "m.bin", run_id=run_id).json["code"] == "not-here-yet"
    node.complete()
    assert get_file(node, "m.bin").json["code"] == "lost"
    assert put_blob(node.collector, data, token=node.run_token).status == 201
    for run_id in ("", child):
        assert get_file(node, "m.bin", run_id=run_id).data == data


def test_what_a_node_ships_is_its_runs_own(node: Node, data: bytes) -> None:
    record(node, kept("", "m.bin", data))
    ship(node, f".runyard/blobs/{sha256(data)}", data)
    assert get_file(node, "m.bin").data == data


def test_a_record_by_a_request_brings_none_either(node: Node, data: bytes) -> None:
    fields = {"kind": "node", "subject": node.node_id}
    of_node = call(node.collector, "POST", "/api/v1/tokens", fields).json["token"]
    for token in (node.run_token, of_node):
        answer = post_record(node, kept("", "m.bin", data), token).json
        assert (answer["applied"], len(answer["refused"])) == (0, 1)
        assert "were not uploaded" in answer["refused"][0]["why"]
    assert put_blob(node.collector, data, token=of_node).json["is_whole"]  # a node has no run that it is sent for
    assert post_record(node, kept("", "m.bin", data), of_node).json["applied"] == 0
    assert put_blob(node.collector, data, token=node.run_token).status == 201
    for token in (node.run_token, of_node):
        assert post_record(node, kept("", "m.bin", data), token).json["applied"] == 1
    assert get_file(node, "m.bin").data == data


def test_what_a_run_sends_itself_is_sent_once_and_kept_once(node: Node, data: bytes) -> None:
    collector, token = node.collector, node.run_token
    assert put_blob(collector, data, token=token).status == 201
    assert come(collector, data, token=token) == (len(data), True)
    again = put_blob(collector, b"", whole=data, token=token)
    assert (again.status, again.json["is_whole"]) == (200, True)
    assert enter(node, "m.bin", data, token=token).status == 201
    assert get_file(node, "m.bin").data == data
    root = collector.data_dir / "blobs"
    assert [path for path in root.rglob(f"{sha256(data)}*") if path.is_file()] == [root / sha256(data)]


def test_an_upload_of_what_another_has_goes_on_where_it_was(node: Node, data: bytes) -> None:
    collector, token = node.collector, node.run_token
    with closing(begin(collector, data, data[:200_000], token=token)):
        wait_for(lambda: come(collector, data, token=token)[0] == 200_000, "what was sent has come")
    assert come(collector, data, token=token) == (200_000, False)
    assert put_blob(collector, data[200_000:], offset=200_000, whole=data, token=token).status == 201
    assert enter(node, "m.bin", data, token=token).status == 201


def test_bytes_go_between_a_run_and_its_children_and_to_nobody_else(node: Node, data: bytes) -> None:
    collector = node.collector
    child, token = child_of(node)
    sibling, _ = child_of(node)
    assert put_blob(collector, data, token=token).status == 201
    assert enter(node, "m.bin", data, run_id=child, token=node.run_token).status == 201  # it may write there, and read it
    for run_id in (sibling, node.run_id):
        assert enter(node, "m.bin", data, run_id=run_id, token=node.run_token).json["code"] == "no-such-blob"
    other = random.randbytes(1000)
    assert put_blob(collector, other, token=node.run_token).status == 201
    assert enter(node, "of_parent.bin", other, run_id=child, token=token).json["code"] == "no-such-blob"
    assert enter(node, "of_parent.bin", other, run_id=child, token=node.run_token).status == 201
    assert get_file(node, "of_parent.bin", run_id=child).data == other


def test_a_file_that_a_run_sends_by_mlflow_is_its_own(node: Node, data: bytes) -> None:
    client = Mlflow(node.collector, node.run_token)
    assert client.file("PUT", f"0/{node.run_id}/artifacts/m.bin", data).status == 200
    assert get_file(node, "m.bin").data == data
    assert enter(node, "again.bin", data, token=node.run_token).status == 201


def test_a_person_names_what_anybody_has_sent_for_a_person_reads_all(node: Node, data: bytes) -> None:
    user = call(node.collector, "POST", "/api/v1/tokens", {"kind": "user", "subject": "ann"}).json["token"]
    assert come(node.collector, data, token=user) == (len(data), True)
    assert put_blob(node.collector, b"", whole=data, token=user).status == 200
    assert enter(node, "m.bin", data, token=user).status == 201
    put_file(node, "n.bin", data)
    # By that the run's token may name no other file of them: they are in its own by a person's word alone.
    assert enter(node, "o.bin", data, token=node.run_token).json["code"] == "no-such-blob"
