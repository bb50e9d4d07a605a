"""A seal says that the collector's disk holds what the node sent; generations keep what was replaced."""

from __future__ import annotations

import random

import pytest

from runyard.errors import CollectorRefused
from tests.collector.node import LOG, Node, frame, gap_frame, sha256
from tests.collector_process import CollectorProcess


def test_a_seal_holds_when_every_byte_does(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    data = random.Random(5).randbytes(3_000_000)
    node.send(stream, 0, data)
    assert node.seal(stream, data[:-1]) == {"stream": stream, "result": "long", "offset": len(data)}
    assert node.seal(stream, data + b"x") == {"stream": stream, "result": "short", "offset": len(data)}
    assert node.seal(stream, data, digest="0" * 64)["result"] == "mismatch"
    assert node.seal(stream, data) == {"stream": stream, "result": "sealed", "offset": len(data)}
    assert node.seal(stream, data)["result"] == "sealed"
    assert node.seal(stream, data, digest="0" * 64)["result"] == "mismatch"
    (file,) = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    assert (file["is_sealed"], file["sha256"]) == (True, sha256(data))
    collector.restart()
    assert node.open(LOG)[0]["sealed"] is True
    assert node.seal(stream, data)["result"] == "sealed"


def test_a_sealed_stream_takes_nothing_new_but_what_it_has_may_come_again(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.send(stream, 0, b"abc")
    node.seal(stream, b"abc")
    for frames in (frame(stream, 3, b"d"), frame(stream, 1, b"bcd"), gap_frame(stream, 0, 2)):
        answer = node.ingest(frames)
        assert (answer.status, answer.json["code"]) == (409, "sealed")
    assert node.ingest(frame(stream, 0, b"abc")).json["acks"][0]["offset"] == 3
    assert node.on_disk(LOG) == b"abc"


def test_several_segments_are_each_compared(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    node.send(stream, 0, b"0123456789")
    parts = [(0, 4), (4, 10)]
    segments = [{"start": a, "end": b, "sha256": sha256(b"0123456789"[a:b])} for a, b in parts]
    body = {"seals": [{"stream": stream, "length": 10, "segments": segments}]}
    target = f"/runs/{node.run_id}/seals"
    wrong = {"seals": [body["seals"][0] | {"segments": [segments[0], segments[1] | {"sha256": "0" * 64}]}]}
    assert node.client.json("POST", target, wrong)["seals"][0]["result"] == "mismatch"
    assert node.client.json("POST", target, body)["seals"][0]["result"] == "sealed"
    (file,) = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    assert file["sha256"] == sha256(b"0123456789")
    for holes in ([segments[0]], [segments[1]], [], [segments[0], segments[0]]):
        with pytest.raises(CollectorRefused, match="segments of stream") as refused:
            node.client.json("POST", target, {"seals": [{"stream": stream, "length": 10, "segments": holes}]})
        assert refused.value.status == 400


def test_an_empty_stream_is_sealed_with_or_without_a_segment(collector: CollectorProcess) -> None:
    node = Node(collector)
    first, second = (one["id"] for one in node.open("logs/a.txt", "logs/b.txt"))
    assert node.seal(first, b"")["result"] == "sealed"
    body = {"seals": [{"stream": second, "length": 0, "segments": []}]}
    assert node.client.json("POST", f"/runs/{node.run_id}/seals", body)["seals"][0]["result"] == "sealed"
    assert {f["sha256"] for f in node.client.json("GET", f"/runs/{node.run_id}/files")["files"]} == {sha256(b"")}


def test_a_seal_of_another_run_is_refused(collector: CollectorProcess) -> None:
    mine, theirs = Node(collector), Node(collector)
    stream = theirs.open_one()
    with pytest.raises(CollectorRefused) as refused:
        mine.seal(stream, b"")
    assert (refused.value.status, refused.value.code) == (404, "no-such-stream")


def test_a_later_generation_supersedes_and_the_earlier_one_stays_readable(collector: CollectorProcess) -> None:
    node = Node(collector)
    old = node.open_one("logs/x.txt")
    node.send(old, 0, b"old")
    new = node.open_one("logs/x.txt", generation=2)
    assert new != old
    answer = node.ingest(frame(old, 3, b"more"))
    assert (answer.status, answer.json["code"]) == (409, "superseded")
    node.send(new, 0, b"new")
    assert node.on_disk("logs/x.txt") == b"new"
    assert node.file("logs/x.txt.~0~").data == b"old"
    assert node.file("logs/x.txt").data == b"new"
    # Only the current generation is what a shipper that starts asks for; the earlier one can still be asked for by number.
    listed = node.client.json("GET", f"/runs/{node.run_id}/streams", params={"node_id": node.node_id})["streams"]
    assert [(one["id"], one["generation"]) for one in listed] == [(new, 2)]
    assert node.open("logs/x.txt", generation=0)[0]["id"] == old
    with pytest.raises(CollectorRefused) as refused:
        node.open("logs/x.txt", generation=1)
    assert (refused.value.status, refused.value.code) == (409, "superseded")
    third = node.open_one("logs/x.txt", generation=3)
    node.send(third, 0, b"third")
    collector.restart()
    assert [node.file(f"logs/x.txt{end}").data for end in (".~0~", ".~2~", "")] == [b"old", b"new", b"third"]


def test_names_that_look_like_earlier_generations_do_not_collide(collector: CollectorProcess) -> None:
    node = Node(collector)
    backup = node.open_one("logs/x.txt.~0~")
    old = node.open_one("logs/x.txt")
    node.send(backup, 0, b"backup")
    node.send(old, 0, b"old")
    node.send(node.open_one("logs/x.txt", generation=1), 0, b"new")
    assert node.file("logs/x.txt.~0~").data == b"backup"
    assert node.file("logs/x.txt").data == b"new"
    assert node.file("logs/x.txt.~0~~").data == b"old"


def test_the_longest_name_can_be_superseded(collector: CollectorProcess) -> None:
    node = Node(collector)
    name = "logs/" + "ä" * 127
    node.send(node.open_one(name), 0, b"old")
    node.send(node.open_one(name, generation=1), 0, b"new")
    files = {f["path"]: f["bytes"] for f in node.client.json("GET", f"/runs/{node.run_id}/files")["files"]}
    assert len(files) == 2
    assert node.file(name).data == b"new"


def test_a_file_where_there_is_a_folder_now_does_not_collide(collector: CollectorProcess) -> None:
    node = Node(collector)
    for name in ("logs/a", "logs/a/b", "logs/a/b/c", "logs/d/e", "logs/d"):
        node.send(node.open_one(name), 0, name.encode())
    files = {file["path"] for file in node.client.json("GET", f"/runs/{node.run_id}/files")["files"]}
    assert files == {"logs/a", "logs/a~/b", "logs/a~/b~/c", "logs/d/e", "logs/d~"}
    assert node.file("logs/a~/b").data == b"logs/a/b"


def test_what_cannot_be_stored_is_refused_and_stands_in_no_way(collector: CollectorProcess) -> None:
    node = Node(collector)
    folder = collector.data_dir / "runs" / "exp" / node.run_id / node.folder
    folder.mkdir(parents=True)
    (folder / "logs").write_bytes(b"an administrator's note")
    with pytest.raises(CollectorRefused) as refused:
        node.open_one("logs/a.txt")
    assert (refused.value.status, refused.value.code) == (409, "name-taken")
    assert node.send(node.open_one("other/a.txt"), 0, b"x")["offset"] == 1
    collector.restart()
    (folder / "logs").unlink()
    assert node.send(node.open_one("logs/a.txt"), 0, b"x")["offset"] == 1


def test_verify_reads_every_byte_again(collector: CollectorProcess) -> None:
    node = Node(collector)
    good, bad, _ = (one["id"] for one in node.open("logs/good.txt", "logs/bad.txt", "logs/open.txt"))
    for stream in (good, bad):
        node.send(stream, 0, b"0123456789")
        node.seal(stream, b"0123456789")
    folder = collector.data_dir / "runs" / "exp" / node.run_id / node.folder
    (folder / "logs/bad.txt").write_bytes(b"01234?6789")
    answer = node.client.json("GET", f"/runs/{node.run_id}/verify")
    assert (answer["run_id"], answer["is_complete"]) == (node.run_id, False)
    assert [(file["path"], file["result"]) for file in answer["files"]] == [
        ("logs/bad.txt", "mismatch"),
        ("logs/good.txt", "ok"),
        ("logs/open.txt", "unsealed"),
    ]
