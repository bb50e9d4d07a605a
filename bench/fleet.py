"""A thousand pretend agents at a real collector: what it costs that they wait for work and say how they are, and how soon all
of them have a run that wants them all.

Each agent has two connections, as a real one has: one on which it waits for work, and one for its heartbeats.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .processes import Collector, collector
from .result import Result
from .simulate_link import Link

AGENTS = 1000
WAIT_S = 30.0
HEARTBEAT_S = 10.0
QUIET_S = 30.0
LIMIT_S = 60.0
SAMPLE = {
    "cpu_percent": 12.5, "load1": 3.2, "mem_used_bytes": 1.2e11, "disk_free_bytes": 3.1e12, "net_in_bytes_s": 2.2e6,
    "net_out_bytes_s": 3.1e6, "psi_cpu_percent": 0.1, "procs": 512, "gpus": 8, "gpu_percent": 97.0, "gpu_power_w": 5120.5,
}  # fmt: skip


class _Agent:
    def __init__(self, host: str, port: int, number: int) -> None:
        self.node_id = f"fleet-{number:05d}"
        self.number = number
        self.waiting, self.telling = Link(host, port), Link(host, port)
        self.version = 0
        self.runs: set[str] = set()
        self.polls = 0

    async def join(self, token: str) -> None:
        await self.waiting.open(LIMIT_S)
        await self.telling.open(LIMIT_S)
        self.telling.token = token
        machine = hashlib.sha256(self.node_id.encode()).hexdigest()
        body: dict[str, Any] = {"node_id": self.node_id, "machine": machine, "hostname": f"n{self.number}", "ip": "10.9.8.7"}
        body |= {"agent_version": "1", "capacity": {"cpus": 64, "memory_bytes": 1 << 39, "gpus": 8}}
        joined = await self.telling.json("POST", "/nodes", body, timeout_s=LIMIT_S)
        self.waiting.token = self.telling.token = joined["token"]

    async def wait(self) -> None:
        """Asks for work for ever."""
        while True:
            path = f"/nodes/{self.node_id}/work?seen={self.version}&wait_s={WAIT_S}"
            work = await self.waiting.json("GET", path, timeout_s=LIMIT_S)
            self.version, self.runs = work["version"], {one["run_id"] for one in work["assignments"]}
            self.polls += 1

    async def tell(self) -> int:
        """One heartbeat; its size."""
        body = {"status": "Idle", "now_ns": time.time_ns(), "runs": [], "sample": SAMPLE | {"load1": self.number / 7}}
        await self.telling.json("PUT", f"/nodes/{self.node_id}/heartbeat", body, timeout_s=LIMIT_S)
        return len(json.dumps(body))

    async def beat(self) -> None:
        """Heartbeats for ever; those of all agents are spread over the time between two."""
        await asyncio.sleep(HEARTBEAT_S * self.number / AGENTS)
        while True:
            await self.tell()
            await asyncio.sleep(HEARTBEAT_S)


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields CPU while nothing happens, and the time until all have a run."""
    del size_bytes, rounds
    with collector(folder / "data") as process:
        yield from asyncio.run(_measure(process))


async def _measure(process: Collector) -> list[Result]:
    place = urlsplit(process.url)
    assert place.hostname is not None
    assert place.port is not None
    admin = Link(place.hostname, place.port)
    await admin.open(LIMIT_S)
    admin.token = process.token
    made = await admin.json("POST", "/clusters/fleet/join-tokens", {"uses": AGENTS}, timeout_s=LIMIT_S)
    agents = [_Agent(place.hostname, place.port, number) for number in range(AGENTS)]
    begun_s = time.perf_counter()
    for start in range(0, AGENTS, 50):
        await asyncio.gather(*(agent.join(made["token"]) for agent in agents[start : start + 50]))
    joined_s = time.perf_counter() - begun_s
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.wait()) for agent in agents]
        sizes = await asyncio.gather(*(agent.tell() for agent in agents))
        waiting = await _cpu_percent(process)
        tasks += [group.create_task(agent.beat()) for agent in agents]
        await asyncio.sleep(HEARTBEAT_S)
        beating = await _cpu_percent(process)
        placed_s = await _place(admin, agents)
        for task in tasks:
            task.cancel()
    return [
        Result(f"fleet.{AGENTS}.joined", joined_s, "s", None),
        Result(f"fleet.{AGENTS}.waiting_cpu", waiting, "% of a core", 5.0),
        Result(f"fleet.{AGENTS}.heartbeats_cpu", beating, "% of a core", 30.0),
        Result(f"fleet.{AGENTS}.all_have_a_run", placed_s, "s", None),
        Result(f"fleet.{AGENTS}.heartbeat_bytes", float(max(sizes)), "bytes", 1000.0),
        Result(f"fleet.{AGENTS}.peak_rss", float(process.peak_rss_bytes()), "bytes", 1e9),
    ]


async def _cpu_percent(process: Collector) -> float:
    """CPU of the collector over a while in which nothing but what goes on by itself happens."""
    begun_s, cpu_s = time.perf_counter(), process.cpu_s()
    await asyncio.sleep(QUIET_S)
    return 100 * (process.cpu_s() - cpu_s) / (time.perf_counter() - begun_s)


async def _place(admin: Link, agents: list[_Agent]) -> float:
    """From submitting a run that wants all nodes until each knows of it."""
    spec: dict[str, Any] = {"command": ["python", "train.py"]}
    wanted = {"run_id": "wide", "order": {"spec": spec}, "node_count": AGENTS}
    begun_s = time.perf_counter()
    await admin.json("POST", "/clusters/fleet/runs", wanted, timeout_s=LIMIT_S)
    while not all(agent.runs for agent in agents):
        await asyncio.sleep(0.01)
        assert time.perf_counter() - begun_s < LIMIT_S
    return time.perf_counter() - begun_s
