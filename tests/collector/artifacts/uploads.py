"""What the tests of artifacts ask of a collector."""

from __future__ import annotations

import http.client
import io
import json
import random
import time
import zipfile
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from runyard import names
from runyard.client import path_segments
from tests.collector.node import Answer, Node, call, sha256
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

BYTES = {"Content-Type": "application/octet-stream"}


def put_blob(
    collector: CollectorProcess, data: bytes, *, offset: int = 0, whole: bytes | None = None, token: str | None = None
) -> Answer:
    """Sends `data`, the bytes of `whole` from `offset` on."""
    whole = data if whole is None else whole
    query = urlencode({"offset": offset, "size_bytes": len(whole)})
    return call(collector, "PUT", f"/api/v1/blobs/{sha256(whole)}?{query}", data, token=token, headers=BYTES)


def come(collector: CollectorProcess, whole: bytes, *, token: str | None = None) -> tuple[int, bool]:
    """How many bytes of a blob the collector has, and whether those are all."""
    answer = call(collector, "HEAD", f"/api/v1/blobs/{sha256(whole)}", token=token)
    assert answer.status == 204
    return int(answer.headers["Upload-Offset"]), answer.headers["Upload-Complete"] == "?1"


def begin(
    collector: CollectorProcess, whole: bytes, data: bytes, *, offset: int = 0, token: str | None = None
) -> http.client.HTTPConnection:
    """An upload that sends `data` and says that more is to come."""
    connection = http.client.HTTPConnection(collector.url.removeprefix("http://"), timeout=20)
    query = urlencode({"offset": offset, "size_bytes": len(whole)})
    connection.putrequest("PUT", f"/api/v1/blobs/{sha256(whole)}?{query}")
    headers = {"Authorization": f"Bearer {token or collector.token}", "Content-Length": str(len(whole) - offset)}
    for name, value in (headers | BYTES).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(data)
    return connection


def enter(node: Node, path: str, data: bytes, *, run_id: str = "", token: str | None = None) -> Answer:
    """Gives a blob, which has to be there, a path in the run."""
    body = {"path": path, "sha256": sha256(data), "size_bytes": len(data)}
    return call(node.collector, "POST", f"/api/v1/runs/{run_id or node.run_id}/artifacts", body, token=token)


def put_file(node: Node, path: str, data: bytes) -> None:
    """Uploads `data` as the run's file `path`."""
    assert put_blob(node.collector, data).status in (200, 201)
    made = enter(node, path, data)
    assert made.status == 201, made.data


def get_file(node: Node, path: str, *, run_id: str = "", **headers: str) -> Answer:
    """Reads a file."""
    target = f"/api/v1/runs/{run_id or node.run_id}/artifacts/{path_segments(path)}"
    return call(node.collector, "GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})


def delete_file(node: Node, path: str) -> int:
    """Takes a file away; the status."""
    return call(node.collector, "DELETE", f"/api/v1/runs/{node.run_id}/artifacts/{path_segments(path)}").status


def folder(node: Node, path: str = "", *, run_id: str = "", **params: Any) -> dict[str, Any]:
    """A folder's listing."""
    answer: dict[str, Any] = node.client.json(
        "GET", f"/runs/{run_id or node.run_id}/artifacts", params={"path": path, **params}
    )
    return answer


def all_files(node: Node, *, run_id: str = "") -> dict[str, dict[str, Any]]:
    """All files of a run, by path."""
    return {file["path"]: file for file in folder(node, run_id=run_id, recursive=1, page_size=1000)["files"]}


def archive(node: Node, *, prefix: str = "", path: Sequence[str] = ()) -> Answer:
    """The zip of a run."""
    query = urlencode([("prefix", prefix), *(("path", one) for one in path)])
    return call(node.collector, "GET", f"/api/v1/runs/{node.run_id}/archive?{query}")


def unzipped(data: bytes) -> dict[str, bytes]:
    """What is in a zip, each file's sum checked."""
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return {name: found.read(name) for name in found.namelist()}


def ship(node: Node, name: str, data: bytes, *, is_sealed: bool = False) -> int:
    """Has the node ship a file; its stream."""
    stream = node.open_one(name)
    if data:
        node.send(stream, 0, data)
    if is_sealed:
        assert node.seal(stream, data)["result"] == "sealed"
    return stream


def record(node: Node, *records: list[Any]) -> None:
    """A training's journal, as its node ships it; comes back when it is applied."""
    word = random.randbytes(4).hex()
    lines = [json.dumps(one).encode() + b"\n" for one in (*records, ["g", "", "recorded", word])]
    node.send(node.open_one(f"{names.TRACKING_DIR}/1-{word}.jsonl"), 0, b"".join(lines))
    wait_for(lambda: node.run()["tags"].get("recorded") == word, "the records are applied")


def kept(owner: str, path: str, data: bytes) -> list[Any]:
    """The record of a file whose bytes are a blob of the node's."""
    return ["a", owner, path, sha256(data), len(data), time.time_ns() // 10**6]
