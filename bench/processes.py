"""Processes under measurement: their CPU, wall time and memory as the operating system counted them."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

RUNYARD = (sys.executable, "-m", "runyard")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a finished process and its reaped children took."""

    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    code: int


def run(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdout: int | None = None, stderr: int | None = None
) -> Usage:
    """Run a command to its end. CPU is that of the process and all of its reaped descendants."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    process = subprocess.Popen(argv, env=env, stdout=subprocess.DEVNULL if stdout is None else stdout, stderr=stderr)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Usage(
        cpu_s=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        wall_s=wall_s,
        peak_rss_bytes=usage.ru_maxrss * 1024,
        code=process.returncode,
    )


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without anybody's Runyard settings, and `more`."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RUNYARD_")} | more


class Collector:
    """A real collector process on loopback with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        argv = [*RUNYARD, "collector", "--port", "0", "--data-dir", str(folder)]
        errors = (folder.parent / "collector.log").open("ab")
        self.process = subprocess.Popen(argv, env=clean_environment(), stdout=subprocess.PIPE, stderr=errors)
        errors.close()
        assert self.process.stdout is not None
        words = dict(word.split("=", 1) for word in self.process.stdout.readline().decode().split() if "=" in word)
        self.url = words["url"]
        self.token = Path(words["token_file"]).read_text().strip()
        self._psutil = psutil.Process(self.process.pid)

    def cpu_s(self) -> float:
        """CPU so far."""
        times = self._psutil.cpu_times()
        return times.user + times.system

    def rss_bytes(self) -> int:
        """Memory now."""
        return int(self._psutil.memory_info().rss)

    def peak_rss_bytes(self) -> int:
        """Highest memory so far."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    def environment(self, spool: Path) -> dict[str, str]:
        """What a command needs to reach this collector from a spool."""
        return clean_environment(RUNYARD_COLLECTOR_URL=self.url, RUNYARD_TOKEN=self.token, RUNYARD_SPOOL__DIR=str(spool))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def collector(folder: Path) -> Iterator[Collector]:
    """A collector for the length of the block."""
    started = Collector(folder)
    try:
        yield started
    finally:
        started.stop()


def write_training_log(path: Path, size_bytes: int) -> None:
    """A log as a training prints it: lines of about 130 bytes."""
    generator = random.Random(1)
    lines = "".join(
        f"2026-11-24 09:00:{step % 60:02d},{step % 1000:03d} INFO train epoch {step // 1000} step {step} "
        f"loss {generator.random():.6f} lr 0.0003 grad_norm {generator.random():.4f} "
        f"tok/s {generator.randint(10000, 99999)} mem 12.3GB\n"
        for step in range(60000)
    ).encode()
    with path.open("wb") as file:
        left = size_bytes
        while left:
            left -= file.write(lines[:left])
