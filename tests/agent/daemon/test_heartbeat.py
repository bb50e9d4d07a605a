"""What a heartbeat weighs on the wire."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest
import structlog

from runyard import __version__
from runyard.agent.daemon import reconcile
from runyard.agent.daemon.conversation import Conversation
from runyard.agent.daemon.credentials import CredentialStore
from runyard.agent.daemon.link import Link
from runyard.settings import Agent
from tests.agent.telemetry.gpu_node import GpuNode, build
from tests.waiting import wait_for

NODE = "node-0123456789abcdef"
JOINED = {"cluster": "lab", "token_id": "t", "token": "0" * 64}
WORK = {"version": 1, "is_drained": False, "assignments": []}
BAR_BYTES = 1024

heartbeats: list[bytes] = []


class _Collector(BaseHTTPRequestHandler):
    """Takes everything and keeps the heartbeats."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        heartbeats.append(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer({})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(JOINED)

    def do_GET(self) -> None:
        self._answer(WORK)

    def log_message(self, *words: object) -> None:
        """Quiet."""

    def _answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.needs_system("gcc")
def test_a_heartbeat_with_eight_gpus_and_five_runs_is_under_a_kilobyte(tmp_path: Path, collector: HTTPServer) -> None:
    with GpuNode(tmp_path / "gpus", build(tmp_path / "lib")) as node:
        node.wish(gpus=8)
        node.look()
        seen = node.look()
    runs = [reconcile.LocalRun(f"training_20261124_1200_{number:06x}", 1, "Preparing") for number in range(5)]
    report = {"status": "Running", "reason": "", "agent_version": __version__, "refused": [], "capacity": seen["capacity"]}
    (tmp_path / "join").write_text("join")
    link = Link(f"http://127.0.0.1:{collector.server_port}", CredentialStore(tmp_path / "state"), NODE, str(tmp_path / "join"))
    link.join()
    settings = replace(Agent(), heartbeat_s=0.2, work_wait_s=0.2)
    talk = Conversation(link, NODE, settings, threading.Event(), structlog.get_logger())
    talk.tell(report | {"runs": reconcile.told(runs, None)})
    heartbeats.clear()
    talk.start(lambda: seen["sample"])
    wait_for(lambda: len(heartbeats) > 2, "some heartbeats")
    talk.stop(report | {"runs": []})
    wait_for(lambda: not {"heartbeat", "work"} & {thread.name for thread in threading.enumerate()}, "the end of both threads")
    told = json.loads(heartbeats[0])
    assert (len(told["runs"]), told["sample"]["gpus"], told["capacity"]["gpus"]) == (5, 8, 8)
    assert "capacity" not in json.loads(heartbeats[1])
    assert len(heartbeats[1]) < BAR_BYTES, heartbeats[1]
