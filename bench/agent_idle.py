"""An idle agent: the memory and the share of one core that `runyard agent` takes, and the size of its heartbeats on the wire.

A real agent with the default settings beside a real collector; between them a relay that looks at the requests.
"""

from __future__ import annotations

import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from runyard.client import CollectorClient

from .processes import RUNYARD, clean_environment, collector
from .result import Result

SECONDS = 60.0
BAR_RSS_BYTES = 60_000_000
BAR_PERCENT = 1.0
BAR_HEARTBEAT_BYTES = 1000
# An agent that has just started loads modules and joins; that is no idling.
SETTLE_S = 15.0
_HEARTBEAT = re.compile(rb"PUT \S+/heartbeat HTTP.*?content-length: (\d+)", re.DOTALL | re.IGNORECASE)


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields CPU over SECONDS, memory at their end, and the longest heartbeat's body."""
    del size_bytes, rounds
    with collector(folder / "data") as server, _Relay(int(server.url.rpartition(":")[2])) as relay:
        joined = CollectorClient(server.url, server.token).json("POST", "/clusters/bench/join-tokens", {})
        (folder / "join").write_text(joined["token"])
        env = clean_environment(
            RUNYARD_COLLECTOR_URL=f"http://127.0.0.1:{relay.port}",
            RUNYARD_SPOOL__DIR=str(folder / "spool"),
            RUNYARD_ENVIRONMENT__CACHE_DIR=str(folder / "cache"),
            RUNYARD_AGENT__STATE_DIR=str(folder / "state"),
            RUNYARD_AGENT__JOIN_TOKEN_FILE=str(folder / "join"),
        )
        agent = subprocess.Popen([*RUNYARD, "agent"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(SETTLE_S)
            process = psutil.Process(agent.pid)
            before = process.cpu_times()
            time.sleep(SECONDS)
            after, rss_bytes = process.cpu_times(), process.memory_info().rss
        finally:
            agent.terminate()
            assert agent.wait(60) == 0
    spent_s = after.user + after.system - before.user - before.system
    yield Result("agent.idle_cpu", 100 * spent_s / SECONDS, "% of a core", BAR_PERCENT)
    yield Result("agent.idle_rss", rss_bytes, "bytes", BAR_RSS_BYTES)
    yield Result("agent.heartbeat", max(relay.heartbeats()), "bytes", BAR_HEARTBEAT_BYTES)


class _Relay:
    """Passes bytes on to the collector and keeps those of requests."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._requests: list[bytearray] = []

    def __enter__(self) -> _Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._listener.close()

    def heartbeats(self) -> list[int]:
        """The lengths of their bodies."""
        return [int(length) for data in self._requests for length in _HEARTBEAT.findall(bytes(data))]

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(("127.0.0.1", self._to_port))
            kept = bytearray()
            self._requests.append(kept)
            for source, target, keep in ((near, far, kept), (far, near, None)):
                threading.Thread(target=_pass_on, args=(source, target, keep), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, keep: bytearray | None) -> None:
    try:
        while data := source.recv(65536):
            if keep is not None:
                keep += data
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:  # either side has hung up
        source.close()
        target.close()
