"""The web page as a person has it: a real Chromium in front of a real collector, measured by the browser's own timeline.

First view: the compressed bytes of what a browser without a copy fetches. Table: 100,000 runs, from the navigation to the
first rows, and the longest frame while it is scrolled. Chart: 5 runs with 1,000,000 points each, from the navigation to the
drawn lines. Log: 5 GB with a hole in the middle, from the click to its lines, and from the End key to its last line. Live:
1,000 lines a second of 16 ranks on 2 nodes for a minute (RUNYARD_BENCH_LIVE_S) in the merged view: the tab's process.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runyard.client import CollectorClient
from tests.collector.node import Node, frame, gap_frame
from tests.collector_process import CollectorProcess, running_collector
from tests.studio import chart_scenes, crowd

from . import simulate_node
from .processes import Collector, collector
from .result import Result
from .studio_tab import Tab, open_tab

RUNS = 100_000
FIRST_VIEW_BAR_BYTES = 250_000
ROWS_BAR_MS, FRAME_BAR_MS = 500.0, 100.0
CHART_BAR_MS = 1000.0
LOG_BYTES, LOG_BAR_MS = 5 * 10**9, 300.0
LIVE_NODES, LIVE_RANKS, LIVE_LINES_PER_S, LIVE_S = 2, 16, 1000.0, 60.0
LIVE_CPU_BAR_PERCENT, LIVE_MEMORY_BAR_BYTES = 60.0, 300 * 10**6
WHEEL_TURNS = 200
ROW_IS_SEEN = r"[...document.querySelectorAll('[role=row]')].some((row) => /run \d{6}/.test(row.textContent))"
CHART_IS_SEEN = "document.querySelector('[role=slider][aria-valuemax=\"999999\"]') && document.querySelector('canvas')"
LINES = "document.querySelector('[role=region][aria-label=\"Lines of the file\"]')"


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields the figures; the bars are absolute."""
    del size_bytes
    data = folder / "data"
    crowd.fill(data, RUNS)
    long_ids = chart_scenes.fill_with_points(data)
    with collector(data) as server:
        with _tab(server) as tab:
            yield from _first_view(tab)
        with _tab(server) as tab:
            yield from _table(tab, rounds)
        with _tab(server) as tab:
            yield from _chart(tab, long_ids, rounds)
    yield from _log(folder / "log", rounds)
    yield from _live(folder / "live")
    yield Result("studio_load_average", os.getloadavg()[0], "", None)


@contextmanager
def _tab(server: Collector | CollectorProcess) -> Iterator[Tab]:
    client = CollectorClient(server.url, server.token)
    code = client.json("POST", "/session-codes")["code"]
    client.close()
    pid = server.process.pid if isinstance(server, Collector) else server.pid
    with open_tab(server.url, code, pid) as tab:
        yield tab


def _first_view(tab: Tab) -> Iterator[Result]:
    seen = tab.visit("/runs", ROW_IS_SEEN)
    yield Result("studio_first_view_bytes", seen.compressed_bytes, "bytes", FIRST_VIEW_BAR_BYTES)
    yield Result("studio_first_paint", seen.first_paint_ms, "ms", None)
    yield Result("studio_largest_paint", seen.largest_paint_ms, "ms", None)
    yield Result("studio_layout_shift", seen.shift, "", None)


def _table(tab: Tab, rounds: int) -> Iterator[Result]:
    visits = [tab.visit("/runs", ROW_IS_SEEN) for _ in range(rounds + 1)][1:]  # the first one fetches what others have
    yield Result("studio_table_first_rows", statistics.median(one.seen_ms for one in visits), "ms", ROWS_BAR_MS)
    yield Result("studio_table_cpu", statistics.median(one.cpu_ms for one in visits), "ms", None)
    table = tab.page.locator("[role=grid], [role=treegrid]").first
    table.hover()
    begun_ms = tab.now_ms()
    for turn in range(WHEEL_TURNS):
        tab.page.mouse.wheel(0, 400 if turn % 20 else 400_000)
        tab.page.wait_for_timeout(16)
    tab.page.wait_for_timeout(500)
    yield Result("studio_table_longest_frame", tab.longest_frame_ms(begun_ms), "ms", FRAME_BAR_MS)


def _chart(tab: Tab, run_ids: list[str], rounds: int) -> Iterator[Result]:
    path = "/compare?" + "&".join(f"run={run_id}" for run_id in run_ids)
    visits = [tab.visit(path, CHART_IS_SEEN) for _ in range(rounds + 1)][1:]
    yield Result("studio_chart", statistics.median(one.seen_ms for one in visits), "ms", CHART_BAR_MS)
    yield Result("studio_chart_cpu", statistics.median(one.cpu_ms for one in visits), "ms", None)


