"""A node of a cluster that only pretends: it speaks to the collector as an agent and its shippers do, and its drivers are
spans of time. It can be silent, crash, or come back with an empty disk; what it executed when is written down in a Ledger.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable
from tests.collector.node import sha256
from tests.collector_process import CollectorProcess

CPUS = 8.0
LOOK_S = 0.1
BEAT_S = 0.4
# Between being asked to end and having ended.
GRACE_S = 0.1
FINAL = ("Completed", "Failed", "Canceled")
Key = tuple[str, int]


@dataclass
class Execution:
    """One process of a run on a node: from when until when (monotonic seconds), and how it ended."""

    run_id: str
    attempt: int
    node_rank: int
    node: str
    cpus: float
    start_s: float
    end_s: float = 0.0
    how: str = ""


class Ledger:
    """All that was executed, on all nodes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all: list[Execution] = []

    def begin(self, execution: Execution) -> Execution:
        """It runs from now on."""
        with self._lock:
            self._all.append(execution)
        return execution

    @property
    def all(self) -> list[Execution]:
        """All of them; a copy."""
        with self._lock:
            return list(self._all)


@dataclass
class Part:
    """What a node has of one attempt at a run, as its spool would hold it."""

    order: dict[str, Any]
    client: CollectorClient  # with the run's token
    seq: int = 0
    status: str = "Starting"
    exit_code: int | None = None
    cause: str = ""
    is_registered: bool = False  # the node is, with the run
    execution: Execution | None = None
    stop_s: float | None = None  # when it ends because it was asked to
    is_over: bool = False  # the end is told
    told: tuple[Any, ...] = ()
    told_s: float = 0.0

    @property
    def run_id(self) -> str:
        return str(self.order["run_id"])

    @property
    def attempt(self) -> int:
        return int(self.order["attempt"])

    @property
    def plan(self) -> dict[str, str]:
        """What the driver does, from the run's tags."""
        tags: dict[str, str] = self.order["order"]["spec"]["tags"]
        return tags


@dataclass
class Away:
    """The node was not heard from: from when until it had acted on the first word of the collector."""

    start_s: float
    end_s: float = float("inf")


