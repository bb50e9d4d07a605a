"""The fault campaign: kill -9 of wrapper, shepherd and collector in every stage of a run, from a seed.

Real drivers, wrappers, shepherds, a real collector, and `runyard ship --watch` beside them as a service would be. Nothing is
retried by hand. At the end every file at the collector is what the drivers wrote, and every exit code is theirs.
FAULTS_KILLS and FAULTS_SEED choose how many kills and which; `make faults` runs the long campaign.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runyard import names
from runyard.errors import CollectorRefused
from runyard.timeindex import STDERR, unpack
from tests.agent.node_runs import LOG
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

TARGETS = ("wrapper", "shepherd", "collector")
STAGES = ("start", "capture", "ship", "ack", "seal")
RUNS_AT_ONCE = 3
KILLS_PER_RUN = 4

# argv: seed. Writes what `expected` says, in bursts of random size at random times.
DRIVER = """
import os, random, sys, time
seed = int(sys.argv[1])
choice = random.Random(seed)
for number in range(choice.randrange(40, 160)):
    target = 2 if choice.random() < 0.3 else 1
    size = int(10 ** choice.uniform(0, 4.5))
    os.write(target, b"%d:%d:" % (target, number) + random.Random(seed * 1000 + number).randbytes(size) + b"\\n")
    time.sleep(choice.expovariate(120))
with open(os.path.join(os.environ["RUNYARD_LOG_DIR"], "mine.txt"), "wb") as file:
    file.write(random.Random(seed).randbytes(50_000))
with open(os.path.join(os.environ["RUNYARD_OUTPUT_DIR"], "model.bin"), "wb") as file:
    file.write(random.Random(seed + 1).randbytes(200_000))