def _log(folder: Path, rounds: int) -> Iterator[Result]:
    with running_collector(folder) as server:
        node = _large_log(server)
        opened, ended = [], []
        for _ in range(rounds + 1):
            with _tab(server) as tab:
                tab.visit(f"/runs/{node.run_id}", "document.querySelector('[aria-label=Run]')")
                tab.page.wait_for_timeout(1000)
                tab.expect(f"{LINES}?.textContent.includes('the first line')")
                tab.page.get_by_role("navigation", name="Run").get_by_role("link", name="Outputs + logs").click()
                opened.append(tab.elapsed_ms())
                tab.page.get_by_role("region", name="Lines of the file").focus()
                tab.expect(f"{LINES}?.textContent.includes('the last line')")
                tab.page.keyboard.press("End")
                ended.append(tab.elapsed_ms())
    yield Result("studio_log_first_screen", statistics.median(opened[1:]), "ms", LOG_BAR_MS)
    yield Result("studio_log_end", statistics.median(ended[1:]), "ms", LOG_BAR_MS)


def _large_log(server: CollectorProcess) -> Node:
    """A log of 5 GB in a run that has ended: lines at both ends, nothing between them on the disk either."""
    node = Node(server)
    stream = node.open_one()
    head = b"the first line\n" + b"".join(b"step %d loss 0.25\n" % step for step in range(50_000))
    tail = b"\n" + b"".join(b"step %d loss 0.125\n" % step for step in range(50_000)) + b"the last line\n"
    start = LOG_BYTES - len(tail)
    for sent in (frame(stream, 0, head), gap_frame(stream, len(head), start), frame(stream, start, tail)):
        answer = node.ingest(sent)
        assert answer.status == 200, answer.data
    node.complete()
    return node


def _live(folder: Path) -> Iterator[Result]:
    seconds = float(os.environ.get("RUNYARD_BENCH_LIVE_S", str(LIVE_S)))
    data = folder / "data"
    data.mkdir(parents=True)
    with collector(data) as server, _writing(server, seconds), _tab(server) as tab:
        run_id = simulate_node.run_of(0, LIVE_NODES)
        tab.visit(f"/runs/{run_id}/logs?file=logs%2Fazureml%2Fstdoutlogs.txt", f"{LINES}?.textContent.includes('rank 15')")
        begun_s, cpu_s, memory = time.monotonic(), tab.cpu_s(), 0
        while time.monotonic() - begun_s < seconds:
            tab.page.wait_for_timeout(2000)
            memory = max(memory, tab.memory_bytes())
        percent = 100 * (tab.cpu_s() - cpu_s) / (time.monotonic() - begun_s)
        lag_s = _lag_s(tab)
    yield Result("studio_live_cpu", percent, "% of a core", LIVE_CPU_BAR_PERCENT)
    yield Result("studio_live_lag", lag_s, "s", None)
    yield Result("studio_live_memory", memory, "bytes", LIVE_MEMORY_BAR_BYTES)


def _lag_s(tab: Tab) -> float:
    """How old the newest line is that the tab shows: one that does little because it gets no CPU falls behind."""
    now_ns = time.monotonic_ns()
    written = re.findall(r" at (\d{16})", str(tab.page.evaluate(f"{LINES}.textContent")))
    return (now_ns - max(map(int, written))) / 1e9


@contextmanager
def _writing(server: Collector, seconds: float) -> Iterator[None]:
    """Pretend nodes that write for so long, and some seconds before and after it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    load = simulate_node.Load(
        host=host, port=int(port), token=server.token, first_node=0, node_count=LIVE_NODES, nodes_per_run=LIVE_NODES,
        streams=LIVE_RANKS // LIVE_NODES, lines_per_s=LIVE_LINES_PER_S / LIVE_RANKS, seconds=seconds + 30, state_interval_s=10,
    )  # fmt: skip
    spawn: Any = multiprocessing.get_context("spawn")
    mine, theirs = spawn.Pipe()
    process = spawn.Process(target=simulate_node.main, args=(load, theirs))
    process.start()
    try:
        assert mine.poll(60), "the pretend nodes have not opened their streams"
        mine.recv()
        mine.send(time.monotonic_ns() + 10**9)
        yield
    finally:
        process.kill()
        process.join()
