"""run.log in a training: its time per call, and the growth of memory over 100,000 calls, with the collector up and away."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .processes import RUNYARD, clean_environment, collector, run
from .result import Result

CALLS = 100_000
MEDIAN_BAR_US = 20.0
GROWTH_BAR_BYTES = 2e6
IMPORT_BAR_S = 0.05

TRAINING = """
import array, json, sys, time
from pathlib import Path
from runyard import Run

def rss_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

calls = int(sys.argv[1])
run = Run.get_context(allow_offline=False)
taken = array.array("q", bytes(8 * calls))
for number in range(1000):
    run.log("warm", number * 0.1)
before = rss_bytes()
now = time.perf_counter_ns
begun = now()
for number in range(calls):
    start = now()
    run.log("loss", number * 0.001, step=number)
    taken[number] = now() - start
wall_s = (now() - begun) / 1e9
grown = rss_bytes() - before
Path(sys.argv[2]).write_text(json.dumps({"taken_ns": sorted(taken), "grown_bytes": grown, "wall_s": wall_s}))
"""


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields median and p99 of a call, growth of memory, calls per second, and the time of `import runyard`."""
    del size_bytes
    script = folder / "training.py"
    script.write_text(TRAINING)
    with collector(folder / "data") as server:
        yield from _logged("up", script, server.environment(folder / "spool"))
    # The address is one where nobody listens any more.
    away = clean_environment(RUNYARD_COLLECTOR_URL=server.url, RUNYARD_TOKEN=server.token)
    away |= {"RUNYARD_SPOOL__DIR": str(folder / "spool-away"), "RUNYARD_RUN__DRAIN_S": "0"}
    yield from _logged("away", script, away)
    yield from _imports(folder, max(20, rounds))


def _logged(name: str, script: Path, env: dict[str, str]) -> Iterator[Result]:
    told = script.with_name(f"{name}.json")
    command = [*RUNYARD, "run", "--", sys.executable, str(script), str(CALLS), str(told)]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    found = json.loads(told.read_text())
    taken_ns = found["taken_ns"]
    yield Result(f"sdk_log.median_collector_{name}", statistics.median(taken_ns) / 1e3, "us", MEDIAN_BAR_US)
    yield Result(f"sdk_log.p99_collector_{name}", taken_ns[len(taken_ns) * 99 // 100] / 1e3, "us", None)
    yield Result(f"sdk_log.growth_collector_{name}", found["grown_bytes"], "bytes", GROWTH_BAR_BYTES)


def _imports(folder: Path, rounds: int) -> Iterator[Result]:
    """What `import runyard` adds to the CPU time of starting Python, and what `from runyard import Run` does."""
    commands = {"python": "pass", "import": "import runyard", "import_run": "from runyard import Run"}
    # Bytecode is kept, as it is where Runyard is installed, but not in the repository.
    env = clean_environment(PYTHONPYCACHEPREFIX=str(folder / "bytecode"))
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            taken[name].append(run([sys.executable, "-c", command], env=env).cpu_s)
    median = {name: statistics.median(values[1:]) for name, values in taken.items()}
    yield Result("sdk_log.import_cpu", median["import"] - median["python"], "s", IMPORT_BAR_S)
    yield Result("sdk_log.import_run_cpu", median["import_run"] - median["python"], "s", None)
