"""Submit latency: from `runyard submit -f` on an idle cluster of one node to the first line of the driver in that terminal.

A real collector and a real agent with the default settings. What is measured goes through all of them: the queue, the agent's
long poll, a new spool, a shepherd, the driver, the shipper, the collector, and the follower that shows the line.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from runyard.client import CollectorClient

from .processes import RUNYARD, Collector, clean_environment, collector, run
from .result import Result

CLUSTER = "bench"
BAR_S = 1.5
QUEUE_BAR_S = 0.5
READY_S = 60.0


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields the wall time until the line is shown, and what of it lies between the collector's answer and the driver's start;
    the last figure is what starting Python takes here, twice of which no command can be without."""
    del size_bytes
    shown, queued = [], []
    with collector(folder / "data") as server, _agent(server, folder):
        client = CollectorClient(server.url, server.token)
        env = server.environment(folder / "spool")
        for number in range(max(5, rounds) + 1):
            shown.append(_submit(env, f"r{number}"))
            found = client.json("GET", f"/runs/r{number}")
            queued.append((found["processes"][0]["started_ns"] - found["created_ns"]) / 1e9)
    pythons = [run([sys.executable, "-c", "pass"]).wall_s for _ in range(max(5, rounds))]
    # Without the first round, which loads everything from the disk.
    yield Result("submit.to_first_line", statistics.median(shown[1:]), "s", BAR_S)
    yield Result("submit.queued_to_driver", statistics.median(queued[1:]), "s", QUEUE_BAR_S)
    yield Result("submit.python", statistics.median(pythons), "s", None)


@contextmanager
def _agent(server: Collector, folder: Path) -> Iterator[None]:
    """An agent of the cluster, ready for runs."""
    client = CollectorClient(server.url, server.token)
    (folder / "join").write_text(client.json("POST", f"/clusters/{CLUSTER}/join-tokens", {})["token"])
    env = clean_environment(
        RUNYARD_COLLECTOR_URL=server.url,
        RUNYARD_SPOOL__DIR=str(folder / "spool"),
        RUNYARD_ENVIRONMENT__CACHE_DIR=str(folder / "cache"),
        RUNYARD_AGENT__STATE_DIR=str(folder / "state"),
        RUNYARD_AGENT__JOIN_TOKEN_FILE=str(folder / "join"),
        RUNYARD_AGENT__SCOPES="off",
    )
    agent = subprocess.Popen([*RUNYARD, "agent"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline_s = time.monotonic() + READY_S
        while not client.json("GET", "/nodes", params={"cluster": CLUSTER})["nodes"]:
            assert time.monotonic() < deadline_s, "the agent did not join"
            time.sleep(0.1)
        yield
    finally:
        agent.terminate()
        agent.wait(60)


def _submit(env: Mapping[str, str], run_id: str) -> float:
    """Seconds from the command's start until the driver's line is read from its stdout."""
    argv = [*RUNYARD, "submit", "--cluster", CLUSTER, "--run-id", run_id, "-f", "--", "echo", "first"]
    begun_s = time.perf_counter()
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        taken_s = time.perf_counter() - begun_s
        process.stdout.read()
    assert (line, process.returncode) == (b"first\n", 0), (line, process.returncode)
    return taken_s
