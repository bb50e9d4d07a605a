"""What the collector is asked and told about one run of this node, as calls: each is one request on the shipper's link.

Reads from and writes to the collector; the paths and members are those of docs/http-api.md. Raises CollectorError's kinds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from runyard.agent.node import ip_towards
from runyard.client import API_PREFIX, CollectorClient, path_segment
from runyard.errors import CollectorRefused, CollectorUnreachable

from .clock import Clock
from .link import Answer, AnsweredEarly, FileShrank, Link, Stopped
from .register import payload

# A request may name so many streams (docs/http-api.md).
STREAMS_PER_REQUEST = 1000

# A collector whose disk is slow may take long to write, and longer to make it durable.
SYNC_TIMEOUT_S = 60.0
# Whatever the collector asks for, a run's end is noticed by then.
LONGEST_PAUSE_S = 5.0

# (descriptor, first byte, byte behind the last one, frame header); a header alone has descriptor -1.
Large = tuple[int, int, int, bytes]


class Remote:
    """One run at the collector, seen from one node."""

    def __init__(
        self, run: dict[str, Any], url: str, creator_token: str, is_stopping: Callable[[], bool], *, timeout_s: float
    ) -> None:
        self._run = run
        self._creator = CollectorClient(url, creator_token)
        self._client = CollectorClient(url, run["run_token"])
        self._link = Link(self._client, is_stopping, timeout_s=timeout_s)
        self._run_path = f"/runs/{path_segment(run['run_id'])}"
        self._frames_head = {
            sync: self._link.head("POST", self._target("/ingest") + ("?sync=1" if sync else ""), self._frames_headers())
            for sync in (False, True)
        }
        self.requests_total = 0
        self.asked_pause_s = 0.0
        self.clock = Clock()

    @property
    def url(self) -> str:
        return self._client.url

    def open(self) -> None:
        """Connect anew."""
        self._link.open()

    def close(self) -> None:
        self._link.close()

    def create_run(self) -> None:
        """Make the run known, as its creator; a creator that may not is no matter where the run is known already."""
        try:
            self._json(self._creator, "POST", "/runs", payload(self._run))
        except CollectorRefused as error:
            if error.status not in (401, 403) or not self._is_known():
                raise

    def _is_known(self) -> bool:
        try:
            self._json(self._client, "GET", self._run_path)
        except CollectorRefused:
            return False
        return True

    def join(self) -> None:
        """Make this node known in the run."""
        body = {"node_id": self._run["node_id"], "ip": ip_towards(self.url), "hostname": self._run.get("hostname", "")}
        self._json(self._client, "POST", f"{self._run_path}/nodes", body)

    def streams(self) -> list[dict[str, Any]]:
        """The current generation of every stream of this node's attempt."""
        path = f"{self._run_path}/streams?node_id={path_segment(self._run['node_id'])}&attempt={self._run.get('attempt', 0)}"
        return list(self._json(self._client, "GET", path)["streams"])

    def open_streams(self, wanted: Sequence[tuple[str, int, str]]) -> list[dict[str, Any]]:
        """Open (name, generation, source) each; at most STREAMS_PER_REQUEST. Answers are in the same order."""
        streams = [{"name": name, "generation": generation, "source_id": source} for name, generation, source in wanted]
        body = {"node_id": self._run["node_id"], "attempt": self._run.get("attempt", 0), "streams": streams}
        return list(self._json(self._client, "POST", f"{self._run_path}/streams", body)["streams"])

    def seal(self, seals: Sequence[dict[str, Any]], *, timeout_s: float) -> list[dict[str, Any]]:
        """Seal streams; the collector reads all their bytes before it answers."""
        answer = self._json(self._client, "POST", f"{self._run_path}/seals", {"seals": list(seals)}, timeout_s=timeout_s)
        return list(answer["seals"])

    def put_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """Tell the node's word on the run, and how its clock is; what the collector asks of this node: {"stop", …}."""
        state = state | {"attempt": self._run.get("attempt", 0), "earlier": self._run.get("earlier") or []}
        state |= {"clock": self.clock.told(time.monotonic_ns())}
        path = f"{self._run_path}/nodes/{path_segment(self._run['node_id'])}/state"
        if not self._link.is_open:
            self._link.open()  # connecting is no part of the round trip that is measured
        sent_ns = time.monotonic_ns()
        answer: dict[str, Any] = self._json(self._client, "PUT", path, state)
        if isinstance(answer.get("now_ns"), int):
            self.clock.measured(sent_ns, time.monotonic_ns(), answer["now_ns"], int(answer.get("took_ns") or 0))
        return answer

    def sign_of_life(self) -> None:
        """Tell that this node is there."""
        self.ingest(b"", (), sync=False)

    def ingest(self, small: bytes, large: Sequence[Large], *, sync: bool) -> list[dict[str, Any]]:
        """Send frames: `small` as it is, then each of `large` from its file. Raises FileShrank, too. Sets `asked_pause_s`: how
        long the collector wants this node to wait before it sends again."""
        length = len(small) + sum(len(header) + end - start for _, start, end, header in large)
        head = self._frames_head[sync] + b"Content-Length: %d\r\n\r\n" % length
        answer = self._answer(self._exchange(head + small, large, SYNC_TIMEOUT_S))
        self.asked_pause_s = min(float(answer.get("pause_s") or 0), LONGEST_PAUSE_S)
        return list(answer["acks"])

    def _frames_headers(self) -> dict[str, str]:
        return self._client.headers | {"Content-Type": "application/vnd.runyard.frames"}

    def _target(self, path: str) -> str:
        return f"{self._client.prefix}{API_PREFIX}{path}"

    def _json(self, client: CollectorClient, method: str, path: str, body: object = None, *, timeout_s: float = 0.0) -> Any:
        headers, data = client.headers, b""
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
        head = self._link.head(method, self._target(path), headers)
        return self._answer(self._exchange(head + b"\r\n" + data, (), timeout_s))

    def _exchange(self, first: bytes, large: Sequence[Large], timeout_s: float = 0.0) -> Answer:
        if not self._link.is_open:
            self._link.open()
        self._link.begin(timeout_s)
        self.requests_total += 1
        try:
            self._send(first, large)
        except AnsweredEarly:
            answer = self._link.receive()
            self._link.close()  # the rest of the body was never sent
            return answer
        except (FileShrank, Stopped, CollectorUnreachable):
            self._link.close()
            raise
        return self._link.receive()

    def _send(self, first: bytes, large: Sequence[Large]) -> None:
        self._link.send(first, is_more=bool(large))
        for fd, start, end, header in large:
            self._link.send(header, is_more=fd >= 0)
            if fd >= 0:
                self._link.send_file(fd, start, end)

    def _answer(self, answer: Answer) -> Any:
        if answer.status >= 300:
            raise self._client.error(answer.status, answer.message(), answer.body)
        try:
            return json.loads(answer.body) if answer.body else None
        except ValueError as error:
            raise CollectorUnreachable(f"the server at {self.url} does not answer as a collector does: no JSON came") from error
