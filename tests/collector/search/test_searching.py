"""Searching the files of a run at a real collector."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from runyard import timeindex
from tests.collector.node import LOG, Node, call
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

HANGS = {"pattern": "(a+)+$", "is_regex": True}


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    """One for the tests of this module."""
    with running_collector(tmp_path_factory.mktemp("search")) as process:
        yield process


def searched(node: Node, **body: Any) -> list[dict[str, Any]]:
    answer = call(node.collector, "POST", f"/api/v1/runs/{node.run_id}/search", body)
    assert answer.status == 200, answer.data
    return [json.loads(line) for line in answer.data.splitlines()]


def counts(told: list[dict[str, Any]]) -> dict[str, int]:
    return {one["path"]: one["count"] for one in told if one["kind"] == "file" and one["is_done"]}


def test_words_are_found_in_all_files_of_all_nodes_with_a_count_for_each(collector: CollectorProcess) -> None:
    first = Node(collector, node_count=2, world_size=2, ip="10.0.0.1")
    second = Node(collector, run_id=first.run_id, node_count=2, world_size=2, ip="10.0.0.2", experiment="exp")
    first.send(first.open_one("azureml-logs/70_driver_log_0.txt"), 0, b"fine\nCUDA out of memory\nfine\n" * 50)
    second.send(second.open_one("azureml-logs/70_driver_log_1.txt"), 0, b"fine\n")
    second.send(second.open_one("outputs/model.bin"), 0, b"cuda out of memory")
    told = searched(first, conditions=[{"pattern": "cuda out of"}], most_per_file=2)
    found = counts(told)
    assert found["10.0.0.1/azureml-logs/70_driver_log_0.txt"] == 50
    assert found["10.0.0.2/azureml-logs/70_driver_log_1.txt"] == 0
    assert not any("model.bin" in path for path in found)
    hits = [one for one in told if one["kind"] == "hit"]
    assert [(hit["line"], hit["start"], hit["match"], hit["text"]) for hit in hits] == [
        (2, 5, "CUDA out of", "CUDA out of memory"),
        (5, 34, "CUDA out of", "CUDA out of memory"),
    ]
    assert told[-1] == {"kind": "end", "why": "done"}


def test_lines_are_chosen_by_stream_and_time(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one(), 0, b"out one\nerr two\nout three\nerr four\n")
    records = [
        (8, 1000, timeindex.STDOUT),
        (16, 2000, timeindex.STDERR),
        (26, 3000, timeindex.STDOUT),
        (35, 4000, timeindex.STDERR),
    ]
    index = b"".join(timeindex.pack(end, at, at, source) for end, at, source in records)
    node.send(node.open_one(f".runyard/index/{LOG}.idx"), 0, index)

    def texts(**body: Any) -> list[str]:
        return [one["text"] for one in searched(node, **body) if one["kind"] == "hit"]

    assert texts(source="stderr") == ["err two", "err four"]
    assert texts(since_ns=2000, until_ns=4000) == ["err two", "out three"]
    assert texts(since_ns=2000, source="stdout", conditions=[{"pattern": "out"}]) == ["out three"]
    assert [one["at_ns"] for one in searched(node) if one["kind"] == "hit"] == [1000, 2000, 3000, 4000]


def test_a_file_whose_lines_have_no_times_says_so_where_times_or_streams_are_asked_for(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one("logs/other.txt"), 0, b"one\n")

    def is_passed_over(**body: Any) -> list[bool]:
        return [one["is_passed_over"] for one in searched(node, **body) if one["kind"] == "file" and one["is_done"]]

    assert is_passed_over(since_ns=1) == is_passed_over(until_ns=1) == is_passed_over(source="stderr") == [True]
    assert is_passed_over(conditions=[{"pattern": "one"}]) == [False]


def test_a_regular_expression_without_end_holds_up_nobody(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one(), 0, b"a" * 5000 + b"b\n")
    began_s = time.monotonic()
    told = searched(node, conditions=[HANGS], limit_s=0.5)
    assert told[-1] == {"kind": "end", "why": "time"}
    assert time.monotonic() - began_s < 5


@pytest.mark.parametrize("pattern", ["(", "a{1,99999999999}", "[z-a]"])
def test_what_is_no_regular_expression_is_refused_with_a_sentence(collector: CollectorProcess, pattern: str) -> None:
    node = Node(collector)
    answer = call(
        collector, "POST", f"/api/v1/runs/{node.run_id}/search", {"conditions": [{"pattern": pattern, "is_regex": True}]}
    )
    assert (answer.status, answer.json["code"]) == (400, "invalid")
    assert answer.json["detail"].startswith("the regular expression cannot be used: ")


def test_a_search_ends_when_whoever_asked_has_left(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one(), 0, b"a" * 5000 + b"b\n")
    connection = http.client.HTTPConnection(collector.url.removeprefix("http://"), timeout=20)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {collector.token}"}
    body = json.dumps({"conditions": [HANGS], "limit_s": 60})
    connection.request("POST", f"/api/v1/runs/{node.run_id}/search", body, headers)
    assert connection.getresponse().status == 200
    assert searches_of(collector)
    connection.close()
    wait_for(lambda: not searches_of(collector), "the process of the search has ended", limit_s=5)


def searches_of(collector: CollectorProcess) -> list[int]:
    found = psutil.Process(collector.pid).children()
    return [one.pid for one in found if any("search.worker" in word for word in one.cmdline())]


def test_names_and_bytes_that_are_no_text_are_searched_as_well(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one("logs/caf\udce9.txt"), 0, b"\xff\xfe needle \xe9\n")
    hits = [one for one in searched(node, conditions=[{"pattern": "needle"}]) if one["kind"] == "hit"]
    assert [(hit["path"], hit["text"], hit["at"]) for hit in hits] == [("logs/caf\udce9.txt", "\udcff\udcfe needle \udce9", 3)]


def test_places_are_told_by_line_and_by_byte(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.send(node.open_one(), 0, b"one\ntwo\nthree\n")

    def place(query: str) -> Any:
        return call(collector, "GET", f"/api/v1/runs/{node.run_id}/lines?file={LOG}&{query}").json

    assert place("line=3") == {"line": 3, "offset": 8}
    assert place("line=9") == {"line": 3, "offset": 8}
    assert place("offset=5") == {"line": 2, "offset": 5}
    assert call(collector, "GET", f"/api/v1/runs/{node.run_id}/lines?file=none.txt").json["code"] == "no-such-file"
