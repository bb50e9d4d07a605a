"""The fault campaign: kill -9 of wrapper, shepherd and collector in every stage of a run, from a seed.

Real drivers, wrappers, shepherds, a real collector, and `runyard ship --watch` beside them as a service would be. Nothing is
retried by hand. At the end every file at the collector is what the drivers wrote, and every exit code is theirs.
FAULTS_KILLS and FAULTS_SEED choose how many kills and which; `make faults` runs the long campaign. A kill counts where it was
delivered: its target lived when the signal was sent. A seed gives each run the same plan again.
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
from collections.abc import Callable
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

STAGES = ("start", "capture", "ship", "ack", "seal")
# What is killed -> when. A shepherd has ended before the seal: the node's last word is its own.
TABLE = {"wrapper": STAGES, "shepherd": STAGES[:-1], "collector": STAGES}
PAIRS = [(target, stage) for target, stages in TABLE.items() for stage in stages]
RUNS_AT_ONCE = 3
# Limits for waiting until what a kill is meant for lives again.
TAKE_OVER_S = 1.0
RESTART_S = 0.7
# From so many kills on each pair of the table has to have been delivered.
KILLS_FOR_ALL_PAIRS = 40

# argv: seed. Writes what `expected` says, in bursts of random size at random times.
DRIVER = """
import os, random, sys, time
seed = int(sys.argv[1])
choice = random.Random(seed)
for number in range(choice.randrange(40, 160)):
    target = 2 if choice.random() < 0.3 else 1
    size = int(10 ** choice.uniform(0, 4.5))
    os.write(target, b"%d:%d:" % (target, number) + random.Random(seed * 1000 + number).randbytes(size) + b"\\n")
    time.sleep(choice.expovariate(80))
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
        choice.expovariate(80)
    return bytes(parts[1]), bytes(parts[2])


@dataclass(frozen=True)
class Kill:
    """One kill that is planned: `delay_s` after its stage has come."""

    target: str
    stage: str
    delay_s: float


