"""Retention takes a run's uploads along: its children's, and blobs that nobody else has, also over a kill in between."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runyard import names
from tests.collector.node import Node, call, sha256
from tests.collector.test_retention import SOON
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

from .uploads import all_files, come, enter, get_file, kept, put_blob, put_file, record, ship


@pytest.fixture(scope="module")
def soon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector that keeps runs for a moment only."""
    with running_collector(tmp_path_factory.mktemp("soon"), environ=SOON) as process:
        yield process


def is_removed(node: Node) -> bool:
    return node.run()["removed_ns"] is not None


def blob_files(collector: CollectorProcess) -> set[str]:
    return {path.name for path in (collector.data_dir / "blobs").iterdir() if path.is_file()}


def ended(node: Node) -> Node:
    ship(node, "azureml-logs/70_driver_log.txt", b"a line\n", is_sealed=True)
    node.complete()
    return node


def test_a_removed_runs_uploads_go_and_what_others_have_stays(soon: CollectorProcess) -> None:
    mine, shared = random.randbytes(1000), random.randbytes(1000)
    old, other = Node(soon), Node(soon)
    for node in (old, other):
        put_file(node, "shared.bin", shared)
    put_file(old, "mine.bin", mine)
    ended(old)
    wait_for(lambda: is_removed(old), "the run's files are removed")
    wait_for(lambda: sha256(mine) not in blob_files(soon), "the blob that nobody has is removed")
    for answer in (get_file(old, "mine.bin"), get_file(old, "never.bin"), enter(old, "x", shared)):
        assert (answer.status, answer.json["code"]) == (410, "removed")
        assert answer.json["why"] == old.run()["removed_why"]
    for target in ("artifacts", "archive"):
        assert call(soon, "GET", f"/api/v1/runs/{old.run_id}/{target}").status == 410
    assert get_file(other, "shared.bin").data == shared


def test_a_runs_children_go_with_it_for_their_bytes_are_its_nodes(soon: CollectorProcess) -> None:
    node, data, now_ms = Node(soon), random.randbytes(1000), time.time_ns() // 10**6
    child = f"{node.run_id}_1"
    ship(node, f"{names.BLOBS_DIR}/{sha256(data)}", data, is_sealed=True)
    record(node, ["c", child, "", "", "child", "u", now_ms], kept(child, "m.bin", data), ["s", child, "Completed", "", now_ms])
    assert len(all_files(node, run_id=child)) == 1
    ended(node)
    wait_for(lambda: is_removed(node), "the run's files are removed")
    gone = call(soon, "GET", f"/api/v1/runs/{child}/artifacts/m.bin")
    assert (gone.status, gone.json["code"]) == (410, "removed")


def test_runs_that_no_node_has_go_at_their_age_and_a_pinned_child_keeps_its_parents_files(soon: CollectorProcess) -> None:
    node, data, now_ms = Node(soon), random.randbytes(1000), time.time_ns() // 10**6
    old, pinned = (f"{node.run_id}_{number}" for number in (1, 2))
    record(node, *(["c", child, "", "", "child", "u", now_ms] for child in (old, pinned)))
    for child in (old, pinned):
        assert put_blob(soon, data + child.encode()).status == 201
        body = {"path": "m.bin", "sha256": sha256(data + child.encode()), "size_bytes": len(data) + len(child)}
        assert call(soon, "POST", f"/api/v1/runs/{child}/artifacts", body).status == 201
    call(soon, "POST", f"/api/v1/runs/{pinned}/pin")
    record(node, *(["s", child, "Completed", "", now_ms] for child in (old, pinned)))
    ended(node)
    wait_for(lambda: call(soon, "GET", f"/api/v1/runs/{old}/artifacts/m.bin").status == 410, "the old child's files go")
    other = ended(Node(soon))
    wait_for(lambda: is_removed(other), "a run that ended later goes, too")
    assert call(soon, "GET", f"/api/v1/runs/{pinned}/artifacts/m.bin").data == data + pinned.encode()
    assert node.file("azureml-logs/70_driver_log.txt").status == 200
    call(soon, "POST", f"/api/v1/runs/{pinned}/unpin")
    wait_for(lambda: is_removed(node), "nothing keeps them any more")


def sent(collector: CollectorProcess) -> set[tuple[str, str]]:
    """(run, digest): what is known of who has sent what."""
    with closing(sqlite3.connect(collector.data_dir / "collector.sqlite3")) as catalog:
        return set(catalog.execute("SELECT run_id, sha256 FROM sent_blobs"))


def test_what_a_run_has_sent_is_forgotten_with_the_run_and_with_the_blob(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ=SOON) as collector:
        old, other, shared, unused = Node(collector), Node(collector), random.randbytes(1000), random.randbytes(1000)
        for node in (old, other):
            assert put_blob(collector, shared, token=node.run_token).status == 201
            assert enter(node, "m.bin", shared, token=node.run_token).status == 201
        assert put_blob(collector, unused, token=other.run_token).status == 201
        assert sent(collector) == {(old.run_id, sha256(shared)), (other.run_id, sha256(shared)), (other.run_id, sha256(unused))}
        ended(old)
        wait_for(lambda: is_removed(old), "the run's files are removed")
        assert sent(collector) == {(other.run_id, sha256(shared)), (other.run_id, sha256(unused))}
        assert put_blob(collector, shared, token=old.run_token).json["is_whole"]
        assert old.run_id not in {run_id for run_id, _ in sent(collector)}
        collector.kill()
        with closing(sqlite3.connect(collector.data_dir / "collector.sqlite3")) as catalog, catalog:
            day_ago_ns = time.time_ns() - 25 * 3600 * 10**9
            catalog.execute("UPDATE blobs SET created_ns = ?", (day_ago_ns,))
        collector.start()
        wait_for(lambda: sent(collector) == {(other.run_id, sha256(shared))}, "what no file has for a day is forgotten")
        wait_for(lambda: blob_files(collector) == {sha256(shared)}, "and removed")


def test_hiding_a_run_removes_nothing(collector: CollectorProcess) -> None:
    node, data = Node(collector), random.randbytes(1000)
    put_file(node, "m.bin", data)
    record(node, ["d", "", True, time.time_ns() // 10**6])
    assert get_file(node, "m.bin").data == data


def test_what_a_kill_leaves_of_a_removed_runs_blobs_is_removed_later(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__REMOVE_INTERVAL_S": "0.2"}) as collector:
        node, data, fresh = Node(collector), random.randbytes(1000), random.randbytes(1000)
        put_file(node, "m.bin", data)
        put_blob(collector, fresh)
        collector.kill()
        with closing(sqlite3.connect(collector.data_dir / "collector.sqlite3")) as catalog, catalog:
            catalog.execute("DELETE FROM artifacts")  # as the mark of a removed run has left it
            day_ago_ns = time.time_ns() - 25 * 3600 * 10**9
            catalog.execute("UPDATE blobs SET created_ns = ? WHERE sha256 = ?", (day_ago_ns, sha256(data)))
        collector.start()
        wait_for(lambda: blob_files(collector) == {sha256(fresh)}, "what nobody has had for a day is removed")
        assert come(collector, fresh) == (len(fresh), True)
