"""Runs that charts are looked at with: real trainings that log by the SDK, crowds, and series of a million points."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import sqlalchemy as sa

from runyard.collector import database
from runyard.collector.schema import runs
from runyard.collector.tracking import client_runs, experiments, series
from runyard.collector.tracking.client_runs import NewClientRun
from runyard.collector.tracking.points import of_numbers
from runyard.tracking.records import SCALAR
from tests.agent.node_runs import NodeRun
from tests.collector.node import call
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

EXPERIMENT = "digits"
BEGUN_MS = 1_760_000_000_000
MOST_RECORDS = 20_000

# What a training logs: numbers with NaN, steps that run backwards, one point alone, and one of each of the other kinds.
_TRAINING = """\
import math, struct, sys, zlib
from runyard import Run

rate, layers, kind = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
run = Run.get_context()
run.log_params({"learning rate": rate, "layers": layers, "optimizer": kind})
for step in range(400):
    noise = math.sin(step * 12.9898) * 0.08
    loss = math.exp(-step * rate / 20) + 0.1 / layers + noise * math.exp(-step / 200)
    run.log("loss", math.nan if 150 <= step < 160 else math.inf if step == 200 else loss, step=step)
    if step % 10 == 0:
        run.log("accuracy", 1 - math.exp(-step * rate / 15) * 0.9, step=step)
for step in [*range(60), *range(40, 90)]:
    run.log("resumed", step + (5 if step < 60 else 0), step=step)
run.log("alone", 0.25, step=7)
"""
_TYPED = """\
def png(red, side=48):
    row = b"\\0" + bytes([red, 90, 200 - red // 2]) * side
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * side)) + chunk(b"IEND", b"")

for step in (0, 10, 20):
    with open("sample.png", "wb") as file:
        file.write(png(step * 12))
    run.log_image("samples", path="sample.png", step=step)
run.log_row("epochs", epoch=1, loss=0.5, note="first <b>row</b>")
run.log_row("epochs", epoch=2, loss=0.25, is_best=True)
run.log_list("lengths", [3, 1, 4, 1, 5])
run.log("state", "warming up")
run.log("state", "training")
run.log("is_converged", True)

def document(kind, **data):
    return {"schema_type": kind, "schema_version": "1.0.0", "data": data}

matrix = [[48, 2, 0], [3, 41, 6], [1, 4, 45]]
run.log_confusion_matrix("errors", document("confusion_matrix", class_labels=["cat", "dog", "fox"], matrix=matrix))
tables = [[[50 - i * k, 50 - i * 5, i * 5, i * k] for i in range(11)] for k in (1, 2, 3)]
thresholds = [i / 10 for i in range(11)]
run.log_accuracy_table("curves", document("accuracy_table", probability_tables=tables, percentile_tables=tables,
    probability_thresholds=thresholds, percentile_thresholds=thresholds, class_labels=["cat", "dog", "fox"]))
counts = [2, 9, 30, 52, 33, 8, 1]
run.log_residuals("residuals", document("residuals", bin_edges=[-3.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5], bin_counts=counts))
run.log_predictions("predictions", document("predictions", bin_edges=[0, 10, 20, 30, 40], bin_counts=[12, 30, 25, 9],
    bin_averages=[6.1, 14.2, 26.0, 33.8], bin_errors=[1.2, 0.8, 2.5, 3.9]))
"""
# Logs a value whenever the file that it is told of has grown by a line.
_LIVE = """\
import pathlib, sys, time
from runyard import Run

run, orders = Run.get_context(), pathlib.Path(sys.argv[1])
step = 0
while not (words := orders.read_text().split()) or words[-1] != "end":
    while step < len(words):
        run.log("loss", 1 / (step + 1), step=step)
        step += 1
    time.sleep(0.02)