class PretendNode:
    """One node, in a thread of its own. `silence`, `crash` and `come_back` may be called from any thread."""

    def __init__(self, collector: CollectorProcess, cluster: str, number: int, ledger: Ledger) -> None:
        self.name = f"node-{number:08d}"
        self.away: list[Away] = []
        self.failures: list[BaseException] = []
        self._collector = collector
        self._ledger = ledger
        self._lock = threading.Lock()  # of what a death changes
        self._stop = threading.Event()
        self._parts: dict[Key, Part] = {}
        self._is_silent = self._is_down = False
        self._beaten: tuple[Any, ...] = ()
        self._beaten_s = 0.0
        self._seen = 0
        made = collector.client().json("POST", f"/clusters/{cluster}/join-tokens", {})
        self._token = self._join(made["token"])
        self._client = collector.client(self._token)
        self._thread = threading.Thread(target=self._main, name=self.name)

    def _join(self, token: str) -> str:
        body = {
            "node_id": self.name,
            "machine": sha256(self.name.encode()),
            "hostname": self.name,
            "ip": "127.0.0.1",
            "agent_version": "1.0",
            "capacity": {"cpus": CPUS, "memory_bytes": 32 << 30, "gpus": 0, "gpu_name": ""},
        }
        return str(self._collector.client(token).json("POST", "/nodes", body)["token"])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def silence(self) -> None:
        """From now on the node hears and says nothing; what runs there goes on."""
        with self._lock:
            self._is_silent = True
            self.away.append(Away(time.monotonic()))

    def crash(self, *, is_wiped: bool) -> None:
        """Everything on the node ends now, and nobody is told; `is_wiped`: its disk is gone, too."""
        with self._lock:
            self._is_down = True
            now_s = time.monotonic()
            self.away.append(Away(now_s))
            for part in self._parts.values():
                if part.execution is not None and not part.execution.how:
                    part.execution.end_s, part.execution.how = now_s, "crashed"
                if part.status not in FINAL:
                    part.status, part.cause = "Failed", "the node was started anew"
            if is_wiped:
                self._parts.clear()

    def come_back(self) -> None:
        """The end of silence or of a crash."""
        with self._lock:
            self._is_silent = self._is_down = False
            self._seen, self._beaten = 0, ()

    def _main(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except (CollectorUnreachable, CollectorBusy):
                self._stop.wait(LOOK_S)
            except BaseException as error:  # told by the test
                self.failures.append(error)
                return

    def _turn(self) -> None:
        with self._lock:
            is_silent, is_down = self._is_silent, self._is_down
            if not is_down:
                self._run_drivers()
        if is_silent or is_down:
            self._stop.wait(0.02)
            return
        self._beat()
        work = self._client.json("GET", f"/nodes/{self.name}/work", params={"seen": self._seen, "wait_s": LOOK_S})
        for part in list(self._parts.values()):
            self._advance(part)
        self._reconcile(work)
        with self._lock:
            if self.away and not self._is_silent and not self._is_down and self.away[-1].end_s == float("inf"):
                self.away[-1].end_s = time.monotonic() + GRACE_S

    @contextmanager
    def _there(self, part: Part) -> Iterator[bool]:
        """Whether the node is still what it was when this turn began; it stays so in the block."""
        with self._lock:
            yield not self._is_down and not self._is_silent and self._parts.get((part.run_id, part.attempt)) is part

    def _run_drivers(self) -> None:
        """What time does."""
        now_s = time.monotonic()
        for part in self._parts.values():
            execution = part.execution
            if part.status in FINAL:
                continue
            is_stopped = part.stop_s is not None and now_s >= part.stop_s
            if is_stopped:
                self._end(part, "Canceled", None, "it was asked to end")
            elif execution is not None and now_s >= execution.start_s + float(part.plan["seconds"]):
                code = int(part.plan["exit_code"])
                self._end(part, "Failed" if code else "Completed", code, f"exit code {code}" if code else "")

    def _end(self, part: Part, status: str, exit_code: int | None, cause: str) -> None:
        part.status, part.exit_code, part.cause = status, exit_code, cause
        if part.execution is not None and not part.execution.how:
            part.execution.end_s, part.execution.how = time.monotonic(), status

    def _reconcile(self, work: dict[str, Any]) -> None:
        wanted: dict[Key, dict[str, Any]] = {(one["run_id"], one["attempt"]): one for one in work["assignments"]}
        self._seen = work["version"]
        for key, part in list(self._parts.items()):
            if key not in wanted and part.is_over:
                with self._there(part) as is_there:
                    if is_there:
                        del self._parts[key]
            elif key not in wanted or wanted[key]["stop"]:
                self._ask_to_end(part)
        for key, order in wanted.items():
            if key not in self._parts and not order["stop"]:
                self._take(order)

    @staticmethod
    def _ask_to_end(part: Part) -> None:
        if part.stop_s is None:
            part.stop_s = time.monotonic() + GRACE_S

    def _take(self, order: dict[str, Any]) -> None:
        """Register the run; from then on it is in the spool. Refused: it was given to others since."""
        token = secrets.token_hex(32)
        part = Part(order, self._collector.client(token))
        spec = order["order"]["spec"]
        wanted = {
            "run_id": part.run_id,
            "experiment": "queued",
            "key": secrets.token_hex(16),
            "run_token_sha256": sha256(token.encode()),
            "created_ns": time.time_ns(),
            "command": spec["command"],
            "attempt": part.attempt,
            "node_count": order["node_count"],
            "world_size": order["node_count"],
            "node_id": self.name,
            "node_rank": order["node_rank"],
            "hostname": self.name,
        }
        try:
            self._client.json("POST", "/runs", wanted)
        except CollectorRefused as error:
            if error.code != "not-placed":
                raise
            return
        with self._lock:
            if not self._is_down:
                self._parts[part.run_id, part.attempt] = part

    def _advance(self, part: Part) -> None:
        """The next of a run's steps that needs the collector."""
        if not part.is_registered:
            place = {"node_id": self.name, "ip": "127.0.0.1", "hostname": self.name}
            part.client.json("POST", f"/runs/{part.run_id}/nodes", place)
            part.is_registered = True
        if part.status == "Starting" and part.stop_s is None and self._all_are_there(part):
            self._begin(part)
        self._tell(part)

    def _all_are_there(self, part: Part) -> bool:
        if part.order["node_count"] == 1:
            return True
        me = {"node_id": self.name, "node_rank": part.order["node_rank"], "attempt": part.attempt, "ip": "127.0.0.1"}
        try:
            met = part.client.json("POST", f"/runs/{part.run_id}/rendezvous", me | {"hostname": self.name, "port": 1234})
        except CollectorRefused as error:
            if error.status != 409:
                raise
            with self._there(part) as is_there:
                if is_there and part.status not in FINAL:
                    self._end(part, "Failed", None, f"rendezvous: {error}")
            return False
        return bool(met["is_whole"])

    def _begin(self, part: Part) -> None:
        with self._there(part) as is_there:
            if is_there and part.status == "Starting":
                cpus = float(part.order["request"]["cpus"]) or CPUS
                place = (part.run_id, part.attempt, part.order["node_rank"], self.name)
                part.execution = self._ledger.begin(Execution(*place, cpus, time.monotonic()))
                part.status = "Running"

    def _tell(self, part: Part) -> None:
        with self._lock:
            word = (part.status, part.exit_code, part.cause)
        if part.is_over or (word == part.told and time.monotonic() - part.told_s < BEAT_S):
            return
        part.seq += 1
        is_final = part.status in FINAL
        body: dict[str, Any] = {"seq": part.seq, "attempt": part.attempt, "status": word[0], "exit_code": word[1]}
        body |= {"cause": word[2], "started_ns": 1, "is_complete": is_final} | (
            {"ended_ns": time.time_ns()} if is_final else {}
        )
        answer = part.client.json("PUT", f"/runs/{part.run_id}/nodes/{self.name}/state", body)
        part.told, part.told_s, part.is_over = word, time.monotonic(), word[0] in FINAL
        if answer["stop"] is not None and not part.is_over:
            self._ask_to_end(part)

    def _beat(self) -> None:
        with self._lock:
            runs = [
                {
                    "run_id": part.run_id,
                    "attempt": part.attempt,
                    "status": part.status if part.is_over or part.status not in FINAL else "Finalizing",
                    "is_over": part.is_over,
                }
                for part in self._parts.values()
            ]
        report = (tuple((run["run_id"], run["attempt"], run["status"]) for run in runs),)
        if report == self._beaten and time.monotonic() - self._beaten_s < BEAT_S:
            return
        status = "Running" if any(not run["is_over"] for run in runs) else "Idle"
        told = {"status": status, "now_ns": time.time_ns(), "runs": runs}
        self._client.json("PUT", f"/nodes/{self.name}/heartbeat", told)
        self._beaten, self._beaten_s = report, time.monotonic()