sys.exit(seed % 7)
"""


def expected(seed: int) -> tuple[bytes, bytes]:
    """What the driver of that seed writes: (stdout, stderr)."""
    choice = random.Random(seed)
    parts = {1: bytearray(), 2: bytearray()}
    for number in range(choice.randrange(40, 160)):
        target = 2 if choice.random() < 0.3 else 1
        size = int(10 ** choice.uniform(0, 4.5))
        parts[target] += b"%d:%d:" % (target, number) + random.Random(seed * 1000 + number).randbytes(size) + b"\n"
        choice.expovariate(120)
    return bytes(parts[1]), bytes(parts[2])


@dataclass
class Campaign:
    """What all runs share: one collector, one spool, the count of kills by (target, stage)."""

    collector: CollectorProcess
    spool: Path
    choice: random.Random
    kills_wanted: int
    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RUNYARD_")}
        return inherited | {
            "RUNYARD_COLLECTOR_URL": self.collector.url,
            "RUNYARD_TOKEN": self.collector.token,
            "RUNYARD_SPOOL__DIR": str(self.spool),
            "RUNYARD_SHIP__SCAN_INTERVAL_S": "0.2",
            "RUNYARD_SHIP__BACKOFF_MAX_S": "1",
            "RUNYARD_RUN__GRACE_S": "2",
        }

    def next_kill(self) -> tuple[str, str, float] | None:
        """(target, stage, delay in s) of the next kill, None where there were enough."""
        with self.lock:
            if sum(self.kills.values()) >= self.kills_wanted:
                return None
            # Each pair in turn, so that none is left to luck; the moment within its stage is random.
            number = sum(self.kills.values())
            target, stage = TARGETS[number % len(TARGETS)], STAGES[number // len(TARGETS) % len(STAGES)]
            self.kills[target, stage] += 1
            return target, stage, self.choice.expovariate(20)


class FaultyRun:
    """One run with some kills planned into it."""

    def __init__(self, campaign: Campaign, seed: int) -> None:
        self.campaign = campaign
        self.seed = seed
        self.run_id = f"run-{seed}"
        self.run_dir = campaign.spool / self.run_id
        self.wrapper_code: int | None = None
        self.took_place = False

    def live(self) -> None:
        """Start it, kill what is planned when its stage has come, and wait for the node's last word."""
        plan = [kill for kill in (self.campaign.next_kill() for _ in range(KILLS_PER_RUN)) if kill]
        argv = [sys.executable, "-m", "runyard", "run", "--run-id", self.run_id, "--", sys.executable, "-c", DRIVER]
        wrapper = subprocess.Popen(
            [*argv, str(self.seed)],
            env=self.campaign.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for target, stage, delay_s in sorted(plan, key=lambda kill: STAGES.index(kill[1])):
            self._wait_for(stage, wrapper)
            time.sleep(delay_s)  # the moment within the stage is what the seed decides
            self._kill(target, wrapper)
        self.wrapper_code = wrapper.wait(120)
        self.took_place = (self.run_dir / names.RUN_FILE).exists()

    def _wait_for(self, stage: str, wrapper: subprocess.Popen[bytes]) -> None:
        def has_come() -> bool:
            if stage == "start" or (wrapper.poll() is not None and not (self.run_dir / names.RUN_FILE).exists()):
                return True
            if stage in ("capture", "ship"):
                return self._size(self.run_dir / LOG) > (0 if stage == "capture" else 20_000)
            return bool(self._state().get("ended_ns")) or (stage == "ack" and self._size(self.run_dir / LOG) > 60_000)

        wait_for(has_come, f"stage {stage} of {self.run_id}", limit_s=120)

    def _kill(self, target: str, wrapper: subprocess.Popen[bytes]) -> None:
        if target == "wrapper":
            wrapper.kill()
        elif target == "shepherd":
            pid = self._state().get("shepherd_pid")
            if pid and not self._state().get("ended_ns"):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    return
        else:
            with self.campaign.lock:
                self.campaign.collector.kill()
                self.campaign.collector.restart()

    def _state(self) -> dict[str, Any]:
        path = self.run_dir / names.STATE_FILE
        return dict(json.loads(path.read_text())) if path.exists() else {}

    @staticmethod
    def _size(path: Path) -> int:
        return path.stat().st_size if path.exists() else 0

    def check(self) -> None:
        """What the collector has is what the driver wrote, and so is the exit code."""
        run = self.campaign.collector.client().json("GET", f"/runs/{self.run_id}")
        assert run["exit_code"] == self.seed % 7, run
        assert run["status"] == ("Completed" if self.seed % 7 == 0 else "Failed"), run
        if self.wrapper_code is not None and self.wrapper_code >= 0:
            assert self.wrapper_code == self.seed % 7
        (folder,) = (self.campaign.collector.data_dir / "runs" / "default" / self.run_id).iterdir()
        log = (folder / LOG).read_bytes()
        assert digest(log) == digest((self.run_dir / LOG).read_bytes())
        assert _split(log, (folder / names.index_of(LOG)).read_bytes()) == expected(self.seed)
        assert (folder / "logs/mine.txt").read_bytes() == random.Random(self.seed).randbytes(50_000)
        assert (folder / "outputs/model.bin").read_bytes() == random.Random(self.seed + 1).randbytes(200_000)
        lines = [json.loads(line) for line in (folder / names.PROCESS_STATUS).read_text().splitlines()]
        final = "Completed" if self.seed % 7 == 0 else "Failed"
        assert [line["status"] for line in lines] == ["Started", final, final]
        verdicts = self.campaign.collector.client().json("GET", f"/runs/{self.run_id}/verify")
        assert {file["result"] for file in verdicts["files"]} == {"ok"}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _split(log: bytes, index: bytes) -> tuple[bytes, bytes]:
    start, parts = 0, {False: bytearray(), True: bytearray()}
    for record in unpack(index):
        parts[record.source == STDERR] += log[start : record.end]
        start = record.end
    assert start == len(log)
    return bytes(parts[False]), bytes(parts[True])


@pytest.mark.timeout(3600)
def test_every_byte_and_exit_code_survives_kills_in_every_stage(collector: CollectorProcess, tmp_path: Path) -> None:
    seed, kills = int(os.environ.get("FAULTS_SEED", "20261124")), int(os.environ.get("FAULTS_KILLS", "40"))
    campaign = Campaign(collector, tmp_path / "spool", random.Random(seed), kills)
    campaign.spool.mkdir(mode=0o700)
    service = subprocess.Popen(
        [sys.executable, "-m", "runyard", "ship", "--watch"], env=campaign.environment, stderr=subprocess.DEVNULL
    )
    try:
        runs = _live(campaign, seed)
        took_place = [run for run in runs if run.took_place]
        client = collector.client()
        for run in took_place:
            wait_for(partial(_is_complete, client, run.run_id), f"{run.run_id} at the collector", limit_s=120)
            run.check()
        assert service.poll() is None, "the service has not died"
    finally:
        service.terminate()
        service.wait(30)
    assert sum(campaign.kills.values()) >= campaign.kills_wanted
    assert len(took_place) > len(runs) / 2


def _live(campaign: Campaign, seed: int) -> list[FaultyRun]:
    """Runs one after another in each of a few lanes, until there were kills enough."""
    runs: list[FaultyRun] = []
    failures: list[BaseException] = []

    def lane(number: int) -> None:
        position = 0
        while sum(campaign.kills.values()) < campaign.kills_wanted and not failures:
            run = FaultyRun(campaign, seed % 100_000 * 1000 + number * 300 + position)
            position += 1
            runs.append(run)
            try:
                run.live()
            except BaseException as error:  # told by the main thread
                failures.append(error)

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(RUNS_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return runs


def _is_complete(client: Any, run_id: str) -> bool:
    try:
        return bool(client.json("GET", f"/runs/{run_id}")["is_complete"])
    except CollectorRefused as error:  # the service has not told it yet
        if error.status != 404:
            raise
        return False
