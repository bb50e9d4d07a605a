"""Spools built by hand: a run as its wrapper and shepherd leave it on disk, and the shippers and collectors beside it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from runyard import names, settings
from runyard.agent.ship.shipper import Shipper
from runyard.atomic import read_json, write_json
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

LOG = names.driver_log(0, 1)
# Quick ones, so that tests wait for little; what they wait for is always a condition.
QUICK = settings.Ship(poll_interval_s=0.005, idle_interval_s=0.02, backoff_max_s=0.2, scan_interval_s=0.05, heartbeat_s=1.0)


class SpoolRun:
    """One run's folder. While it is "running" the shepherd's lock is held, so that nobody starts a shepherd for it."""

    def __init__(self, spool: Path, run_id: str = "r", *, key: str = "0" * 32, quota_bytes: int = 0) -> None:
        self.run_id = run_id
        self.run_dir = spool / run_id
        self._lock = -1
        for name in (names.LOGS_DIR, names.USER_LOGS_DIR, names.OUTPUTS_DIR, names.INDEX_DIR, names.process_dir(0)):
            self.path(name).mkdir(parents=True)
        self.description = {
            "run_id": run_id,
            "experiment": "e",
            "name": "",
            "tags": {},
            "command": ["train"],
            "cwd": "/",
            "user": "u",
            "hostname": "h",
            "created_ns": 1,
            "key": key,
            "run_token": f"token-of-{run_id}-{key}",
            "timeout_s": None,
            "grace_s": 1.0,
            "streams": "split",
            "world_size": 1,
            "ranks": [0],
            "collector_url": "",
            "quota_bytes": quota_bytes,
            "quota_policy": "block",
            "node_id": "0123456789abcdef",
            "node_ip": "127.0.0.1",
        }
        write_json(str(self.path(names.RUN_FILE)), self.description)

    def path(self, name: str) -> Path:
        return self.run_dir / name

    def write(self, name: str, data: bytes) -> None:
        """Make or overwrite a file in place."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_bytes(data)

    def append(self, name: str, data: bytes) -> None:
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        with self.path(name).open("ab") as file:
            file.write(data)

    def replace(self, name: str, data: bytes) -> None:
        """Another file takes the name."""
        aside = self.run_dir / "aside"
        aside.write_bytes(data)
        aside.rename(self.path(name))

    def start(self) -> None:
        """The driver runs."""
        self._lock = os.open(self.path(names.SHEPHERD_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        (self.path(names.process_dir(0)) / "started.json").write_text("{}")
        self._tell(status="Running")

    def end(self, status: str = "Completed") -> None:
        """The driver has ended and all is captured."""
        (self.path(names.process_dir(0)) / "captured").touch()
        self._tell(status=status, ended_ns=2, exit_code=0)
        self.close()

    def close(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def shipped(self) -> dict[str, Any] | None:
        """shipped.json, None while there is none."""
        value: dict[str, Any] | None = read_json(str(self.path(names.SHIPPED_FILE)))
        return value

    def _tell(self, **values: Any) -> None:
        state = {"status": "Running", "exit_code": None, "signal": None, "cause": "", "started_ns": 1, "ended_ns": None}
        own = {"boot_id": "b", "shepherd_pid": 1, "processes": []}
        write_json(str(self.path(names.STATE_FILE)), state | own | values)


class Shipping:
    """A Shipper in a thread of its own; what it says lies in `said`."""

    def __init__(self, run: SpoolRun, url: str, token: str, ship: settings.Ship = QUICK) -> None:
        self.said: list[str] = []
        self.shipper = Shipper(run.run_dir, url, token, ship, on_trouble=self.said.append)
        self._stop = threading.Event()
        self._failure: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.shipper.run(self._stop)
        except BaseException as error:
            self._failure.append(error)

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive()

    def done(self, *, limit_s: float = 30.0) -> None:
        """Wait until all is sealed and told."""
        wait_for(
            lambda: self.shipper.is_done or self._failure or not self.is_running, f"all shipped: {self.said}", limit_s=limit_s
        )
        assert not self._failure, self._failure
        assert self.shipper.is_done, self.said

    def durable(self, *, limit_s: float = 30.0) -> None:
        """Wait until everything that it has seen is durable."""
        wait_for(lambda: self.shipper.progress_bytes > 0 and self.shipper.unsent_bytes() == 0, f"{self.said}", limit_s=limit_s)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert not self._failure, self._failure


@contextmanager
def shipping(run: SpoolRun, collector: CollectorProcess, ship: settings.Ship = QUICK) -> Iterator[Shipping]:
    """A Shipper with the collector's administrator as the run's creator."""
    shipper = Shipping(run, collector.url, collector.token, ship)
    try:
        yield shipper
    finally:
        shipper.stop()
        run.close()


def ship(run: SpoolRun, collector: CollectorProcess) -> Shipping:
    """Ship a run that has ended to its end."""
    with shipping(run, collector) as shipper:
        shipper.done()
    return shipper


def copies(collector: CollectorProcess, run_id: str = "r") -> dict[str, bytes]:
    """Every file that the collector holds of the run's one node, by name."""
    root = collector.data_dir / "runs" / "e" / run_id / "127.0.0.1"
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def copy_is(collector: CollectorProcess, name: str, data: bytes, run_id: str = "r") -> None:
    """Wait until the collector's copy of a file is `data`."""
    path = collector.data_dir / "runs" / "e" / run_id / "127.0.0.1" / name
    wait_for(lambda: path.is_file() and path.read_bytes() == data, f"{name} at the collector", limit_s=20)


def verify(collector: CollectorProcess, run_id: str = "r") -> dict[str, str]:
    """The collector's own check of every byte: name -> result. The run has to be complete."""
    answer = collector.client(timeout_s=60).json("GET", f"/runs/{run_id}/verify")
    assert answer["is_complete"]
    return {file["path"]: file["result"] for file in answer["files"]}


def run_json(collector: CollectorProcess, run_id: str = "r") -> dict[str, Any]:
    answer: dict[str, Any] = collector.client().json("GET", f"/runs/{run_id}")
    return answer


def environment(collector: CollectorProcess, spool: Path) -> dict[str, str]:
    """For a real `runyard ship` of this spool to this collector."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "XDG_"))}
    quick = {
        "RUNYARD_SHIP__BACKOFF_MAX_S": "0.2",
        "RUNYARD_SHIP__SCAN_INTERVAL_S": "0.05",
        "RUNYARD_SHIP__IDLE_INTERVAL_S": "0.02",
    }
    return (
        kept
        | quick
        | {
            "RUNYARD_SPOOL__DIR": str(spool),
            "RUNYARD_COLLECTOR_URL": collector.url,
            "RUNYARD_TOKEN": collector.token,
        }
    )


def start_ship(
    collector: CollectorProcess,
    spool: Path,
    *words: str,
    before: str = "true",
    within: tuple[str, ...] = (),
    variables: Mapping[str, str] = MappingProxyType({}),
) -> subprocess.Popen[str]:
    """A real `runyard ship` process; `before` is done by its shell, `within` is a command that starts that shell."""
    return subprocess.Popen(
        [*within, "sh", "-c", f'{before}; exec "$@"', "sh", sys.executable, "-m", "runyard", "ship", *words],
        env=environment(collector, spool) | dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_ship(collector: CollectorProcess, spool: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A real `runyard ship`, to its end."""
    process = start_ship(collector, spool, *words, variables=variables)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
