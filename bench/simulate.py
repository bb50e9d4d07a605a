"""Scale: N pretend nodes with 8 drivers each drive a real collector process over TCP, as N shippers would, for a bounded time.

`python -m bench simulate` runs 10, 30, 100, 300 and 1,000 nodes against the bars; `python -m bench simulate --nodes 100 …` one
load of one's own. Prints one JSON object for each. The nodes live in processes of their own (simulate_node.py), the readers in
another (simulate_readers.py); the collector is `runyard collector` as anybody starts it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from . import simulate_node, simulate_readers
from .processes import Collector, collector
from .result import Result
from .simulate_node import Load

GROWTH = (10, 30, 100, 300, 1000)
SECONDS = 30.0
NODES_PER_RUN = 8
P99_BAR_S = 5.0
MEMORY_BAR_BYTES = 1e9
# Between "everything is open" and the first line.
LEAD_S = 1.0
# Opening and sealing of everything has to be over by then.
LIMIT_S = 300.0
_FORK = multiprocessing.get_context("spawn")


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields what each number of nodes costs; the bars stand at the largest."""
    del size_bytes, rounds
    for nodes in GROWTH:
        told = simulate(folder / f"data-{nodes}", [f"--nodes={nodes}"])
        print(json.dumps(told), flush=True)
        is_largest = nodes == GROWTH[-1]
        yield Result(f"simulate.{nodes}.visible_p99", told["visible_p99_s"], "s", P99_BAR_S if is_largest else None)
        yield Result(
            f"simulate.{nodes}.peak_rss", told["collector_rss_peak_bytes"], "bytes", MEMORY_BAR_BYTES if is_largest else None
        )
        yield Result(f"simulate.{nodes}.cpu", told["collector_cpu_percent"], "% of a core", None)
        yield Result(f"simulate.{nodes}.wrong", float(told["wrong"]), "streams, lines or bytes", 0.0)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench simulate", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=8, help="driver logs of each node; as many time indexes are beside them")
    parser.add_argument("--lines-per-s", type=float, default=10.0, help="of each log")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long the drivers write")
    parser.add_argument("--one-run", action="store_true", help="all nodes in one run, not one run for 8 nodes")
    parser.add_argument("--processes", type=int, default=2, help="that the nodes are shared out to")
    parser.add_argument("--followers", type=int, default=32)
    parser.add_argument("--range-readers", type=int, default=8)
    parser.add_argument("--state-interval-s", type=float, default=10.0, help="between two states that a node tells")
    parser.add_argument("--data-dir", default="", help="the collector's folder; default: one that is removed again")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """One load; exit code 1 where a byte or a line is wrong."""
    folder_named = _options(arguments).data_dir
    with tempfile.TemporaryDirectory(prefix="runyard-bench-") as folder:
        told = simulate(Path(folder_named or folder) / "data", arguments)
    print(json.dumps(told), flush=True)
    return 1 if told["wrong"] else 0


def simulate(data_dir: Path, arguments: list[str]) -> dict[str, Any]:
    """Runs one load, as the command line says it, against a collector of its own; what came of it."""
    options = _options(arguments)
    with collector(data_dir) as server:
        host, _, port = server.url.removeprefix("http://").partition(":")
        load = Load(
            host=host,
            port=int(port),
            token=server.token,
            first_node=0,
            node_count=options.nodes,
            nodes_per_run=options.nodes if options.one_run else NODES_PER_RUN,
            streams=options.streams,
            lines_per_s=options.lines_per_s,
            seconds=options.seconds,
            state_interval_s=options.state_interval_s,
        )
        return _Simulation(server, load, options).run()


