"""Pretend nodes: many in one process, each with its own connection, run, node, streams and states, as a shipper has them.

Reads the clock (a pretend file's length and bytes follow from it, so nothing is kept); writes to a real collector. Works in the
shipper's rhythm: one request at a time with all that has grown, then a pause of what is left of the polling interval.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from runyard import names
from runyard.settings import Ship
from runyard.timeindex import RECORD_BYTES as RECORD_BYTES
from runyard.timeindex import STDOUT, pack
from runyard.wire import DATA, pack_header

from .simulate_link import Link, Refused, Unanswered

# The shipper's own limits (agent/ship): an answer, a synced answer, quiet before it asks for durability.
ANSWER_S = 15.0
SYNCED_S = 60.0
BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
FRAMES = b"application/vnd.runyard.frames"
LINE_BYTES = 100
_LINE = b"%08d node %05d stream %02d at %016d loss 0.1234 lr 3e-4 tok/s 12345 mem 12.3GB"


@dataclass(frozen=True, slots=True)
class Load:
    """What is pretended. `first_node` and `node_count` are this process's share of the nodes."""

    host: str
    port: int
    token: str
    first_node: int
    node_count: int
    nodes_per_run: int
    streams: int
    lines_per_s: float
    seconds: float
    state_interval_s: float


@dataclass(slots=True)
class Told:
    """What a process says at the end."""

    opened_s: float = 0.0
    bytes_total: int = 0
    streams_total: int = 0
    requests: int = 0
    request_s: float = 0.0
    cpu_s: float = 0.0
    drained_s: float = 0.0
    sealed_s: float = 0.0
    lost_bytes: int = 0
    duplicated_bytes: int = 0
    differing_streams: int = 0
    errors: dict[str, int] = field(default_factory=dict)


def run_of(node: int, nodes_per_run: int) -> str:
    """The run of a pretend node."""
    return f"pretend-{node // nodes_per_run:05d}"


def node_id(node: int) -> str:
    """The id of a pretend node."""
    return f"pretend-node-{node:05d}"


def log_name(node: int, stream: int, load_streams: int, nodes_per_run: int) -> str:
    """The driver log of a pretend process."""
    rank = node % nodes_per_run * load_streams + stream
    return names.driver_log(rank, max(2, load_streams * nodes_per_run))