"""


def train(collector: CollectorProcess, folder: Path, run_id: str, *arguments: object, is_typed: bool = False) -> str:
    """A `runyard run` of a training, to its end; its id."""
    (folder / run_id).mkdir(parents=True)
    script = folder / run_id / "train.py"
    script.write_text(_TRAINING + (_TYPED if is_typed else ""))
    ended = _run(collector, folder, run_id, str(script), *map(str, arguments)).complete(cwd=script.parent)
    assert ended.returncode == 0, ended.stderr
    names = ["alone"] + ["predictions"] * is_typed
    wait_for(lambda: set(names) <= set(metrics_of(collector, run_id)), f"the metrics of {run_id}")
    return run_id


class LiveTraining:
    """A `runyard run` that logs the next value when it is told to."""

    def __init__(self, collector: CollectorProcess, folder: Path, run_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        script = folder / "live.py"
        script.write_text(_LIVE)
        self._orders = folder / "orders"
        self._orders.write_text("")
        self._run = _run(collector, folder, run_id, str(script), str(self._orders))
        self._process = self._run.start()

    def log(self, count: int) -> None:
        """Log so many values."""
        with self._orders.open("a") as file:
            file.write("go\n" * count)

    def end(self) -> None:
        """End it, and wait for that."""
        with self._orders.open("a") as file:
            file.write("end\n")
        self._process.communicate(timeout=60)


def _run(collector: CollectorProcess, folder: Path, run_id: str, *arguments: str) -> NodeRun:
    env = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    flags = ("--experiment", EXPERIMENT, "--name", run_id.replace("-", " "))
    return NodeRun(folder / "spool", sys.executable, *arguments, run_id=run_id, flags=flags, env=env)


def metrics_of(collector: CollectorProcess, run_id: str) -> list[str]:
    """The names of a run's metrics."""
    return [one["name"] for one in collector.client().json("GET", f"/runs/{run_id}/metrics")["metrics"]]


def record(collector: CollectorProcess, run_id: str, records: Sequence[object]) -> None:
    """Records for a run, as a fetched Run sends them."""
    for start in range(0, len(records), MOST_RECORDS):
        body = "".join(json.dumps(one) + "\n" for one in records[start : start + MOST_RECORDS]).encode()
        headers = {"Content-Type": "application/x-ndjson"}
        answer = call(collector, "POST", f"/api/v1/runs/{run_id}/records?batch={os.urandom(8).hex()}", body, headers=headers)
        assert answer.status == 200, answer.data
        assert answer.json["refused"] == []


def crowd(collector: CollectorProcess, experiment: str, count: int, steps: int = 300) -> list[str]:
    """So many runs with two parameters and a loss each; their ids."""
    ids = []
    for number in range(count):
        run_id = f"{experiment}-{number:03}"
        made = {
            "run_id": run_id,
            "experiment": experiment,
            "kind": "sweep",
            "name": f"run {number:03}",
            "created_ms": BEGUN_MS + number * 1000,
        }
        collector.client().json("POST", "/client-runs", made)
        rate = 10 ** -(1 + number % 5)
        curve = [math.exp(-step * (1 + number % 7) / 100) + number / 500 for step in range(steps)]
        records: list[object] = [["m", "", "loss", value, step, BEGUN_MS + step * 1000] for step, value in enumerate(curve)]
        records += [["p", "", "rate", str(rate)], ["p", "", "depth", str(number % 6)], ["s", "", "Completed", "", BEGUN_MS]]
        record(collector, run_id, records)
        ids.append(run_id)
    return ids


def fill_with_points(data_dir: Path, run_count: int = 5, points: int = 1_000_000) -> list[str]:
    """Runs whose loss has so many points, put into the database of a collector that has not started yet; their ids."""
    data_dir.mkdir(parents=True, exist_ok=True)
    opened = database.open_database("", data_dir, lambda: None)
    ids = [f"long-{number}" for number in range(run_count)]
    with opened.engine.begin() as connection:
        folder = experiments.enter(connection, "long")["experiment"]
        curve = [math.exp(-step / 200_000) + math.sin(step * 12.9898) / 20 for step in range(points)]
        curve[points // 2] = 5.0  # a spike that no sampling may lose
        for number, run_id in enumerate(ids):
            client_runs.add(connection, NewClientRun(run_id, folder, f"long {number}", "ada", "script", BEGUN_MS))
            made = of_numbers([value + number / 10 for value in curve], range(points), range(BEGUN_MS, BEGUN_MS + points))
            series.append(connection, [series.Arrivals(run_id, "loss", SCALAR, None, points=made)])
        connection.execute(sa.update(runs).values(status="Completed", is_complete=True))
    opened.close()
    return ids
