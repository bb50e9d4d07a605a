"""Runs whose logs are looked at: sixteen ranks of which one fails, and files made to break whoever shows them."""

from __future__ import annotations

import base64
import time
from typing import Any

from tests.collector.node import Node
from tests.collector_process import CollectorProcess

S = 10**9
RANKS_A_NODE = 4
WORLD = 16
FAILED_RANK = 3
TRACEBACK = (
    b"Traceback (most recent call last):\n"
    b'  File "train.py", line 88, in <module>\n'
    b"    train()\n"
    b'  File "train.py", line 41, in train\n'
    b'    raise FloatingPointError(f"the loss is not a number at step {step}")\n'
    b"FloatingPointError: the loss is not a number at step 412\n"
)
PEER_GONE = (
    b"Traceback (most recent call last):\n"
    b'  File "train.py", line 60, in step\n'
    b"    all_reduce(gradients)\n"
    b"RuntimeError: Connection closed by peer\n"
)


def sixteen(collector: CollectorProcess, run_id: str) -> list[Node]:
    """A run on four nodes whose rank 3 fails first, and takes the others with it."""
    shape = {"node_count": WORLD // RANKS_A_NODE, "world_size": WORLD, "experiment": "digits", "name": "Sixteen ranks"}
    nodes = [_node(collector, run_id, n, shape) for n in range(WORLD // RANKS_A_NODE)]
    now = time.time_ns()
    for n, node in enumerate(nodes):
        ranks = range(n * RANKS_A_NODE, (n + 1) * RANKS_A_NODE)
        sent = [_send(node, f"azureml-logs/70_driver_log_{rank}.txt", _log(rank)) for rank in ranks]
        sent.append(_send(node, f"azureml-logs/55_azureml-execution-{node.node_id}.txt", b"Starting output-watcher...\n"))
        sent.append(
            _send(
                node,
                f"azureml-logs/65_job_prep-{node.node_id}.txt",
                b"Entering job preparation.\nJob preparation is complete.\n",
            )
        )
        sent.append(_send(node, f"azureml-logs/75_job_post-{node.node_id}.txt", b"Job release is complete.\n"))
        if n == 0:
            sent.append(_send(node, "outputs/metrics.json", b'{"loss": "NaN", "step": 412}'))
            sent.append(_send(node, "outputs/curve.png", _picture()))
            sent.append(_send(node, "outputs/model.bin", bytes(range(256)) * 8))
        for stream, data in sent:
            node.seal(stream, data)
        processes = [_process(rank, now) for rank in ranks]
        node.put_state(
            "Failed", phase="driver", exit_code=1, started_ns=now - 60 * S, ended_ns=now, is_complete=True,
            clock={"offset_ns": 0, "error_ns": 10**6}, processes=processes,
        )  # fmt: skip
    return nodes


def _node(collector: CollectorProcess, run_id: str, n: int, shape: dict[str, Any]) -> Node:
    return Node(collector, run_id=run_id, ip=f"10.77.0.{n + 11}", node_id=f"node-{n:08}", **shape)


def _send(node: Node, name: str, data: bytes) -> tuple[int, bytes]:
    stream = node.open_one(name)
    node.send(stream, 0, data)
    return stream, data


def _log(rank: int) -> bytes:
    steps = b"".join(b"INFO rank %d step %d loss 0.%03d\n" % (rank, step, 999 - step) for step in range(412))
    bar = b"".join(b"\rloading %d%%" % share for share in range(0, 101, 5)) + b"\n"
    return bar + steps + (TRACEBACK if rank == FAILED_RANK else PEER_GONE)


def _process(rank: int, now: int) -> dict[str, Any]:
    ended = now - (5 if rank == FAILED_RANK else 2) * S
    return {
        "rank": rank, "name": f"worker_{rank}", "pid": 1000 + rank, "status": "Failed", "exit_code": 1,
        "started_ns": now - 60 * S, "ended_ns": ended, "ended_mono_ns": ended, "log": f"azureml-logs/70_driver_log_{rank}.txt",
    }  # fmt: skip


def _picture() -> bytes:
    return base64.b64decode(b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


def hostile_files() -> dict[str, bytes]:
    """Files that were made to break viewers; each has the word "harmless" somewhere."""
    script = b"<script>window.broken = 1</script><img src=x onerror='window.broken=2'>"
    long = 10 << 20
    return {
        "html.txt": script + b"\n<style>*{display:none}</style>\n<iframe src=javascript:alert(1)>\nharmless\n",
        "links.txt": b"\x1b]8;;javascript:window.broken=3\x1b\\harmless link\x1b]8;;\x1b\\\njavascript:window.broken=4\n",
        "title.txt": b"\x1b]0;you were hacked\x07harmless\n\x1b]52;c;aGFja2Vk\x07\n",
        "clears.txt": b"harmless\n\x1b[2J\x1b[3J\x1b[H\x1bc\x1b[?1049h\x1b[1;1Hover the first line\n",
        "unfinished.txt": b"harmless\n\x1b[38;5;\n\x1b]0;never ends\n\x1bP" + b"q" * 5000 + b"\n\x1b[" + b"1;" * 9000 + b"m\n",
        "one_long_line.txt": b"harmless " + b"x" * long,
        "long_unicode_line.txt": b"harmless " + "日本語".encode() * (1 << 18) + b"\nend\n",
        "returns.txt": b"".join(b"\r%d of 300000 harmless" % n for n in range(300_000)) + b"\n",
        "returns_and_lines.txt": b"".join(b"\rharmless %d%%\n" % (n % 100) for n in range(100_000)),
        "newlines.txt": b"harmless\n" + b"\n" * 2_000_000,
        "nul.txt": b"harmless\n" + bytes(1 << 20) + b"\nend\n",
        "latin1.txt": "harmless: größer, café, naïve\n".encode("latin-1") * 500,
        "utf16.txt": b"harmless\n" + "in another encoding\n".encode("utf-16") * 500,
        "mixed.txt": "größe ".encode() + "größe ".encode("latin-1") + b"\xf0\x9f\x98 \xed\xa0\x80 \xc0\xaf harmless\n",
        "bidi.txt": "harmless\nuser = '\u202e\u2066// admin\u2069 \u2066'\n\u200f\u061c\ufeff\u2028x\n".encode(),
        "arabic.txt": "harmless مرحبا بالعالم 123 שלום עולם\n".encode() * 1000,
        "combining.txt": ("harmless a" + "\u0301" * 20_000 + "\nz" + "\u0335\u0321" * 300 + "\n").encode(),
        "colours.txt": b"harmless\n"
        + b"".join(b"\x1b[38;2;%d;%d;%d;48;5;%dmx" % (n % 256, n % 7, n % 31, n % 256) for n in range(40_000))
        + b"\n",
        "random.txt": b"harmless\n" + bytes((n * n * 31 + n // 7) % 256 for n in range(1 << 20)),
        "tracebacks.txt": b"harmless\n"
        + b"Traceback (most recent call last):\n" * 3000
        + b'  File "x"\n' * 3000
        + b"E: "
        + b"e" * 100_000
        + b"\n",
    }


def hostile(collector: CollectorProcess, run_id: str) -> Node:
    """A run with these files below logs/."""
    node = Node(collector, run_id=run_id, experiment="hostile")
    for name, data in hostile_files().items():
        stream = node.open_one(f"logs/{name}")
        for at in range(0, len(data), 1 << 20):
            node.send(stream, at, data[at : at + (1 << 20)])
        node.seal(stream, data)
    node.complete()
    return node
