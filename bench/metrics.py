"""Metrics at the collector: how many points a second of its CPU takes in, the table of runs, and a chart of long series.

Journals are sent as a node sends them, and the CPU is the collector's from the first byte until all is applied. The table has
1,000 runs with 50 metrics each, of which last, least and greatest value of 10 are shown, filtered and sorted. The chart has 5
series of 1,000,000 points each at 1,000 columns; before each try the collector is started anew, and the kernel's copy of the
database is dropped.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from math import sin
from pathlib import Path
from urllib.parse import urlencode

from runyard import names
from runyard.client import CollectorClient
from runyard.wire import DATA, pack_header

from .processes import Collector, collector
from .result import Result

POINTS = 500_000
METRICS = 10
RUNS, RUN_METRICS, SHOWN_METRICS = 1000, 50, 10
CHART_RUNS, CHART_POINTS, COLUMNS = 5, 1_000_000, 1000
BATCH_LINES = 10_000
TABLE_BAR_S = 0.1
CHART_BAR_S = 0.3
NODE_ID = "bench-node"


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields the figures; the bars are absolute."""
    del size_bytes
    data = folder / "data"
    with collector(data) as server:
        taken = _Run(server)
        begun_cpu_s, begun_s = server.cpu_s(), time.perf_counter()
        taken.send(_training(POINTS))
        taken.wait()
        cpu_s, wall_s = server.cpu_s() - begun_cpu_s, time.perf_counter() - begun_s
        yield Result("metrics_ingest", POINTS / cpu_s, "points/CPU s", None, is_floor=True)
        yield Result("metrics_ingest_wall", POINTS / wall_s, "points/s", None, is_floor=True)
        table, chart = _Run(server), _Run(server)
        table.send(_children(table.run_id))
        table.wait()
        for number in range(CHART_RUNS):
            chart.send(_long_series(f"{chart.run_id}_{number}"))
        chart.wait()
    yield _result("metrics_table", data, rounds, lambda server: _ask_table(server, table.run_id), TABLE_BAR_S)
    yield _result("metrics_chart_cold", data, rounds, lambda server: _ask_chart(server, chart.run_id), CHART_BAR_S)


def _result(name: str, data: Path, rounds: int, ask: Callable[[Collector], float], bar_s: float) -> Result:
    taken_s = []
    for _ in range(rounds):
        _forget(data / "collector.sqlite3")
        with collector(data) as server:
            taken_s.append(ask(server))
    return Result(name, statistics.median(taken_s), "s", bar_s)


def _forget(path: Path) -> None:
    """The kernel drops what it has of the file in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _ask_table(server: Collector, parent: str) -> float:
    columns = [{"name": f"m{n}", "value": value} for n in range(SHOWN_METRICS) for value in ("last", "min", "max")]
    body = {
        "parent": parent,
        "filter": "metrics.m0 > 0 AND params.lr != '5'",
        "order_by": ["metrics.m1 DESC"],
        "metrics": columns,
        "page_size": RUNS,
    }
    _timed(server, "POST", "/runs/query", json.dumps(body))  # the first one loads what every later one has
    taken_s, answer = _timed(server, "POST", "/runs/query", json.dumps(body))
    rows = json.loads(answer)["runs"]
    assert len(rows) == RUNS * 9 // 10, len(rows)
    assert all(None not in row["metrics"] for row in rows)
    return taken_s


def _ask_chart(server: Collector, parent: str) -> float:
    wanted = [("run_id", f"{parent}_{n}") for n in range(CHART_RUNS)] + [("name", "loss"), ("columns", str(COLUMNS))]
    taken_s, body = _timed(server, "GET", f"/metrics/sampled?{urlencode(wanted)}")
    assert body.count(b'"is_sampled":true') == CHART_RUNS, body[:200]
    return taken_s


def _timed(server: Collector, method: str, path: str, body: str | None = None) -> tuple[float, bytes]:
    """How long an answer takes over a new connection, from the first byte of the request to the last of the answer."""
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    begun_s = time.perf_counter()
    try:
        connection.request(method, f"/api/v1{path}", body, headers)
        response = connection.getresponse()
        answer = response.read()
        taken_s = time.perf_counter() - begun_s
    finally:
        connection.close()
    assert response.status == 200, answer[:200]
    return taken_s, answer


def _training(points: int) -> Iterable[bytes]:
    for n in range(points):
        yield b'["m","","metric-%d",%r,%d,%d]\n' % (n % METRICS, sin(n), n // METRICS, 1764417000000 + n)


def _children(run_id: str) -> Iterable[bytes]:
    for n in range(RUNS):
        child = f"{run_id}_{n}".encode()
        yield b'["c","%b","","child %d","child","",1764417000000]\n["s","%b","Completed","",1764417000001]\n' % (
            child,
            n,
            child,
        )
        yield b'["p","%b","lr","%d"]\n["g","%b","owner","ada"]\n' % (child, n % 10, child)
        for metric in range(RUN_METRICS):
            for step in range(3):
                value = 1 + abs(sin(n * metric + step))
                yield b'["m","%b","m%d",%r,%d,1764417000000]\n' % (child, metric, value, step)


def _long_series(run_id: str) -> Iterable[bytes]:
    child = run_id.encode()
    yield b'["c","%b","","","child","",1764417000000]\n' % child
    for step in range(CHART_POINTS):
        yield b'["m","%b","loss",%r,%d,%d]\n' % (child, sin(step), step, 1764417000000 + step)


class _Run:
    """A run with a journal, as its node has it."""

    def __init__(self, server: Collector) -> None:
        self.run_id = f"bench-{secrets.token_hex(4)}"
        self._client = CollectorClient(server.url, server.token, timeout_s=60)
        self._offset = 0
        token = secrets.token_hex(32)
        description = {
            "run_id": self.run_id, "experiment": "bench", "key": secrets.token_hex(16), "created_ns": time.time_ns(),
            "run_token_sha256": sha256(token.encode()).hexdigest(), "command": ["python", "train.py"],
        }  # fmt: skip
        self._client.json("POST", "/runs", description)
        node = {"node_id": NODE_ID, "ip": "127.0.0.1", "hostname": "bench"}
        self._client.json("POST", f"/runs/{self.run_id}/nodes", node)
        wanted = [{"name": f"{names.TRACKING_DIR}/1-bench{names.TRACKING_SUFFIX}", "generation": 0, "source_id": ""}]
        body = {"node_id": NODE_ID, "attempt": 0, "streams": wanted}
        self._stream: int = self._client.json("POST", f"/runs/{self.run_id}/streams", body)["streams"][0]["id"]

    def send(self, lines: Iterable[bytes]) -> None:
        """As frames of many lines each."""
        waiting: list[bytes] = []
        for line in lines:
            waiting.append(line)
            if len(waiting) == BATCH_LINES:
                self._send(b"".join(waiting))
                waiting.clear()
        self._send(b"".join(waiting))

    def _send(self, data: bytes) -> None:
        if data:
            frame = pack_header(DATA, self._stream, self._offset, len(data)) + data
            self._client.send("POST", "/ingest", frame, "application/vnd.runyard.frames")
            self._offset += len(data)

    def wait(self) -> None:
        """Until all is applied."""
        while self._client.json("GET", f"/runs/{self.run_id}/records")["streams"][0]["applied"] < self._offset:
            time.sleep(0.05)
