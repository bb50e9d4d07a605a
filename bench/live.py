"""Live: 100 files of a run, 100 lines/s each: from the append to its being visible in an SSE follower.

A writer process appends lines that hold the monotonic clock; `runyard ship --watch` sends; one follower reads all files. CPU is
that of the sender and of the collector over the measured time, as a share of one core.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from runyard import names
from runyard.agent.spool import NewRun, RunSpec
from runyard.atomic import write_json
from runyard.client import CollectorClient
from runyard.errors import CollectorRefused
from runyard.sse import EventDecoder

from .processes import RUNYARD, Collector, collector
from .result import Result

FILES = 100
LINES_PER_S = 100
WARM_S = 3.0
MEDIAN_BAR_S = 0.020
P99_BAR_S = 0.100
CPU_BAR = 15.0

WRITER = """
import os, sys, time
folder, files, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
descriptors = [os.open(f"{folder}/{n:03d}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600) for n in range(files)]
step, number, due = 1 / (files * rate), 0, time.monotonic()
while True:
    while due <= time.monotonic():
        line = b"%d step %d loss 0.123456 lr 0.0003 grad_norm 1.2345 tok/s 12345 mem 12.3GB\\n" % (time.monotonic_ns(), number)
        os.write(descriptors[number % files], line)
        number += 1
        due += step
    time.sleep(0.0005)
"""


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields latency at the follower and the CPU of both sides; there is no anchor, the bars are absolute."""
    del size_bytes
    with collector(folder / "data") as server:
        run_dir, lock = _running_spool(folder / "spool", server)
        sender = subprocess.Popen(
            [*RUNYARD, "ship", "--watch"], env=server.environment(folder / "spool"), stderr=subprocess.DEVNULL
        )
        writer = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", WRITER, str(run_dir / "logs"), str(FILES), str(LINES_PER_S)]
        )
        try:
            latencies_s, cpu_sender, cpu_collector = _follow(server, run_dir.name, sender.pid, measured_s=2.0 * rounds)
        finally:
            for process in (writer, sender):
                process.terminate()
                process.wait(30)
            os.close(lock)
    latencies_s.sort()
    yield Result("live.latency_p50", latencies_s[len(latencies_s) // 2], "s", MEDIAN_BAR_S)
    yield Result("live.latency_p99", latencies_s[len(latencies_s) * 99 // 100], "s", P99_BAR_S)
    yield Result("live.cpu_sender", cpu_sender, "% of a core", CPU_BAR)
    yield Result("live.cpu_collector", cpu_collector, "% of a core", CPU_BAR)
    yield Result("live.lines", float(len(latencies_s)), "lines", None)


def _running_spool(spool: Path, server: Collector) -> tuple[Path, int]:
    """A run that is under way, with its shepherd's lock held."""
    spec = RunSpec(run_id="live", experiment="bench", argv=["true"], environment={}, cwd="/", collector_url=server.url)
    new = NewRun(spool, spec)
    lock = os.open(new.run_dir / names.SHEPHERD_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    state = {"status": "Running", "processes": [], "started_ns": time.time_ns(), "ended_ns": None}
    write_json(str(new.run_dir / names.STATE_FILE), state | {"exit_code": None, "signal": None, "cause": ""})
    new.commit()
    new.lock.release()
    return new.run_dir, lock


def _follow(server: Collector, run_id: str, sender_pid: int, *, measured_s: float) -> tuple[list[float], float, float]:
    client = CollectorClient(server.url, server.token, timeout_s=30)
    _wait_for_run(client, run_id)
    sender = psutil.Process(sender_pid)
    decoder = EventDecoder()
    latencies_s: list[float] = []
    rest: dict[int, bytes] = {}
    begun = time.monotonic()
    started: tuple[float, float, float] | None = None
    with client.stream("GET", f"/runs/{run_id}/follow", params={"node": None}) as response:
        while True:
            chunk = client.read(response, 1 << 16)
            now_ns = time.monotonic_ns()
            if started is None and time.monotonic() - begun > WARM_S:
                started = (time.monotonic(), _cpu_s(sender), server.cpu_s())
            for event in decoder.feed(chunk):
                if event.name == "data":
                    data = json.loads(event.data)
                    lines = (rest.get(data["stream"], b"") + base64.b64decode(data["data"])).split(b"\n")
                    rest[data["stream"]] = lines.pop()
                    if started is not None:
                        latencies_s += [(now_ns - int(line.split()[0])) / 1e9 for line in lines if b" step " in line]
            if started is not None and time.monotonic() - started[0] > measured_s:
                took_s = time.monotonic() - started[0]
                return (
                    latencies_s,
                    100 * (_cpu_s(sender) - started[1]) / took_s,
                    100 * (server.cpu_s() - started[2]) / took_s,
                )


def _wait_for_run(client: CollectorClient, run_id: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            client.json("GET", f"/runs/{run_id}")
            return
        except CollectorRefused:
            time.sleep(0.05)
    raise AssertionError("the run never came to the collector")


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