class _Simulation:
    def __init__(self, server: Collector, load: Load, options: argparse.Namespace) -> None:
        self._server, self._load, self._options = server, load, options
        self._collector = psutil.Process(server.process.pid)
        self._processes: list[Any] = []

    def run(self) -> dict[str, Any]:
        """Runs it; ends its processes whatever comes."""
        try:
            return self._run()
        finally:
            for process in self._processes:
                if process.is_alive():
                    process.kill()
                    process.join()

    def _start(self, work: Any, *args: Any) -> Connection:
        mine, theirs = _FORK.Pipe()
        process = _FORK.Process(target=work, args=(*args, theirs))
        process.start()
        theirs.close()
        self._processes.append(process)
        return mine

    def _run(self) -> dict[str, Any]:
        """Open, load, end."""
        load = self._load
        opened = time.monotonic()
        opening_cpu = self._server.cpu_s()
        shares = [range(load.node_count)[start :: self._options.processes] for start in range(self._options.processes)]
        counts = [len(share) for share in shares]
        loads = [
            replace(load, first_node=sum(counts[:position]), node_count=count) for position, count in enumerate(counts) if count
        ]
        writers = [self._start(simulate_node.main, one) for one in loads]
        for pipe in writers:
            _receive(pipe)
        opened_s, opening_cpu_s = time.monotonic() - opened, self._server.cpu_s() - opening_cpu
        readers = self._start(simulate_readers.main, load, self._options.followers, self._options.range_readers)
        start_ns = time.monotonic_ns() + int(LEAD_S * 1e9)
        for pipe in writers:
            pipe.send(start_ns)
        steady = self._watch(writers, start_ns)
        told = [_receive(pipe) for pipe in writers]
        followed, ranged, wanted = _receive(readers)
        for process in self._processes:
            process.join(LIMIT_S)
        return self._summary(opened_s, opening_cpu_s, steady, told, followed, ranged, wanted)

    def _watch(self, writers: list[Connection], start_ns: int) -> dict[str, float]:
        """The collector while the load runs."""
        time.sleep(max(0.0, (start_ns - time.monotonic_ns()) / 1e9))
        cpu_s, begun_s, before = self._server.cpu_s(), time.monotonic(), _written_bytes(self._collector)
        descriptors, busy = 0, psutil.cpu_times()
        while not all(pipe.poll() for pipe in writers):
            descriptors = max(descriptors, self._collector.num_fds())
            time.sleep(0.5)
        for pipe in writers:
            _receive(pipe)
        took_s = time.monotonic() - begun_s
        cpu_s = self._server.cpu_s() - cpu_s
        now = psutil.cpu_times()
        idle = (now.idle - busy.idle) / took_s / (os.cpu_count() or 1)
        return {
            "collector_cpu_percent": 100 * cpu_s / took_s,
            "collector_fds": descriptors,
            "disk_bytes_per_s": (_written_bytes(self._collector) - before) / took_s,
            "machine_idle_percent": 100 * idle,
            "load_average": os.getloadavg()[0],
        }

    def _summary(
        self,
        opened_s: float,
        opening_cpu_s: float,
        steady: dict[str, float],
        told: list[dict[str, Any]],
        followed: list[dict[str, Any]],
        ranged: list[dict[str, Any]],
        wanted: int,
    ) -> dict[str, Any]:
        load = self._load
        errors: Counter[str] = Counter()
        for one in told:
            errors.update(one["errors"])
        errors.update(error for seen in [*followed, *ranged] for error in seen["errors"])
        logs = load.node_count * load.streams
        expected_streams = logs * 2
        requests = sum(one["requests"] for one in told)
        lost, duplicated = (sum(one[key] for one in told) for key in ("lost_bytes", "duplicated_bytes"))
        # A node whose last words were lost says them again: its streams are counted each time.
        unsealed = max(0, expected_streams - sum(one["streams_total"] for one in told))
        differing = sum(one["differing_streams"] for one in told) + unsealed
        disorders = sum(seen["disorders"] for seen in [*followed, *ranged])
        unseen = sum(max(0, wanted - seen["lines"]) for seen in [*followed, *ranged])
        return {
            "nodes": load.node_count,
            "nodes_per_run": min(load.nodes_per_run, load.node_count),
            "streams": expected_streams,
            "lines_per_s": logs * load.lines_per_s,
            "offered_bytes_per_s": logs * load.lines_per_s * (simulate_node.LINE_BYTES + simulate_node.RECORD_BYTES),
            "achieved_bytes_per_s": round(sum(one["bytes_total"] for one in told) / load.seconds),
            **_latencies("visible", followed),
            **_latencies("range", ranged),
            **{key: round(value, 1) for key, value in steady.items()},
            "collector_rss_peak_bytes": self._server.peak_rss_bytes(),
            "generator_cpu_percent": [round(100 * one["cpu_s"] / load.seconds, 1) for one in told],
            "requests_per_s": round(requests / load.seconds, 1),
            "request_mean_s": round(sum(one["request_s"] for one in told) / max(1, requests), 4),
            "opened_s": round(opened_s, 2),
            "opening_cpu_s": round(opening_cpu_s, 2),
            "drained_s": round(max(one["drained_s"] for one in told), 2),
            "sealed_s": round(max(one["sealed_s"] for one in told), 2),
            "lost_bytes": lost,
            "duplicated_bytes": duplicated,
            "differing_streams": differing,
            "disordered_lines": disorders,
            "unseen_lines": unseen,
            "wrong": lost + duplicated + differing + disorders + unseen,
            "errors": dict(errors.most_common(8)),
        }


def _latencies(name: str, seen: list[dict[str, Any]]) -> dict[str, float]:
    values = sorted(value for one in seen for value in one["latencies_s"]) or [0.0]
    return {
        f"{name}_p50_s": round(statistics.median(values), 3),
        f"{name}_p99_s": round(values[len(values) * 99 // 100], 3),
        f"{name}_max_s": round(values[-1], 3),
        f"{name}_lines": len(values),
    }


def _receive(pipe: Connection) -> Any:
    if not pipe.poll(LIMIT_S):
        raise AssertionError(f"a process of the simulator said nothing for {LIMIT_S:.0f} s")
    return pipe.recv()


def _written_bytes(process: psutil.Process) -> int:
    return int(process.io_counters().write_bytes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
