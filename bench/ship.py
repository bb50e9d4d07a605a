"""Shipping: a log that lies on disk, until it is durable at the collector with every promise kept, over loopback.

Against the bare pairs of bench/anchors.py in the same run; nothing is taken off, the start of `runyard ship` counts. The seal
(SHA-256 of both sides, disk to disk) is shown apart: the run is shipped while it has not ended, and sealed in a second go.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from runyard import names
from runyard.agent.spool import NewRun, RunSpec
from runyard.atomic import write_json

from . import anchors
from .processes import RUNYARD, Collector, Usage, collector, run, write_training_log
from .result import Result, against_anchor

CPU_BAR = 2.5
RATE_BAR = 0.6
MEMORY_BAR_BYTES = 40e6


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields CPU of both sides, rate, memory of both sides, and what sealing adds."""
    source = folder / "source.log"
    write_training_log(source, size_bytes)
    plain_cpu, framed_wall, cpu, wall, seal_cpu, sender_rss, growth = [], [], [], [], [], [], []
    for number in range(rounds):
        plain_cpu.append(anchors.plain(source, folder / "target").cpu_s)
        framed_wall.append(anchors.framed(source, folder / "target").wall_s)
        with collector(folder / f"data-{number}") as server:
            run_dir = _finished_spool(folder / "spool", source, f"bench-{number}", server)
            resting = server.rss_bytes()
            shipped, both_cpu_s = _ship(server, folder / "spool", expected_code=0)
            cpu.append(both_cpu_s)
            wall.append(shipped.wall_s)
            sender_rss.append(float(shipped.peak_rss_bytes))
            growth.append(float(server.peak_rss_bytes() - resting))
            _end(run_dir)
            seal_cpu.append(_ship(server, folder / "spool", expected_code=0)[1])
            _check_identical(source, folder / f"data-{number}")
        shutil.rmtree(run_dir)
        shutil.rmtree(folder / f"data-{number}")
    rates, framed_rates = [size_bytes / s / 1e6 for s in wall], [size_bytes / s / 1e6 for s in framed_wall]
    yield against_anchor("ship.cpu_both_sides", cpu, plain_cpu, "s", CPU_BAR)
    yield against_anchor("ship.rate", rates, framed_rates, "MB/s", RATE_BAR, is_floor=True)
    yield Result("ship.sender_peak_rss", max(sender_rss), "bytes", MEMORY_BAR_BYTES)
    yield Result("ship.collector_growth", max(growth), "bytes", MEMORY_BAR_BYTES)
    yield Result("ship.seal_cpu_both_sides", sorted(seal_cpu)[len(seal_cpu) // 2], "s", None)


def _finished_spool(spool: Path, source: Path, run_id: str, server: Collector) -> Path:
    """A run whose driver has printed everything but whose end is not told yet."""
    spec = RunSpec(run_id=run_id, experiment="bench", argv=["true"], environment={}, cwd="/", collector_url=server.url)
    new = NewRun(spool, spec)
    new.commit()
    (new.run_dir / names.ENVIRONMENT_FILE).unlink()
    (new.run_dir / names.driver_log(0, 1)).hardlink_to(source)
    # A shepherd's lock that is held keeps `ship` from starting one.
    state = {"status": "Running", "processes": [], "started_ns": time.time_ns(), "ended_ns": None}
    write_json(str(new.run_dir / names.STATE_FILE), state | {"exit_code": None, "signal": None, "cause": ""})
    new.lock.release()
    return new.run_dir


def _end(run_dir: Path) -> None:
    directory = run_dir / names.process_dir(0)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "captured").touch()
    path = run_dir / names.STATE_FILE
    ended = {"status": "Completed", "ended_ns": time.time_ns(), "exit_code": 0}
    write_json(str(path), json.loads(path.read_text()) | ended)


def _ship(server: Collector, spool: Path, *, expected_code: int) -> tuple[Usage, float]:
    """`runyard ship` once: (its usage, CPU of both sides)."""
    before = server.cpu_s()
    with _held_shepherd_locks(spool):
        usage = run([*RUNYARD, "ship"], env=server.environment(spool))
    assert usage.code == expected_code, f"runyard ship ended with {usage.code}"
    return usage, usage.cpu_s + server.cpu_s() - before


class _held_shepherd_locks:  # noqa: N801 - reads as a context
    """Holds the shepherd's lock of every run in the spool, as its living shepherd does."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._files: list[int] = []

    def __enter__(self) -> None:
        import fcntl
        import os

        for run_dir in self._spool.iterdir():
            if run_dir.is_dir():
                descriptor = os.open(run_dir / names.SHEPHERD_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._files.append(descriptor)

    def __exit__(self, *error: object) -> None:
        import os

        for descriptor in self._files:
            os.close(descriptor)


def _check_identical(source: Path, data: Path) -> None:
    (copy,) = (data / "runs").rglob("70_driver_log.txt")
    assert subprocess.run(["cmp", str(source), str(copy)], check=False).returncode == 0, "the collector's copy differs"
