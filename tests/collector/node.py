"""A node as the collector sees it, for tests: creates a run, opens streams, sends frames, seals, and follows.

Speaks the API through runyard.client and raw sockets; knows nothing of the agent.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from runyard import wire
from runyard.client import CollectorClient, path_segments
from runyard.sse import Event, EventDecoder
from tests.collector_process import CollectorProcess

LOG = "azureml-logs/70_driver_log.txt"


def frame(stream: int, offset: int, data: bytes) -> bytes:
    """One DATA frame."""
    return wire.pack_header(wire.DATA, stream, offset, len(data)) + data


def gap_frame(stream: int, start: int, end: int) -> bytes:
    """One GAP frame."""
    return wire.pack_header(wire.GAP, stream, start, end - start)


def sha256(data: bytes) -> str:
    """Digest of `data`."""
    return hashlib.sha256(data).hexdigest()


class Answer:
    """An HTTP answer, read whole."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = response.read()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.data)


def call(
    collector: CollectorProcess,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request with a connection of its own; `body` is bytes, or a value that is sent as JSON."""
    connection = http.client.HTTPConnection(collector.url.removeprefix("http://"), timeout=20)
    token = collector.token if token is None else token
    sent = {"Authorization": f"Bearer {token}"} if token else {}
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        sent["Content-Type"] = "application/json"
    try:
        connection.request(method, path, body=body, headers=sent | dict(headers or {}))
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Node:
    """One node of one run."""

    def __init__(
        self,
        collector: CollectorProcess,
        *,
        run_id: str = "",
        node_id: str = "",
        ip: str = "127.0.0.1",
        create: bool = True,
        register: bool = True,
        **fields: Any,
    ) -> None:
        self.collector = collector
        self.client: CollectorClient = collector.client()
        self.run_id = run_id or "run-" + secrets.token_hex(4)
        self.node_id = node_id or "node-" + secrets.token_hex(6)
        self.run_token = secrets.token_hex(32)
        self.seq = 0
        self.experiment = fields.get("experiment", "exp")
        if create:
            self.client.json("POST", "/runs", self.description(**fields))
        if not register:
            return
        answer = self.client.json("POST", f"/runs/{self.run_id}/nodes", {"node_id": self.node_id, "ip": ip, "hostname": "host"})
        self.folder: str = answer["folder"]

    def description(self, **fields: Any) -> dict[str, Any]:
        """The body that creates this run."""
        base = {
            "run_id": self.run_id,
            "experiment": "exp",
            "key": secrets.token_hex(16),
            "run_token_sha256": sha256(self.run_token.encode()),
            "created_ns": time.time_ns(),
            "command": ["python", "train.py"],
        }
        return base | fields

    def open(self, *names: str, generation: int = 0, source_id: str = "", attempt: int = 0) -> list[dict[str, Any]]:
        """Opens streams; their answers."""
        streams = [{"name": name, "generation": generation, "source_id": source_id} for name in names]
        body = {"node_id": self.node_id, "attempt": attempt, "streams": streams}
        answer: list[dict[str, Any]] = self.client.json("POST", f"/runs/{self.run_id}/streams", body)["streams"]
        return answer

    def open_one(self, name: str = LOG, generation: int = 0) -> int:
        """Opens one stream; its id."""
        stream_id: int = self.open(name, generation=generation)[0]["id"]
        return stream_id

    def ingest(self, *frames: bytes, sync: bool = False, streams: Sequence[int] = (), token: str | None = None) -> Answer:
        """One ingest request."""
        query = urlencode([("sync", "1")] * sync + [("stream", stream) for stream in streams])
        headers = {"Content-Type": "application/vnd.runyard.frames"}
        return call(
            self.collector, "POST", f"/api/v1/ingest?{query}", b"".join(frames), token=token or self.run_token, headers=headers
        )

    def send(self, stream: int, offset: int, data: bytes, *, sync: bool = False) -> dict[str, int]:
        """Sends bytes that have to be taken; the stream's ack."""
        answer = self.ingest(frame(stream, offset, data), sync=sync)
        assert answer.status == 200, answer.data
        ack: dict[str, int] = answer.json["acks"][0]
        return ack

    def seal(self, stream: int, data: bytes, *, digest: str = "", length: int | None = None) -> dict[str, Any]:
        """Seals a stream; the result."""
        size = len(data) if length is None else length
        segments = [{"start": 0, "end": size, "sha256": digest or sha256(data)}]
        body = {"seals": [{"stream": stream, "length": size, "segments": segments}]}
        result: dict[str, Any] = self.client.json("POST", f"/runs/{self.run_id}/seals", body)["seals"][0]
        return result

    def put_state(self, status: str, **fields: Any) -> Any:
        """Tells the node's state."""
        self.seq += 1
        body = {"seq": self.seq, "status": status} | fields
        return self.client.json("PUT", f"/runs/{self.run_id}/nodes/{self.node_id}/state", body)

    def complete(self, status: str = "Completed", exit_code: int = 0) -> None:
        """Says that all is over and sealed."""
        self.put_state(status, exit_code=exit_code, started_ns=1, ended_ns=2, is_complete=True)

    def file(self, path: str, **headers: str) -> Answer:
        """Reads a file."""
        target = f"/api/v1/runs/{self.run_id}/files/{path_segments(path)}"
        return call(self.collector, "GET", target, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def on_disk(self, path: str) -> bytes:
        """The file in the collector's data folder."""
        folder: Path = self.collector.data_dir / "runs" / self.experiment / self.run_id / self.folder
        return (folder / path).read_bytes()

    def run(self) -> dict[str, Any]:
        """The run as the collector shows it."""
        answer: dict[str, Any] = self.client.json("GET", f"/runs/{self.run_id}")
        return answer

    @contextmanager
    def follow(self, *, last_id: str = "", **params: Any) -> Iterator[Iterator[Event]]:
        """The events of a follow, as they come."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        client = self.collector.client(timeout_s=20)
        with client.stream("GET", f"/runs/{self.run_id}/follow", params=params, headers=headers) as response:
            yield self._events(client, response, last_id)

    def _events(self, client: CollectorClient, response: http.client.HTTPResponse, last_id: str) -> Iterator[Event]:
        decoder = EventDecoder(last_id)
        while data := client.read(response, 1 << 20):
            yield from decoder.feed(data)

    def followed(self, *, last_id: str = "", **params: Any) -> list[Event]:
        """All events of a follow that ends by itself."""
        with self.follow(last_id=last_id, **params) as events:
            return list(events)


def data_of(events: Sequence[Event], stream: int | None = None) -> bytes:
    """The bytes in data events (of one stream), checked to follow each other; gaps count as NUL bytes."""
    found = bytearray()
    position: int | None = None
    for event in events:
        if event.name not in ("data", "gap"):
            continue
        value = json.loads(event.data)
        if stream is not None and value["stream"] != stream:
            continue
        data = base64.b64decode(value["data"]) if event.name == "data" else bytes(value["length"])
        if stream is not None:
            assert position in (None, value["offset"]), (
                f"an event starts at {value['offset']}, the one before ended at {position}"
            )
            position = value["offset"] + len(data)
        found += data
    return bytes(found)
