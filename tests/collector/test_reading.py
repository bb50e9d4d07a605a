"""Runs and files are listed page by page with filters, and any part of a file can be read."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import pytest

from runyard.errors import CollectorRefused
from tests.collector.node import LOG, Node, call, frame, sha256
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for


def runs(collector: CollectorProcess, **params: Any) -> list[str]:
    """The ids of all runs that the list gives, page by page."""
    client, found, token = collector.client(), [], None
    while True:
        answer = client.json("GET", "/runs", params={"page_size": 2, "page_token": token} | params)
        assert len(answer["runs"]) <= 2
        found += [run["run_id"] for run in answer["runs"]]
        token = answer.get("next_page_token")
        if token is None:
            return found


def test_runs_are_listed_newest_first_with_filters(collector: CollectorProcess) -> None:
    base = time.time_ns()
    made: list[Node] = []
    for number in range(6):
        fields: dict[str, Any] = {
            "experiment": f"lists-{number % 2}",
            "name": f"n{number}",
            "user": "ann" if number < 3 else "bob",
        }
        tags = {"color": "red" if number % 3 else "blue", "n": str(number), "path": "a=b"}
        made.append(Node(collector, ip=f"10.1.0.{number}", created_ns=base + number, tags=tags, **fields))
    ids = [node.run_id for node in made]
    assert runs(collector, experiment="lists-0") == [ids[4], ids[2], ids[0]]
    assert runs(collector, user="bob", created_after_ns=base) == [ids[5], ids[4], ids[3]]
    assert runs(collector, name="n3", created_after_ns=base - 1) == [ids[3]]
    assert runs(collector, tag="color=red", created_after_ns=base - 1) == [ids[5], ids[4], ids[2], ids[1]]
    assert runs(collector, tag=["color=red", "n=4"], created_after_ns=base - 1) == [ids[4]]
    assert runs(collector, tag="path=a=b", created_after_ns=base - 1) == ids[::-1]
    assert runs(collector, node=made[2].node_id) == [ids[2]]
    assert runs(collector, node="10.1.0.1") == [ids[1]]
    assert runs(collector, created_after_ns=base, created_before_ns=base + 3) == [ids[2], ids[1]]
    made[1].put_state("Running")
    made[2].complete("Failed", 1)
    assert runs(collector, status="Running", created_after_ns=base - 1) == [ids[1]]
    assert runs(collector, status="Failed", created_after_ns=base - 1) == [ids[2]]
    assert runs(collector, status="NotStarted", created_after_ns=base - 1) == [ids[5], ids[4], ids[3], ids[0]]
    assert runs(collector, experiment="none") == []
    client = collector.client()
    for params in ({"page_size": 0}, {"page_token": "x"}, {"unknown": 1}, {"status": "Lost"}, {"tag": "x"}):
        with pytest.raises(CollectorRefused) as refused:
            client.json("GET", "/runs", params=params)
        assert (refused.value.status, refused.value.code) == (400, "invalid")


def test_a_run_is_shown_with_its_nodes_and_processes(collector: CollectorProcess) -> None:
    node = Node(collector, name="nice", tags={"a": "b"}, cwd="/w", user="ann", hostname="host", timeout_s=1.5)
    process: dict[str, Any] = {"rank": 0, "name": "worker_0", "pid": 12, "status": "Failed", "exit_code": 3, "signal": None}
    process |= {"started_ns": 5, "ended_ns": 7, "log": LOG}
    told: dict[str, Any] = {"exit_code": 3, "cause": "exit code 3", "started_ns": 5, "ended_ns": 7, "processes": [process]}
    assert node.put_state("Failed", **told)["stop"] is None
    run = node.run()
    heard_ns = run["heard_ns"]
    assert abs(time.time_ns() - heard_ns) < 60e9
    assert run["nodes"] == [
        {
            "node_id": node.node_id,
            "ip": "127.0.0.1",
            "hostname": "host",
            "folder": "127.0.0.1",
            "heard_ns": heard_ns,
            "status": "Failed",
            "phase": "",
            "exit_code": 3,
            "cause": "exit code 3",
            "failure": None,
            "transitions": [],
            "attempt": 0,
            "earlier": [],
            "clock": None,
        }
    ]
    assert run["processes"] == [{"node_id": node.node_id, "ended_mono_ns": None, "evidence": None, "progress": None} | process]
    expected: dict[str, Any] = {
        "run_id": node.run_id,
        "experiment": "exp",
        "name": "nice",
        "tags": {"a": "b"},
        "cwd": "/w",
        "user": "ann",
    }
    expected |= {"command": ["python", "train.py"], "hostname": "host", "timeout_s": 1.5, "status": "Failed", "exit_code": 3}
    expected |= {"signal": None, "cause": "exit code 3", "started_ns": 5, "ended_ns": 7, "is_complete": False}
    assert {key: run[key] for key in expected} == expected
    # What was said earlier and arrives later changes nothing.
    node.seq -= 1
    node.put_state("Running")
    assert node.run()["status"] == "Failed"


def test_creating_a_run_again_is_harmless_and_another_key_is_refused(collector: CollectorProcess) -> None:
    node = Node(collector)
    body = node.description(run_id="again-" + node.run_id, run_token_sha256="1" * 56 + node.run_id[-8:])
    first = call(collector, "POST", "/api/v1/runs", body)
    second = call(collector, "POST", "/api/v1/runs", body)
    assert (first.status, second.status) == (201, 200)
    assert first.json["run_id"] == second.json["run_id"]
    other = call(collector, "POST", "/api/v1/runs", body | {"key": "0" * 32})
    assert (other.status, other.json["code"]) == (409, "run-id-taken")
    for wrong in ({"run_id": "a/b"}, {"run_id": ".."}, {"experiment": ""}, {"extra": 1}, {"key": "zz"}, {"created_ns": -1}):
        answer = call(collector, "POST", "/api/v1/runs", body | wrong)
        assert (answer.status, answer.json["code"]) == (400, "invalid"), wrong
        assert answer.json["detail"]


def test_two_nodes_with_one_address_have_two_folders(collector: CollectorProcess) -> None:
    first = Node(collector)
    ids = ("same-beginning-2", "same-beginning-3")
    second, third = (Node(collector, run_id=first.run_id, create=False, node_id=node_id) for node_id in ids)
    assert first.folder == "127.0.0.1"
    assert second.folder == f"127.0.0.1_{second.node_id[:8]}"
    assert third.folder == f"127.0.0.1_{third.node_id}"
    again = {"node_id": second.node_id, "ip": "10.9.9.9", "hostname": "host"}
    assert second.client.json("POST", f"/runs/{first.run_id}/nodes", again)["folder"] == second.folder
    for node in (first, second):
        node.run_token = first.run_token
        node.send(node.open_one(), 0, node.node_id.encode())
        assert node.on_disk(LOG) == node.node_id.encode()
    # The run-level files, which the merge may or may not have begun by now, belong to no node.
    files = [f for f in first.client.json("GET", f"/runs/{first.run_id}/files")["files"] if f["node_id"]]
    assert [file["path"] for file in files] == sorted(f"{node.folder}/{LOG}" for node in (first, second))
    assert [file["name"] for file in files] == [LOG, LOG]
    assert first.file(f"{second.folder}/{LOG}").data == second.node_id.encode()
    assert first.file(LOG).status == 404
    chosen = first.client.json("GET", f"/runs/{first.run_id}/files", params={"node": second.node_id})["files"]
    assert [file["node_id"] for file in chosen] == [second.node_id]


def test_a_run_of_two_nodes_has_one_state(collector: CollectorProcess) -> None:
    first = Node(collector)
    second = Node(collector, run_id=first.run_id, create=False, ip="10.0.0.2")

    def state(*fields: str) -> tuple[Any, ...]:
        run = first.run()
        return tuple(run[field] for field in fields)

    assert state("status") == ("NotStarted",)
    first.put_state("Running", started_ns=10)
    assert state("status", "started_ns") == ("Running", 10)
    second.put_state("Failed", started_ns=5, ended_ns=20, exit_code=7, cause="broke", is_complete=True)
    assert state("status", "exit_code", "is_complete", "ended_ns") == ("Running", None, False, None)
    first.put_state("Finalizing", started_ns=10)
    assert state("status") == ("Finalizing",)
    first.put_state("Completed", started_ns=10, ended_ns=30, exit_code=0, is_complete=True)
    fields = ("status", "exit_code", "cause", "started_ns", "ended_ns")
    assert state(*fields) == ("Failed", 7, "broke", 5, 30)
    wait_for(lambda: state("is_complete") == (True,), "its overall logs")


def test_files_are_listed_by_path_page_by_page(collector: CollectorProcess) -> None:
    node = Node(collector)
    names = ["azureml-logs/70_driver_log.txt", ".runyard/index/a.idx", "logs/ü.txt", "logs/b.txt", "outputs/m.bin"]
    node.open(*names)
    found, token = [], None
    while True:
        params = {"page_size": 2, "page_token": token, "private": 1}
        answer = node.client.json("GET", f"/runs/{node.run_id}/files", params=params)
        found += [file["path"] for file in answer["files"]]
        token = answer.get("next_page_token")
        if token is None:
            break
    assert found == sorted(names)
    answer = node.client.json("GET", f"/runs/{node.run_id}/files")
    assert [file["path"] for file in answer["files"]] == sorted(set(names) - {".runyard/index/a.idx"})
    answer = node.client.json("GET", f"/runs/{node.run_id}/files", params={"prefix": "logs/"})
    assert [file["path"] for file in answer["files"]] == ["logs/b.txt", "logs/ü.txt"]
    (file,) = node.client.json("GET", f"/runs/{node.run_id}/files", params={"prefix": "outputs/"})["files"]
    assert abs(time.time_ns() - file.pop("modified_ns")) < 60e9
    assert file == {
        "path": "outputs/m.bin",
        "node_id": node.node_id,
        "name": "outputs/m.bin",
        "folder": "127.0.0.1",
        "bytes": 0,
        "is_sealed": False,
        "sha256": None,
        "gaps": [],
        "removed_ns": None,
    }


def test_any_range_of_a_file_can_be_read(collector: CollectorProcess) -> None:
    node = Node(collector)
    data = bytes(range(256)) * 4000
    node.send(node.open_one(), 0, data)
    size = len(data)
    whole = node.file(LOG)
    assert (whole.status, whole.data, whole.headers["Content-Length"]) == (200, data, str(size))
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Accept-Ranges"] == "bytes"
    for asked, start, end in (
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 20),
        ("bytes=1000000-", 1_000_000, size),
        (f"bytes=5-{size * 2}", 5, size),
        ("bytes=-7", size - 7, size),
        (f"bytes=-{size * 2}", 0, size),
    ):
        part = node.file(LOG, Range=asked)
        assert (part.status, part.data) == (206, data[start:end]), asked
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
    for asked in (f"bytes={size}-", "bytes=-0", f"bytes={size + 5}-{size + 9}"):
        part = node.file(LOG, Range=asked)
        assert (part.status, part.json["code"], part.headers["Content-Range"]) == (416, "range", f"bytes */{size}")
    for asked in ("bytes=9-3", "lines=1-2", "bytes=0-1,4-5", "bytes=-", "bytes=x-y"):
        assert node.file(LOG, Range=asked).status == 200


def test_etags_tell_whether_a_file_has_grown(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.send(stream, 0, b"abc")
    etag = node.file(LOG).headers["ETag"]
    assert etag == node.file(LOG).headers["ETag"]
    unchanged = node.file(LOG, If_None_Match=f'"x", W/{etag}')
    assert (unchanged.status, unchanged.data, unchanged.headers["ETag"]) == (304, b"", etag)
    assert node.file(LOG, Range="bytes=0-1", If_Range=etag).status == 206
    node.send(stream, 3, b"d")
    assert node.file(LOG, If_None_Match=etag).status == 200
    assert node.file(LOG, Range="bytes=0-1", If_Range=etag).status == 200


def test_head_answers_as_get_does_without_the_bytes(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one(), 0, b"abc")
    target = f"/api/v1/runs/{node.run_id}/files/{LOG}"
    head = call(collector, "HEAD", target)
    assert (head.status, head.data, head.headers["Content-Length"]) == (200, b"", "3")
    part = call(collector, "HEAD", target, headers={"Range": "bytes=1-1"})
    assert (part.status, part.headers["Content-Range"], part.headers["Content-Length"]) == (206, "bytes 1-1/3", "1")
    assert call(collector, "HEAD", target + "x").status == 404
    assert call(collector, "HEAD", target, headers={"Range": "bytes=9-"}).status == 416


def test_names_that_need_quoting_can_be_read(collector: CollectorProcess) -> None:
    node = Node(collector)
    for name in ("outputs/a b?c#d%2F.bin", "outputs/ü/é.bin", "outputs/+&=;.bin", "outputs/..x", "outputs/\n.bin"):
        node.send(node.open_one(name), 0, name.encode())
        answer = node.file(name)
        assert (answer.status, answer.data) == (200, name.encode())
        assert answer.headers["Content-Type"] == "application/octet-stream"
    for name in ("..", "../../admin.token", "outputs/../../../../../admin.token", "%2e%2e/%2e%2e/admin.token"):
        assert call(collector, "GET", f"/api/v1/runs/{node.run_id}/files/{name}").status == 404


def test_bad_names_are_refused(collector: CollectorProcess) -> None:
    node = Node(collector)
    for name in ("/etc/x", "a/../b", "", "a//b", "a\0b", "a/", ".", "x" * 256, "a/" * 600 + "b"):
        with pytest.raises(CollectorRefused) as refused:
            node.open(name)
        assert (refused.value.status, refused.value.code) == (400, "invalid")


def test_a_large_run_is_listed_and_followed(collector: CollectorProcess) -> None:
    node = Node(collector)
    ids: list[int] = []
    for start in range(0, 3000, 1000):
        opened = node.open(*[f"outputs/{number:05}.bin" for number in range(start, start + 1000)])
        ids += [one["id"] for one in opened]
        assert node.ingest(*[frame(one["id"], 0, b"%d" % one["id"]) for one in opened], sync=True).status == 200
    answer = node.client.json("GET", f"/runs/{node.run_id}/files", params={"page_size": 1000})
    assert len(answer["files"]) == 1000
    for start in range(0, 3000, 1000):
        seals = []
        for stream in ids[start : start + 1000]:
            data = b"%d" % stream
            segment = {"start": 0, "end": len(data), "sha256": sha256(data)}
            seals.append({"stream": stream, "length": len(data), "segments": [segment]})
        results = node.client.json("POST", f"/runs/{node.run_id}/seals", {"seals": seals}, timeout_s=60)["seals"]
        assert {one["result"] for one in results} == {"sealed"}
    node.complete()
    events = node.followed()
    assert sum(event.name == "data" for event in events) == 3000
    # Finished streams are folded, so that the cursor of so many stays short enough for a header.
    assert max(len(event.id) for event in events) < 4000
    rest = node.followed(last_id=events[4500].id)
    assert sum(event.name == "data" for event in rest) == sum(event.name == "data" for event in events[4501:])


def test_query_strings_are_encoded_as_a_browser_does(collector: CollectorProcess) -> None:
    node = Node(collector, tags={"a b": "c&d"})
    query = urlencode({"tag": "a b=c&d"})
    assert [run["run_id"] for run in call(collector, "GET", f"/api/v1/runs?{query}").json["runs"]] == [node.run_id]