class PretendFile:
    """A log (or its index) that grows by itself: line k is there from the moment start + k / rate on."""

    __slots__ = ("_is_index", "_template", "durable", "first_ns", "name", "sent", "step_ns", "stream_id", "unit")

    def __init__(self, name: str, node: int, stream: int, *, is_index: bool, step_ns: int) -> None:
        self.name = name
        self._template = (_LINE % (0, node, stream, 0))[8:]
        self._is_index = is_index
        self.unit = RECORD_BYTES if is_index else LINE_BYTES
        self.step_ns = step_ns
        self.first_ns = 0
        self.stream_id = -1
        self.sent = self.durable = 0

    def size(self, now_ns: int) -> int:
        """Its length at that moment; before the start of the load it is empty."""
        if not self.first_ns or now_ns < self.first_ns:
            return 0
        return ((now_ns - self.first_ns) // self.step_ns + 1) * self.unit

    def read(self, start: int, end: int) -> bytes:
        """Bytes as they will always be."""
        first, last = start // self.unit, -(-end // self.unit)
        make = self._record if self._is_index else self._line
        whole = b"".join([make(number) for number in range(first, last)])
        return whole[start - first * self.unit : end - first * self.unit]

    def _line(self, number: int) -> bytes:
        at = self.first_ns + number * self.step_ns
        text = b"%08d%b%016d%b" % (number, self._template[:25], at, self._template[41:])
        return text.ljust(LINE_BYTES - 1) + b"\n"

    def _record(self, number: int) -> bytes:
        at = self.first_ns + number * self.step_ns
        return pack((number + 1) * LINE_BYTES, at + _WALL_NS, at, STDOUT)


_WALL_NS = time.time_ns() - time.monotonic_ns()


class PretendNode:
    """One node's shipper. `run` goes on until everything is sealed."""

    def __init__(self, load: Load, number: int, told: Told) -> None:
        self._load, self._number, self._told = load, number, told
        self._link = Link(load.host, load.port)
        self._run_path = f"/runs/{run_of(number, load.nodes_per_run)}"
        self._id = node_id(number)
        self._seq = 0
        self._state_due_s = 0.0
        self._end_ns = 0
        self._failures = 0
        self._asked_pause_s = 0.0
        self._settings = Ship()
        self.opened = asyncio.Event()
        step_ns = int(1e9 / load.lines_per_s)
        logs = [log_name(number, stream, load.streams, load.nodes_per_run) for stream in range(load.streams)]
        self.files = [PretendFile(name, number, stream, is_index=False, step_ns=step_ns) for stream, name in enumerate(logs)]
        self.files += [
            PretendFile(names.index_of(name), number, stream, is_index=True, step_ns=step_ns)
            for stream, name in enumerate(logs)
        ]

    def start(self, at_ns: int) -> None:
        """The drivers begin to write at `at_ns`, each stream at a moment of its own."""
        step_ns, streams = self.files[0].step_ns, self._load.streams
        for position, file in enumerate(self.files):
            share = (self._number * 7919 + position % streams * 104729) % 1000
            file.first_ns = at_ns + step_ns * share // 1000
        self._end_ns = at_ns + int(self._load.seconds * 1e9)

    async def run(self) -> None:
        """All of the node's life; connects anew whatever happens."""
        is_done = False
        while not is_done:
            try:
                await self._connect()
                await self._ship()
                is_done = await self._finish()
                self._failures = 0
            except (Unanswered, Refused) as error:
                told = f"{type(error).__name__}: {str(error)[:160]}"
                self._told.errors[told] = self._told.errors.get(told, 0) + 1
                pause_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
                self._failures += 1
                await asyncio.sleep(max(pause_s, error.retry_after_s if isinstance(error, Refused) else 0))
        self._link.close()

    async def _connect(self) -> None:
        await self._link.open(ANSWER_S)
        number, load = self._number, self._load
        run_id = run_of(number, load.nodes_per_run)
        token = f"pretend-token-of-{run_id}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        run = {"run_id": run_id, "experiment": "pretend", "key": digest[:32], "run_token_sha256": digest, "created_ns": 1}
        run |= {"command": ["python", "train.py"], "node_count": load.nodes_per_run}
        self._link.token = load.token
        await self._json("POST", "/runs", run | {"world_size": load.nodes_per_run * load.streams})
        self._link.token = token
        place = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        await self._json("POST", f"{self._run_path}/nodes", {"node_id": self._id, "ip": place, "hostname": self._id})
        self._adopt((await self._json("GET", f"{self._run_path}/streams?node_id={self._id}"))["streams"])
        await self._tell("Running")
        wanted = [{"name": file.name, "source_id": f"0:{at}"} for at, file in enumerate(self.files) if file.stream_id < 0]
        if wanted:
            body = {"node_id": self._id, "streams": wanted}
            self._adopt((await self._json("POST", f"{self._run_path}/streams", body))["streams"])
        self.opened.set()

    def _adopt(self, streams: list[dict[str, Any]]) -> None:
        by_name = {stream["name"]: stream for stream in streams}
        for file in self.files:
            stream = by_name.get(file.name)
            if stream is not None:
                file.stream_id, file.sent, file.durable = stream["id"], stream["offset"], stream["durable"]

    async def _ship(self) -> None:
        """Send what has grown until the drivers have ended and everything has been sent."""
        poll_s = self._settings.poll_interval_s
        while True:
            started_s = time.monotonic()
            now_ns = min(time.monotonic_ns(), self._end_ns) if self._end_ns else time.monotonic_ns()
            grown = [(file, size) for file in self.files if (size := file.size(now_ns)) > file.sent]
            if grown:
                await self._ingest([pack_header(DATA, f.stream_id, f.sent, n - f.sent) + f.read(f.sent, n) for f, n in grown])
            elif self._end_ns and time.monotonic_ns() >= self._end_ns:
                return
            if time.monotonic() >= self._state_due_s:
                await self._tell("Running")
            pause_s = max(poll_s if self._end_ns else self._settings.idle_interval_s, self._asked_pause_s)
            await asyncio.sleep(max(pause_s - (time.monotonic() - started_s), pause_s / 3))

    async def _ingest(self, frames: list[bytes], *, sync: bool = False) -> None:
        path = "/ingest?sync=1" if sync else "/ingest"
        begun_s = time.monotonic()
        body = b"".join(frames)
        answer = await self._link.request("POST", path, body, FRAMES, timeout_s=SYNCED_S if sync else ANSWER_S)
        self._told.requests += 1
        self._told.request_s += time.monotonic() - begun_s
        by_id = {file.stream_id: file for file in self.files}
        acks = json.loads(answer)
        self._asked_pause_s = acks["pause_s"]
        for ack in acks["acks"]:
            file = by_id[ack["id"]]
            file.sent, file.durable = ack["offset"], ack["durable"]

    async def _finish(self) -> bool:
        """What a shipper does once the run has ended on its node; False where bytes are missing and are to be sent again."""
        await self._ingest([pack_header(DATA, file.stream_id, file.sent, 0) for file in self.files], sync=True)
        self._told.drained_s = max(self._told.drained_s, (time.monotonic_ns() - self._end_ns) / 1e9)
        seals = []
        for file in self.files:
            size = file.size(self._end_ns)
            digest = await asyncio.to_thread(_sha256, file, size)
            seals.append({"stream": file.stream_id, "length": size, "segments": [{"start": 0, "end": size, "sha256": digest}]})
        answer = await self._json("POST", f"{self._run_path}/seals", {"seals": seals}, timeout_s=SYNCED_S)
        for file, seal in zip(self.files, answer["seals"], strict=True):
            self._count(file.size(self._end_ns), seal)
        await self._tell("Completed", is_complete=True)
        self._told.sealed_s = max(self._told.sealed_s, (time.monotonic_ns() - self._end_ns) / 1e9)
        return True

    def _count(self, length: int, seal: dict[str, Any]) -> None:
        told = self._told
        told.bytes_total += seal["offset"]
        told.streams_total += 1
        told.lost_bytes += max(0, length - seal["offset"])
        told.duplicated_bytes += max(0, seal["offset"] - length)
        told.differing_streams += seal["result"] != "sealed"

    async def _tell(self, status: str, *, is_complete: bool = False) -> None:
        self._seq = max(self._seq + 1, time.time_ns())
        processes = [
            {"rank": rank, "status": "Started", "pid": 100 + rank, "log": self.files[rank].name}
            for rank in range(self._load.streams)
        ]
        moments = [{"status": "Starting", "wall_ns": 1}, {"status": "Running", "phase": "driver", "wall_ns": 2}]
        body = {"seq": self._seq, "status": status, "phase": "driver", "started_ns": 1, "processes": processes}
        body |= {"transitions": moments, "is_complete": is_complete, "clock": {"offset_ns": 1, "error_ns": 1}}
        await self._json("PUT", f"{self._run_path}/nodes/{self._id}/state", body)
        self._state_due_s = time.monotonic() + self._load.state_interval_s

    async def _json(self, method: str, path: str, value: Any = None, *, timeout_s: float = ANSWER_S) -> Any:
        return await self._link.json(method, path, value, timeout_s=timeout_s)


def _sha256(file: PretendFile, size: int) -> str:
    return hashlib.sha256(file.read(0, size)).hexdigest()


def main(load: Load, pipe: Connection) -> None:
    """A process of pretend nodes: says when its streams are open, begins when it is told, tells at the end."""
    asyncio.run(_main(load, pipe))


async def _main(load: Load, pipe: Connection) -> None:
    told = Told()
    begun_s = time.monotonic()
    nodes = [PretendNode(load, load.first_node + number, told) for number in range(load.node_count)]
    tasks = [asyncio.create_task(node.run()) for node in nodes]
    await asyncio.gather(*(node.opened.wait() for node in nodes))
    told.opened_s = time.monotonic() - begun_s
    pipe.send(told.opened_s)
    start_ns = await asyncio.to_thread(pipe.recv)
    cpu_s = time.process_time()
    for node in nodes:
        node.start(start_ns)
    await asyncio.sleep((start_ns - time.monotonic_ns()) / 1e9 + load.seconds)
    told.cpu_s = time.process_time() - cpu_s
    pipe.send(None)
    await asyncio.gather(*tasks)
    pipe.send(asdict(told))
