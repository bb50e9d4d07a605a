"""Readers of some pretend streams, each a thread as `runyard logs -f` or somebody's script is: followers, and range readers.

Reads from a real collector while the load runs; every line holds the moment at which it was written, and its number.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection

from runyard.client import API_PREFIX, CollectorClient, path_segments
from runyard.errors import RunyardError
from runyard.sse import EventDecoder

from .simulate_node import Load, log_name, node_id, run_of

# What is left is read for so long after the drivers' end.
DRAIN_S = 60.0
# Between two looks of a range reader.
RANGE_PAUSE_S = 0.5


@dataclass(slots=True)
class Seen:
    """What a reader has seen: latencies of the lines, and lines that came twice or were left out."""

    latencies_s: list[float] = field(default_factory=list)
    lines: int = 0
    disorders: int = 0
    errors: list[str] = field(default_factory=list)
    rest: bytes = b""

    def take(self, data: bytes) -> None:
        """The next bytes of the stream have become visible now."""
        now_ns = time.monotonic_ns()
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            words = line.split()
            self.disorders += int(words[0]) != self.lines
            self.lines += 1
            self.latencies_s.append((now_ns - int(words[6])) / 1e9)


def _follow(load: Load, node: int, stream: int, seen: Seen, deadline_s: float, *, annotate: bool) -> None:
    client = CollectorClient(f"http://{load.host}:{load.port}", load.token, timeout_s=30)
    name = log_name(node, stream, load.streams, load.nodes_per_run)
    params = {"file": name, "node": node_id(node), "annotate": int(annotate)}
    decoder = EventDecoder()
    wanted = _wanted(load)
    with client.stream("GET", f"/runs/{run_of(node, load.nodes_per_run)}/follow", params=params) as response:
        while seen.lines < wanted and time.monotonic() < deadline_s:
            for event in decoder.feed(client.read(response, 1 << 16)):
                if event.name == "data":
                    seen.take(base64.b64decode(json.loads(event.data)["data"]))


def _read_ranges(load: Load, node: int, stream: int, seen: Seen, deadline_s: float) -> None:
    connection = CollectorClient(f"http://{load.host}:{load.port}", load.token, timeout_s=30).connect()
    place = f"10.{node >> 16 & 255}.{node >> 8 & 255}.{node & 255}/{log_name(node, stream, load.streams, load.nodes_per_run)}"
    target = f"{API_PREFIX}/runs/{run_of(node, load.nodes_per_run)}/files/{path_segments(place)}"
    position, wanted = 0, _wanted(load)
    while seen.lines < wanted and time.monotonic() < deadline_s:
        headers = {"Authorization": f"Bearer {load.token}", "Range": f"bytes={position}-"}
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        data = response.read()
        if response.status == 206:
            position += len(data)
            seen.take(data)
        elif response.status != 416:
            seen.errors.append(f"{response.status} {data[:200]!r}")
        time.sleep(RANGE_PAUSE_S)
    connection.close()


def _wanted(load: Load) -> int:
    # The last line of a stream may fall on the load's last moment or not.
    return int(load.lines_per_s * load.seconds) - 1


def _guarded(seen: Seen, work: object, *args: object, **more: object) -> None:
    assert callable(work)
    try:
        work(*args, **more)
    except (RunyardError, OSError, http.client.HTTPException) as error:
        seen.errors.append(f"{type(error).__name__}: {error}")


def main(load: Load, followers: int, range_readers: int, pipe: Connection) -> None:
    """A process of readers: begins at once, tells at the end."""
    deadline_s = time.monotonic() + load.seconds + DRAIN_S
    followed, ranged, threads = [], [], []
    for number in range(followers + range_readers):
        node = number * max(1, load.node_count // (followers + range_readers)) % load.node_count
        seen, stream = Seen(), number % load.streams
        if number < followers:
            followed.append(seen)
            args = (seen, _follow, load, node, stream, seen, deadline_s)
            threads.append(threading.Thread(target=_guarded, args=args, kwargs={"annotate": bool(number % 2)}))
        else:
            ranged.append(seen)
            threads.append(threading.Thread(target=_guarded, args=(seen, _read_ranges, load, node, stream, seen, deadline_s)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(([asdict(seen) for seen in followed], [asdict(seen) for seen in ranged], _wanted(load)))
