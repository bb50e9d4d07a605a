"""Interactive runs: what a notebook waits for, with a collector and with one that is away; and what looks after a run takes.

A real Python process that makes runs of itself, as its user does.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from .processes import collector
from .result import Result

START_BAR_S = 0.5
COMPLETE_BAR_S = 1.0
WATCHERS_BAR_BYTES = 60_000_000

_SCRIPT = """
import json, statistics, sys, time
import psutil
from runyard import Experiment, Workspace
rounds = int(sys.argv[1])
experiment = Experiment(Workspace.from_config(), "bench")
experiment.start_logging()  # loads what the others need, too
taken, runs = [], []
for _ in range(rounds):
    begun = time.perf_counter()
    runs.append(experiment.start_logging())
    taken.append(time.perf_counter() - begun)
time.sleep(2)
ours = [one for one in psutil.process_iter(["cmdline"]) if any(
    word == runs[0].id or word.endswith("/" + runs[0].id) for word in one.info["cmdline"] or ())]
rss = sum(one.memory_info().rss for one in ours)
ends = []
for run in runs:
    run.log("loss", 0.5)
    begun = time.perf_counter()
    run.complete()
    ends.append(time.perf_counter() - begun)
print(json.dumps({"start": statistics.median(taken), "end": statistics.median(ends), "rss": rss, "watchers": len(ours)}))
"""


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields medians of `start_logging` and `complete` with the collector there, then with it away; memory of the two processes
    that look after a run."""
    del size_bytes
    with collector(folder / "data") as server:
        env = server.environment(folder / "spool")
        with_collector = _figures(env, max(5, rounds))
    away = _figures(env, 3)
    assert with_collector["watchers"] == 2
    yield Result("interactive.start_logging", with_collector["start"], "s", START_BAR_S)
    yield Result("interactive.complete", with_collector["end"], "s", COMPLETE_BAR_S)
    yield Result("interactive.watchers_rss", with_collector["rss"], "bytes", WATCHERS_BAR_BYTES)
    yield Result("interactive.start_logging_away", away["start"], "s", START_BAR_S)


def _figures(env: Mapping[str, str], rounds: int) -> dict[str, float]:
    argv = [sys.executable, "-c", _SCRIPT, str(rounds)]
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