def plan(seed: int, number: int) -> list[Kill]:
    """The kills of one run, by stage. Each pair of the table has its turn; the moments and one more kill are drawn."""
    choice = random.Random(f"{seed}/{number}")
    # Turns that drift against each other, so that each stage of one target meets each stage of another.
    turns = {"wrapper": number, "shepherd": number + 1, "collector": number + number // len(STAGES) + 3}
    pairs = [(target, stages[turns[target] % len(stages)]) for target, stages in TABLE.items()]
    pairs.append(choice.choice([pair for pair in PAIRS if pair[0] != "wrapper" and pair not in pairs]))
    return [Kill(*pair, _delay_s(choice, pair)) for pair in sorted(pairs, key=lambda pair: STAGES.index(pair[1]))]


def _delay_s(choice: random.Random, pair: tuple[str, str]) -> float:
    if pair == ("wrapper", "start"):
        return choice.uniform(0, 0.4)  # before, while and after it makes the run
    return choice.expovariate(200 if pair[1] in ("start", "seal") else 20)


@dataclass
class Campaign:
    """What all runs share: one collector, one spool, the count of delivered kills by (target, stage)."""

    collector: CollectorProcess
    spool: Path
    seed: int
    kills_wanted: int
    delivered: Counter[tuple[str, str]] = field(default_factory=Counter)
    planned: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    failures: list[BaseException] = field(default_factory=list)
    restart_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def missing(self) -> list[tuple[str, str]]:
        """Pairs that have to be delivered and were not yet."""
        return [pair for pair in PAIRS if not self.delivered[pair]] if self.kills_wanted >= KILLS_FOR_ALL_PAIRS else []

    @property
    def is_enough(self) -> bool:
        return self.delivered.total() >= self.kills_wanted and not self.missing

    def kill_collector(self, unless: Callable[[], bool]) -> bool:
        """Whether it lived, and `unless` did not hold. It is started again while the caller goes on."""
        if not self.restart_lock.acquire(timeout=RESTART_S):
            return False  # another run has killed it, it is not there
        is_delivered = not unless() and self.collector.stop(signal.SIGKILL) == -signal.SIGKILL

        def restart() -> None:
            try:
                if is_delivered:
                    self.collector.restart()
            except BaseException as error:  # told by the main thread
                self.failures.append(error)
            finally:
                self.restart_lock.release()

        threading.Thread(target=restart).start()
        return is_delivered

    @property
    def table(self) -> str:
        """Delivered of planned kills, one line for each target."""
        lines = [f"{self.delivered.total()} kills delivered of {self.planned.total()} planned, seed {self.seed}"]
        lines.append(" " * 10 + "".join(f"{stage:>10}" for stage in STAGES))
        for target, stages in TABLE.items():
            cells = [
                f"{self.delivered[target, stage]}/{self.planned[target, stage]}" if stage in stages else "-" for stage in STAGES
            ]
            lines.append(f"{target:10}" + "".join(f"{cell:>10}" for cell in cells))
        return "\n".join(lines)

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


class FaultyRun:
    """One run with some kills planned into it."""

    def __init__(self, campaign: Campaign, number: int) -> None:
        self.campaign = campaign
        self.plan = plan(campaign.seed, number)
        self.seed = campaign.seed % 100_000 * 1000 + number
        self.run_id = f"run-{self.seed}"
        self.run_dir = campaign.spool / self.run_id
        self.wrapper_code: int | None = None
        self.took_place = False

    def live(self) -> None:
        """Start it, kill what is planned when its stage has come, and wait for its wrapper."""
        argv = [sys.executable, "-m", "runyard", "run", "--run-id", self.run_id, "--", sys.executable, "-c", DRIVER]
        wrapper = subprocess.Popen(
            [*argv, str(self.seed)],
            env=self.campaign.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for kill in self.plan:
            is_come = self._wait_for(kill, wrapper)
            time.sleep(kill.delay_s)
            is_delivered = is_come and self._kill(kill.target, wrapper)
            with self.campaign.lock:
                self.campaign.planned[kill.target, kill.stage] += 1
                self.campaign.delivered[kill.target, kill.stage] += is_delivered
        self.wrapper_code = wrapper.wait(120)
        self.took_place = (self.run_dir / names.RUN_FILE).exists()

    def _wait_for(self, kill: Kill, wrapper: subprocess.Popen[bytes]) -> bool:
        """False where the stage does not come, because there is no run or (for a shepherd) it is over."""

        def look() -> str:
            if kill.stage == "start" and kill.target != "shepherd":
                return "come"
            if wrapper.poll() is not None and not (self.run_dir / names.RUN_FILE).exists():
                return "never"
            is_over, size = bool(self._state().get("ended_ns")), self._size(self.run_dir / LOG)
            if kill.stage == "seal":
                return "come" if is_over else ""
            has_come = {
                "start": bool(self._state().get("shepherd_pid")),
                "capture": size > 0,
                "ship": size > 20_000,
                "ack": size > 60_000,
            }
            if is_over and (kill.target == "shepherd" or not has_come[kill.stage]):
                return "never"
            return "come" if has_come[kill.stage] else ""

        return wait_for(look, f"stage {kill.stage} of {self.run_id}", limit_s=120) == "come"

    def _kill(self, target: str, wrapper: subprocess.Popen[bytes]) -> bool:
        """Whether it lived when it was killed."""
        if target == "wrapper":
            wrapper.kill()  # sends nothing where it has ended
            return wrapper.wait(30) == -signal.SIGKILL
        if target == "shepherd":
            return self._kill_shepherd()
        return self.campaign.kill_collector(unless=(self.run_dir / names.SHIPPED_FILE).exists)

    def _kill_shepherd(self) -> bool:
        deadline_s = time.monotonic() + TAKE_OVER_S
        while not (state := self._state()).get("ended_ns") and time.monotonic() < deadline_s:
            if self._kill_process(state["shepherd_pid"]):
                return True
            time.sleep(0.005)  # it was killed before, and another one takes over
        return False

    def _kill_process(self, pid: int) -> bool:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            # A process that has ended and was not reaped has no command line; another one of that number has another.
            if os.fsencode(self.run_dir) not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return False
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            return False
        finally:
            os.close(descriptor)
        return True

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
def test_every_byte_and_exit_code_survives_kills_in_every_stage(
    collector: CollectorProcess, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    seed, kills = int(os.environ.get("FAULTS_SEED", "20261124")), int(os.environ.get("FAULTS_KILLS", "20"))
    campaign = Campaign(collector, tmp_path / "spool", seed, kills)
    campaign.spool.mkdir(mode=0o700)
    service = subprocess.Popen(
        [sys.executable, "-m", "runyard", "ship", "--watch"], env=campaign.environment, stderr=subprocess.DEVNULL
    )
    try:
        runs = _live(campaign)
        took_place = [run for run in runs if run.took_place]
        client = collector.client()
        for run in took_place:
            wait_for(partial(_is_complete, client, run.run_id), f"{run.run_id} at the collector", limit_s=120)
            run.check()
        assert service.poll() is None, "the service has died"
    finally:
        tell(campaign.table)
        service.terminate()
        service.wait(30)
    assert campaign.delivered.total() >= campaign.kills_wanted
    assert not campaign.missing, campaign.table
    assert len(took_place) > len(runs) / 2


def test_a_seed_gives_the_same_plans_again_and_they_cover_the_table() -> None:
    plans = [plan(7, number) for number in range(20)]
    assert plans == [plan(7, number) for number in range(20)]
    assert plans != [plan(8, number) for number in range(20)]
    assert {(kill.target, kill.stage) for run in plans[:5] for kill in run} >= set(PAIRS)
    assert ("shepherd", "seal") not in PAIRS


def _live(campaign: Campaign) -> list[FaultyRun]:
    """Runs one after another in each of a few lanes, until there were kills enough."""
    runs: list[FaultyRun] = []
    numbers = iter(range(max(3 * campaign.kills_wanted, 20)))  # far more than it takes; next() of it is atomic

    def lane() -> None:
        for number in numbers:
            if campaign.is_enough or campaign.failures:
                return
            run = FaultyRun(campaign, number)
            runs.append(run)
            try:
                run.live()
            except BaseException as error:  # told by the main thread
                campaign.failures.append(error)

    threads = [threading.Thread(target=lane) for _ in range(RUNS_AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with campaign.restart_lock:  # it is there again
        pass
    if campaign.failures:
        raise campaign.failures[0]
    return runs


def _is_complete(client: Any, run_id: str) -> bool:
    try:
        return bool(client.json("GET", f"/runs/{run_id}")["is_complete"])
    except CollectorRefused as error:  # the service has not told it yet
        if error.status != 404:
            raise
        return False
