"""Files of old runs are removed, whoever reads them is told since when and why, and what must stay stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard.collector.retention import Held, choose
from runyard.errors import CollectorRefused
from runyard.settings import Collector as Settings
from tests.collector.node import LOG, Node, call
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

SOON = {
    "RUNYARD_COLLECTOR__REMOVE_INTERVAL_S": "0.2",
    "RUNYARD_COLLECTOR__LOST_CONTACT_S": "1",
    "RUNYARD_COLLECTOR__GIVE_UP_LOST_S": "1",
    "RUNYARD_COLLECTOR__KEEP_RUNS_S": "1.5",
}
DAY_NS = 86400 * 10**9


def _written(collector: CollectorProcess, *, size: int = 100, is_ended: bool = True) -> Node:
    node = Node(collector)
    data = b"x" * (size - 1) + b"\n"
    stream = node.open_one()
    node.send(stream, 0, data)
    node.seal(stream, data)
    if is_ended:
        node.complete()
    return node


def _folder(node: Node) -> Path:
    return Path(node.collector.data_dir, "runs", node.experiment, node.run_id)


def _is_removed(node: Node) -> bool:
    return node.run()["removed_ns"] is not None and not _folder(node).exists()


@pytest.fixture(scope="module")
def soon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """A collector that keeps runs for a moment only."""
    with running_collector(tmp_path_factory.mktemp("soon"), environ=SOON) as process:
        yield process


def test_an_old_runs_files_go_and_every_reader_is_told_since_when_and_why(soon: CollectorProcess) -> None:
    node = _written(soon)
    assert node.file(LOG).status == 200
    wait_for(lambda: _is_removed(node), "the files are removed")
    run = node.run()
    assert "1.5 s" in run["removed_why"]
    assert run["status"] == "Completed"
    assert run["is_complete"]
    answer = node.file(LOG)
    assert (answer.status, answer.json["code"]) == (410, "removed")
    assert answer.json["removed_ns"] == run["removed_ns"]
    assert run["removed_why"] in answer.json["detail"]
    (listed,) = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    assert (listed["bytes"], listed["removed_ns"], listed["is_sealed"]) == (100, run["removed_ns"], True)
    (file,) = node.client.json("GET", f"/runs/{node.run_id}/verify")["files"]
    assert (file["result"], file["bytes"], file["sha256"]) == ("removed", 100, listed["sha256"])
    events = node.followed()
    assert [event.name for event in events if event.name != "status"] == ["removed", "end"]
    assert json.loads(next(event.data for event in events if event.name == "removed"))["why"] == run["removed_why"]
    (in_list,) = [one for one in node.client.json("GET", "/runs")["runs"] if one["run_id"] == node.run_id]
    assert in_list["removed_ns"] == run["removed_ns"]


def test_what_comes_later_for_a_removed_run_is_refused_for_good(soon: CollectorProcess) -> None:
    node = _written(soon)
    wait_for(lambda: _is_removed(node), "the files are removed")
    with pytest.raises(CollectorRefused) as refused:
        node.open("logs/late.txt")
    assert (refused.value.status, refused.value.code) == (410, "removed")
    body = {"seals": [{"stream": 1, "length": 0, "segments": []}]}
    assert call(soon, "POST", f"/api/v1/runs/{node.run_id}/seals", body).status == 410
    node.put_state("Completed", exit_code=0, started_ns=1, ended_ns=3, is_complete=True)
    assert not _folder(node).exists()


def test_what_a_node_that_is_gone_for_good_has_sent_goes_as_well(soon: CollectorProcess) -> None:
    node = Node(soon)
    node.put_state("Running", phase="driver")
    node.send(node.open_one(), 0, b"its last words\n")
    call(soon, "POST", f"/api/v1/runs/{node.run_id}/cancel", {})
    wait_for(lambda: _is_removed(node), "the files are removed")
    assert (node.run()["status"], node.file(LOG).status) == ("Canceled", 410)
    (listed,) = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    assert listed["removed_ns"] == node.run()["removed_ns"]


def test_pinned_runs_and_runs_that_have_not_ended_stay(soon: CollectorProcess) -> None:
    pinned, live, old = _written(soon), _written(soon, is_ended=False), _written(soon)
    pinned.client.json("POST", f"/runs/{pinned.run_id}/pin")
    live.put_state("Running", started_ns=1)
    wait_for(lambda: _is_removed(old), "the third run is removed")
    later = _written(soon)
    wait_for(lambda: _is_removed(later), "and so is a later one")
    assert pinned.run()["is_pinned"]
    assert [one.file(LOG).status for one in (pinned, live)] == [200, 200]
    pinned.client.json("POST", f"/runs/{pinned.run_id}/unpin")
    wait_for(lambda: _is_removed(pinned), "the run that is pinned no more")


def test_a_kill_between_the_mark_and_the_last_file_leaves_nothing(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__KEEP_RUNS_S": "0.1"}) as collector:
        node = _written(collector)
        collector.restart()  # its first look removes what had ended before
        wait_for(lambda: _is_removed(node), "the files are removed")
        collector.kill()
        (_folder(node) / "127.0.0.1" / "azureml-logs").mkdir(parents=True)  # as a kill in the middle leaves it
        (_folder(node) / "127.0.0.1" / LOG).write_bytes(b"left")
        collector.start()
        assert node.file(LOG).status == 410
        wait_for(lambda: not _folder(node).exists(), "what was left is removed")


def test_a_follower_is_told_when_the_files_go_under_it(tmp_path: Path) -> None:
    environ = SOON | {"RUNYARD_COLLECTOR__KEEP_RUNS_S": "0", "RUNYARD_COLLECTOR__KEEP_EXPERIMENT_BYTES": "20000000"}
    with running_collector(tmp_path, environ=environ) as collector:
        node = Node(collector)
        data = b"y" * 30_000_000
        stream = node.open_one()
        node.send(stream, 0, data)
        with node.follow() as events:  # it reads slowly
            first = next(events)
            node.seal(stream, data)
            node.complete()
            wait_for(lambda: _is_removed(node), "the files are removed")
            rest = [event.name for event in events]
        assert first.name in ("open", "status")
        assert rest[-1] == "end"
        assert "removed" in rest
        assert "larger than 19.07 MiB" in node.run()["removed_why"]


def test_of_an_experiment_that_is_too_large_the_runs_that_ended_first_go_until_it_is_not() -> None:
    held = [
        Held("pinned", "large", 50, 1, may_go=False),
        Held("second", "large", 30, 3, may_go=True),
        Held("first", "large", 30, 2, may_go=True),
        Held("third", "large", 30, 4, may_go=True),
        Held("other", "small", 100, 1, may_go=True),
    ]
    settings = Settings(keep_runs_s=0.0, keep_experiment_bytes=100)
    assert [one.run_id for one in choose(held, {"large": 10}, DAY_NS, settings)] == ["first", "second"]
    assert choose(held, {"large": 10}, DAY_NS, Settings(keep_runs_s=0.0, keep_experiment_bytes=0)) == []


def test_what_is_old_goes_first_and_counts_no_more_for_the_size() -> None:
    held = [Held("old", "e", 60, 1, may_go=True), Held("new", "e", 60, 3 * DAY_NS, may_go=True)]
    settings = Settings(keep_runs_s=2 * 86400.0, keep_experiment_bytes=100)
    (one,) = choose(held, {}, 3 * DAY_NS + 1, settings)
    assert one.run_id == "old"
    assert "2 d" in one.why
