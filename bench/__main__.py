"""`python -m bench [NAME …]`: runs the benchmarks, all or the named ones, and prints one JSON object a line.

Exit code 1 where a bar does not hold. RUNYARD_BENCH_BYTES (1 GB) and RUNYARD_BENCH_ROUNDS (5) make it shorter.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = (
    "capture",
    "ship",
    "live",
    "start",
    "datastore",
    "merge",
    "simulate",
    "fleet",
    "telemetry",
    "agent_idle",
    "sdk_log",
    "submit_latency",
    "interactive",
    "metrics",
    "mlflow_ingest",
    "studio",
    "widget",
)


def main(names: list[str]) -> int:
    """Run and print; returns the exit code."""
    if names[:1] == ["simulate"] and len(names) > 1:
        from .simulate import main as simulate_main

        return simulate_main(names[1:])
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"bench: unknown benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    if len(names) != 1:
        # Each in a process of its own: the peak memory that Linux tells of a child begins with its parent's.
        codes = [subprocess.run([sys.executable, "-m", "bench", name], check=False).returncode for name in names or NAMES]
        return max(map(abs, codes))
    size_bytes = int(os.environ.get("RUNYARD_BENCH_BYTES", str(10**9)))
    rounds = int(os.environ.get("RUNYARD_BENCH_ROUNDS", "5"))
    is_kept = True
    with tempfile.TemporaryDirectory(prefix="runyard-bench-") as folder:
        for result in importlib.import_module(f"bench.{names[0]}").measure(Path(folder), size_bytes, rounds):
            print(result.line(), flush=True)
            is_kept = is_kept and result.holds is not False
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
