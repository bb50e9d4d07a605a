"""Telemetry: the CPU that a sampler takes of one core at the default interval, with and without runs and GPUs.

The GPUs are those of the tests' stand-in for NVIDIA's library, which reads a file at each call: about what a call of the driver
costs. Each sampler is a process of its own; the samples follow one another without the pauses, in which nothing happens.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from .processes import RUNYARD, clean_environment
from .result import Result

INTERVAL_S = 5.0
BAR_PERCENT = 1.0
SAMPLES = 200
RANKS, WORKERS = 8, 16
_FAKE = Path(__file__).parents[1] / "tests" / "agent" / "telemetry" / "fake_nvml.c"
# Prints what SAMPLES samples cost, and the memory after them.
_SAMPLER = """
import json, sys, time
from pathlib import Path
import psutil
from runyard.agent.telemetry import sampler
sampler.AHEAD_S = 1e9  # the cost is measured, not kept to
looking = sampler.Sampler(Path(sys.argv[1]), print)
looking.sample()
begun_s, longest_s = time.process_time(), 0.0
for _ in range(int(sys.argv[2])):
    at_s = time.perf_counter()
    sample = looking.sample()
    longest_s = max(longest_s, time.perf_counter() - at_s)
spent_s = time.process_time() - begun_s
told = len(json.dumps(sample, separators=(",", ":")))
print(json.dumps([spent_s, longest_s, psutil.Process().memory_info().rss, told, sample.get("gpus", 0)]))
"""


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields percent of one core for an idle node, and for one with a run of 8 ranks with 16 workers each and 8 GPUs."""
    del size_bytes, rounds
    spool = folder / "spool"
    spool.mkdir()
    yield from _sampled("telemetry.idle", spool, clean_environment())
    ready = folder / "ready"
    ready.mkdir()
    script = f"i=0; while [ $i -lt {WORKERS} ]; do sleep 3600 & i=$((i+1)); done; : > {ready}/$RUNYARD_RANK; wait"
    argv = [*RUNYARD, "run", "--nproc-per-node", str(RANKS), "--", "sh", "-c", script]
    run = subprocess.Popen(argv, env=clean_environment(RUNYARD_SPOOL__DIR=str(spool)), stderr=subprocess.DEVNULL)
    try:
        while len(list(ready.iterdir())) < RANKS:
            time.sleep(0.05)
        yield from _sampled("telemetry.busy", spool, _with_gpus(folder))
    finally:
        run.terminate()
        run.wait(60)


def _sampled(name: str, spool: Path, env: dict[str, str]) -> Iterator[Result]:
    argv = [sys.executable, "-c", _SAMPLER, str(spool), str(SAMPLES)]
    done = subprocess.run(argv, env=env, stdout=subprocess.PIPE, check=True)
    spent_s, longest_s, rss_bytes, told_bytes, gpus = json.loads(done.stdout.splitlines()[-1])
    yield Result(f"{name}_cpu", 100 * spent_s / SAMPLES / INTERVAL_S, "% of a core", BAR_PERCENT)
    yield Result(f"{name}_longest_sample", longest_s, "s", None)
    yield Result(f"{name}_rss", rss_bytes, "bytes", None)
    yield Result(f"{name}_sample", told_bytes, "bytes", 600)
    if gpus:
        yield Result(f"{name}_gpus", gpus, "GPUs", None)
    yield Result(f"{name}_processes", len(psutil.pids()), "processes", None)


def _with_gpus(folder: Path) -> dict[str, str]:
    """An environment with 8 pretend GPUs; without them where there is no compiler."""
    if shutil.which("gcc") is None:
        return clean_environment()
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(_FAKE)], check=True)
    wishes = folder / "wishes"
    wishes.write_text("gpus=8\n")
    return clean_environment(LD_LIBRARY_PATH=str(folder), FAKE_NVML=str(wishes))
