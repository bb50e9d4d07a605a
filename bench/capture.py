"""Capture: what it costs that a command's output is kept by Runyard, against `CMD > file` in the same run.

CPU: producer, capture (the waiter) and shepherd together, index included. Wall: from the driver's start to its end.
Two producers: large writes, and single lines on stdout with every 50th on stderr.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from runyard import names
from runyard.agent import launch
from runyard.agent.spool import NewRun, RunSpec
from runyard.timeindex import STDERR, unpack

from .processes import RUNYARD, Usage, collector, run
from .result import Result, against_anchor

LARGE_WRITES = """
import os, sys
data, left = open(sys.argv[1], "rb").read(1 << 20), int(sys.argv[2])
while left:
    left -= os.write(1, data[:left])
"""
SINGLE_LINES = """
import os, sys
lines = open(sys.argv[1], "rb").read(1 << 20).splitlines(True)
left = int(sys.argv[2])
while left > 0:
    for number, line in enumerate(lines):
        os.write(1 if number % 50 else 2, line)
    left -= 1 << 20
"""
LINE = (
    b"2026-11-24 09:00:00,000 INFO step %07d loss 0.123456 lr 0.000300 grad_norm 1.2345 tok/s 12345 mem 12.3GB eta 01:20:33\n"
)
PRODUCERS = {"large_writes": LARGE_WRITES, "single_lines": SINGLE_LINES}
CPU_BAR = 1.15
WALL_BAR = 1.1
COLLECTOR_WALL_BAR = 1.5


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields CPU and wall for each producer, then the wall with a collector on the same cores."""
    sample = folder / "sample"
    sample.write_bytes(b"".join(LINE % n for n in range(20000)))
    for name, script in PRODUCERS.items():
        argv = [sys.executable, "-I", "-S", "-c", script, str(sample), str(size_bytes)]
        anchors, ours, walls = [], [], []
        for _ in range(2 * rounds + 1 if name == "large_writes" else max(1, rounds // 2)):
            usage, expected = _anchor(folder, argv)
            anchors.append(usage)
            cpu_s, wall_s = _captured(folder, argv, expected)
            ours.append(cpu_s)
            walls.append(wall_s)
        yield against_anchor(f"capture.{name}.cpu", ours, [usage.cpu_s for usage in anchors], "s", CPU_BAR)
        yield against_anchor(f"capture.{name}.wall", walls, [usage.wall_s for usage in anchors], "s", WALL_BAR)
    for name, least in (("large_writes", max(1, rounds // 2)), ("single_lines", 1)):
        yield _with_collector(folder, sample, size_bytes, least, name)


def _anchor(folder: Path, argv: list[str]) -> tuple[Usage, tuple[str, str]]:
    """`CMD > out 2> err`, and the SHA-256 of both."""
    paths = [folder / "anchor.out", folder / "anchor.err"]
    command = '"$@" > "$OUT" 2> "$ERR"'
    env = dict(os.environ) | {"OUT": str(paths[0]), "ERR": str(paths[1])}
    usage = run(["sh", "-c", "exec " + command, "sh", *argv], env=env)
    digests = []
    for path in paths:
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        path.unlink()
    return usage, (digests[0], digests[1])


def _captured(folder: Path, argv: list[str], expected: tuple[str, str]) -> tuple[float, float]:
    """The same command under a shepherd; checks that both streams came back exactly by the index."""
    spec = RunSpec(run_id="bench", experiment="bench", argv=argv, environment=dict(os.environ), cwd=str(folder))
    new = NewRun(folder / "spool", spec)
    new.commit()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    launch.ensure_shepherd(str(new.run_dir))
    launch.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wall_s = _driver_wall_s(new.run_dir)
    _check_streams(new.run_dir, expected)
    new.discard()
    return cpu_s, wall_s


def _driver_wall_s(run_dir: Path) -> float:
    directory = run_dir / names.process_dir(0)
    started = json.loads((directory / "started.json").read_text())
    ended = json.loads((directory / "exit.json").read_text())
    assert ended["exit_code"] == 0
    return float(ended["mono_ns"] - started["mono_ns"]) / 1e9


def _check_streams(run_dir: Path, expected: tuple[str, str]) -> None:
    """Both streams come back byte-exact from the one log by its index."""
    log = names.driver_log(0, 1)
    digests = {False: hashlib.sha256(), True: hashlib.sha256()}
    start = 0
    with (run_dir / log).open("rb") as file:
        for record in unpack((run_dir / names.index_of(log)).read_bytes()):
            digests[record.source == STDERR].update(file.read(record.end - start))
            start = record.end
        assert not file.read(1), "the index does not cover the log"
    assert (digests[False].hexdigest(), digests[True].hexdigest()) == expected, "the streams differ"


def _with_collector(folder: Path, sample: Path, size_bytes: int, rounds: int, producer: str) -> Result:
    """The driver's wall under `runyard run` while a collector takes what it writes; what it has is what was written."""
    argv = [sys.executable, "-I", "-S", "-c", PRODUCERS[producer], str(sample), str(size_bytes)]
    anchors, walls = [], []
    with collector(folder / f"data-{producer}") as server:
        for number in range(rounds):
            usage, expected = _anchor(folder, argv)
            anchors.append(usage.wall_s)
            run_id = f"bench-{number}"
            spool = folder / "spool"
            command = [*RUNYARD, "run", "--run-id", run_id, "--experiment", "bench", "--", *argv]
            assert run(command, env=server.environment(spool), stderr=subprocess.DEVNULL).code == 0
            walls.append(_driver_wall_s(spool / run_id))
            copy = _copy_at_collector(folder / f"data-{producer}", run_id)
            _check_streams(spool / run_id, expected)
            _check_streams(copy, expected)
            shutil.rmtree(spool / run_id)
            shutil.rmtree(copy)
    infix = "" if producer == "large_writes" else f".{producer}"
    return against_anchor(f"capture.with_collector{infix}.wall", walls, anchors, "s", COLLECTOR_WALL_BAR)


def _copy_at_collector(data: Path, run_id: str) -> Path:
    (copy,) = (data / "runs" / "bench" / run_id).iterdir()
    return copy
