"""The run-level files of a run on several nodes: merged while it is live, whole and sealed when it is over."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from runyard import labels, names, timeindex
from tests.collector.node import Node
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

S = 10**9
SKEW_NS = 300 * S


class Rank:
    """One process's driver log and its index, as a node sends them."""

    def __init__(self, node: Node, rank: int, *, offset_ns: int, attempt: int = 0, generation: int = 0) -> None:
        self.node, self.name = node, f"azureml-logs/70_driver_log_{rank}.txt"
        index = names.index_of(self.name)
        opened = node.open(self.name, index, attempt=attempt, generation=generation)
        self.log_id, self.index_id = (stream["id"] for stream in opened)
        self.offset_ns = offset_ns  # the collector's clock is the node's monotonic one + this
        self.data, self.index = b"", b""

    def write(self, text: bytes, at_ns: int, source: int = timeindex.STDOUT) -> None:
        """Bytes that were written at `at_ns` of the collector's clock; the node's wall clock is five minutes ahead."""
        self.send(text, at_ns, source)

    def send(self, text: bytes, at_ns: int, source: int) -> None:
        record = timeindex.pack(len(self.data) + len(text), at_ns + SKEW_NS, at_ns - self.offset_ns, source)
        self.node.send(self.log_id, len(self.data), text)
        self.node.send(self.index_id, len(self.index), record)
        self.data += text
        self.index += record

    def seal(self) -> None:
        assert self.node.seal(self.log_id, self.data)["result"] == "sealed"
        assert self.node.seal(self.index_id, self.index)["result"] == "sealed"


def two_nodes(collector: CollectorProcess, **fields: object) -> tuple[Node, Node]:
    first = Node(collector, ip="10.77.0.11", node_count=2, **fields)
    second = Node(collector, run_id=first.run_id, ip="10.77.0.12", create=False)
    second.run_token = first.run_token
    return first, second


def run_level(node: Node, name: str) -> bytes:
    folder: Path = node.collector.data_dir / "runs" / node.experiment / node.run_id
    return (folder / name).read_bytes() if (folder / name).exists() else b""


def is_sealed(node: Node) -> bool:
    files = node.client.json("GET", f"/runs/{node.run_id}/files")["files"]
    mine = [file for file in files if not file["folder"]]
    return len(mine) == 5 and all(file["is_sealed"] for file in mine)


def end(*nodes: Node, status: str = "Completed") -> None:
    for node in nodes:
        node.complete(status)
    wait_for(lambda: is_sealed(nodes[0]), "the run-level files are sealed")


def put_clock(node: Node, offset_ns: int) -> None:
    node.put_state("Running", clock={"offset_ns": offset_ns, "error_ns": 1000})


def streams_of(merged: bytes) -> dict[labels.Origin, bytes]:
    found: dict[labels.Origin, bytes] = {}
    for text in merged.splitlines(keepends=True) if b"\r" not in merged else [p + b"\n" for p in merged.split(b"\n")[:-1]]:
        line = labels.split(text)
        found[line.origin] = found.get(line.origin, b"") + line.data
    return found


@pytest.mark.row("A15")
def test_lines_of_two_nodes_stand_in_the_order_of_time_although_their_clocks_are_off(collector: CollectorProcess) -> None:
    first, second = two_nodes(collector)
    now_ns = time.time_ns() - 20 * S
    ranks = [Rank(first, 0, offset_ns=now_ns - 5 * S), Rank(second, 1, offset_ns=now_ns - 900 * S)]
    put_clock(first, now_ns - 5 * S)
    put_clock(second, now_ns - 900 * S)
    for step in range(40):
        rank = ranks[step % 2]
        rank.write(b"step %d\n" % step, now_ns + step * S // 10)
        rank.write(b"warn %d\n" % step, now_ns + step * S // 10 + 1, timeindex.STDERR)
    wait_for(lambda: run_level(first, names.STDOUT_LOGS).count(b"\n") == 40, "merged while the run is live")
    for rank in ranks:
        rank.seal()
    end(first, second)
    ips = (b"10.77.0.11 rank 0", b"10.77.0.12 rank 1")
    assert run_level(first, names.STDOUT_LOGS) == b"".join(b"[%b] step %d\n" % (ips[n % 2], n) for n in range(40))
    assert run_level(first, names.STDERR_LOGS) == b"".join(b"[%b] warn %d\n" % (ips[n % 2], n) for n in range(40))
