"""Metrics through MLflow's client and through our own SDK: points a second of the server's CPU, beside MLflow's own server.

MLflow's client logs batches of 1,000 points, by turns to the collector and to `mlflow server` (SQLite, one worker). The SDK's
points are logged by a script in `runyard run`: its journal is shipped by that run's shipper, and the collector's CPU counts
from before the run until all is applied. What the whole takes, with client and shipper, is told beside it.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from runyard.client import CollectorClient
from tests.collector.mlflow.sites import environment, mlflow_server
from tests.training_site import TRAINING_PYTHON

from .processes import RUNYARD, Collector, collector
from .result import Result, against_anchor

BATCHES = 30  # of 1,000 points, in a round
SDK_POINTS = 200_000
BAR = 5.0
SDK_BAR = 20.0

CLIENT = """
import sys, time
from mlflow import MlflowClient
from mlflow.entities import Metric

client = MlflowClient(tracking_uri=sys.argv[1])
run_id = client.create_run("0").info.run_id
begun_ms = int(time.time() * 1000)
print("ready", flush=True)
sys.stdin.readline()
for batch in range(int(sys.argv[2])):
    steps = range(batch * 100, batch * 100 + 100)
    points = [Metric(f"metric_{name}", step * 0.001 + name, begun_ms + step, step) for step in steps for name in range(10)]
    client.log_batch(run_id, points)
found = client.get_run(run_id).data.metrics
assert len(found) == 10, found
"""

TRAINING = """
import sys
from runyard import Run

run = Run.get_context(allow_offline=False)
for step in range(int(sys.argv[1]) // 10):
    for name in range(10):
        run.log(f"metric_{name}", step * 0.001 + name, step=step)
run.flush()
"""


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields points per CPU second of the collector against those of MLflow's own server, by both ways."""
    del size_bytes
    if not TRAINING_PYTHON.exists():
        raise SystemExit(
            "mlflow_ingest needs the environment for trainings: sh tools/make_training_venv.sh .cache/training-venv"
        )
    script = folder / "client.py"
    script.write_text(CLIENT)
    ours: list[float] = []
    theirs: list[float] = []
    own: list[float] = []
    whole: list[float] = []
    with collector(folder / "data") as server, mlflow_server(folder / "mlflow") as anchor:
        for number in range(rounds + 1):
            theirs.append(_through_client(script, anchor.url, "", lambda: _cpu_s_of_group(anchor.pid)))
            ours.append(_through_client(script, server.url, server.token, server.cpu_s))
            rate, whole_rate = _through_sdk(folder / f"spool-{number}", server)
            own.append(rate)
            whole.append(whole_rate)
    # The first round warms both up.
    yield against_anchor("mlflow_ingest.log_batch", ours[1:], theirs[1:], "points/CPU s", BAR, is_floor=True)
    yield against_anchor("mlflow_ingest.sdk", own[1:], theirs[1:], "points/CPU s", SDK_BAR, is_floor=True)
    yield against_anchor(
        "mlflow_ingest.sdk_with_client_and_shipper", whole[1:], theirs[1:], "points/CPU s", None, is_floor=True
    )


def _through_client(script: Path, url: str, token: str, cpu_s: Callable[[], float]) -> float:
    """Points per CPU second of the server."""
    command = [str(TRAINING_PYTHON), "-W", "ignore", str(script), url, str(BATCHES)]
    env = environment(MLFLOW_TRACKING_TOKEN=token) if token else environment()
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == "ready\n"
        before_s = cpu_s()
        client.stdin.write("go\n")
        client.stdin.close()
        if client.wait() != 0:
            raise AssertionError(f"MLflow's client failed against {url}")
        return BATCHES * 1000 / (cpu_s() - before_s)


def _cpu_s_of_group(leader: int) -> float:
    """CPU of the process and of all that it has started, ended ones included."""
    total = 0.0
    parent = psutil.Process(leader)
    for process in [parent, *parent.children(recursive=True)]:
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _through_sdk(spool: Path, server: Collector) -> tuple[float, float]:
    """Points per CPU second of the collector, and of everything together."""
    script = spool.with_name("training.py")
    script.write_text(TRAINING)
    run_id = f"bench-{spool.name}"
    command = [*RUNYARD, "run", "--run-id", run_id, "--", sys.executable, str(script), str(SDK_POINTS)]
    before_s, others_before_s = server.cpu_s(), _children_cpu_s()
    subprocess.run(command, env=server.environment(spool), check=True, stdout=subprocess.DEVNULL)
    _await_applied(server, run_id)
    server_s, others_s = server.cpu_s() - before_s, _children_cpu_s() - others_before_s
    return SDK_POINTS / server_s, SDK_POINTS / (server_s + others_s)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _await_applied(server: Collector, run_id: str) -> None:
    """Until the journals are applied; `runyard run` ends when they are sent."""
    client = CollectorClient(server.url, server.token)
    try:
        while True:
            streams = client.json("GET", f"/runs/{run_id}/records")["streams"]
            if streams and all(stream["applied"] == stream["bytes"] for stream in streams):
                return
    finally:
        client.close()
