"""Runs that the pages of one run are looked at with: some are real, the large ones are told by nodes that tests play."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.agent.node_runs import NodeRun
from tests.collector.node import Node
from tests.collector_process import CollectorProcess

TRAINING = Path(__file__).parents[1] / "pipeline" / "failing_training.py"
MODEL = bytes(range(256)) * 40
_CODE = f"""\
import os
from runyard import Run

run = Run.get_context()
print("the training has begun")
run.log_param("lr", 0.1)
run.tag("stage", "first")
os.makedirs("outputs", exist_ok=True)
with open("outputs/model.bin", "wb") as file:
    file.write(bytes(range(256)) * {len(MODEL) // 256})
"""
_STACKS = """\
Stacks of rank {rank} on node {node}, taken 2026-09-21T14:13:20.123Z
reason: rank 3 has written nothing for 600 s
request: {request}

process {pid} (py-spy): python train.py
  thread MainThread
    {frame}
    train (train.py:88)
"""
GIB = 1 << 30
S = 10**9


def real_run(collector: CollectorProcess, folder: Path, run_id: str, *command: str, flags: tuple[str, ...] = ()) -> NodeRun:
    """A `runyard run` in front of the collector."""
    env = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token, "RUNYARD_SHIP__BACKOFF_MAX_S": "0.5"}
    return NodeRun(folder / "spool", *command, run_id=run_id, flags=("--experiment", "digits", *flags), env=env)


def failed(collector: CollectorProcess, folder: Path, run_id: str = "one-of-four-fails") -> str:
    """Of four ranks the last one raises, and takes the others with it."""
    (folder / run_id).mkdir(parents=True)
    way = {"way": "raise", "type": "ZeroDivisionError", "message": "division by zero"}
    ways = json.dumps({"3": way, "*": {"sees": "wrapped"}})
    flags = ("--nproc-per-node", "4", "--tag", "team=vision", "--name", "Four ranks, one of which fails")
    assert (
        real_run(collector, folder, run_id, sys.executable, str(TRAINING), str(folder / run_id), ways, flags=flags)
        .complete()
        .returncode
    )
    return run_id


def completed(collector: CollectorProcess, folder: Path, run_id: str = "all-went-well") -> str:
    """Code that was packed, a parameter, a tag, and an output."""
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / "train.py").write_text(_CODE)
    ended = real_run(collector, folder, run_id, sys.executable, "train.py", flags=("--code", str(code))).complete()
    assert ended.returncode == 0, ended.stderr
    return run_id


def crowd(collector: CollectorProcess, *, nodes: int = 4, ranks: int = 1000, run_id: str = "a-crowd") -> list[Node]:
    """A run on several nodes: all ranks go on but for one that was killed and one that has stalled. Rank 0 is on the first."""
    shape: dict[str, Any] = {"node_count": nodes, "world_size": ranks, "experiment": "crowds", "on_failure": "wait"}
    key: dict[str, Any] = {"command": ["python", "train.py", "--note", "it's large"], "name": "A thousand ranks"}
    made = [
        Node(collector, run_id=run_id, ip=f"10.77.0.{n + 11}", node_id=f"node-{n:08}", **shape, **key) for n in range(nodes)
    ]
    now = time.time_ns()
    each = ranks // nodes
    for n, node in enumerate(made):
        tell_running(node, range(n * each, (n + 1) * each), now)
    _tell_stacks(made[0], list(range(4)))
    return made


def tell_running(node: Node, ranks: range, now: int, *, step: int = 400) -> Any:
    """The word of a node on which these ranks run; the collector's answer."""
    times = (("Starting", "", 90), ("Preparing", "preparation", 88), ("Preparing", "rendezvous", 70), ("Running", "driver", 60))
    told = [{"status": status, "phase": phase, "wall_ns": now - ago * S} for status, phase, ago in times]
    return node.put_state(
        "Running", phase="driver", started_ns=now - 60 * S, transitions=told,
        clock={"offset_ns": 0, "error_ns": 10**6}, processes=[_process(rank, now, step) for rank in ranks],
    )  # fmt: skip


def _process(rank: int, now: int, step: int) -> dict[str, Any]:
    is_stalled, is_killed = rank == 3, rank == 7
    progress = {
        "step": 120 if is_stalled else step, "total": 1000, "done": step, "rate_per_s": 6.5, "eta_s": (1000 - step) / 6.5,
        "at_ns": now, "last_output_ns": now - (600 if is_stalled else 1) * S,
        "is_stalled": is_stalled, "stalls": int(is_stalled),
    }  # fmt: skip
    ended = {"status": "Failed", "signal": 9, "ended_ns": now - 5 * S} if is_killed else {"status": "Started"}
    return {
        "rank": rank, "name": f"worker_{rank}", "pid": 1000 + rank, "started_ns": now - 60 * S,
        "log": f"azureml-logs/70_driver_log_{rank}.txt", "progress": progress, **ended,
    }  # fmt: skip


def _tell_stacks(node: Node, ranks: list[int]) -> None:
    for rank in ranks:
        frame = "read_block (data.py:41)" if rank == 3 else "all_reduce (distributed_c10d.py:2810)"
        name = f"logs/azureml/stacks/{node.node_id}/2026-09-21T141320.123Z-rank{rank}.txt"
        put_file(node, name, stacks_text(rank, node.node_id, frame).encode())


def stacks_text(rank: int, node_id: str, frame: str, request: int = 0) -> str:
    """A file of stacks: the main thread is in `frame`."""
    return _STACKS.format(rank=rank, node=node_id, pid=1000 + rank, frame=frame, request=request)


def put_file(node: Node, name: str, data: bytes) -> None:
    """A whole file of the run; it may still grow."""
    node.send(node.open_one(name), 0, data)


def measured(collector: CollectorProcess, *, samples: int = 400, run_id: str = "it-was-measured") -> list[Node]:
    """A run on two nodes with what they used every 5 s: two GPUs on each, a hole of a minute, and an Xid event."""
    shape: dict[str, Any] = {"node_count": 2, "world_size": 4, "experiment": "measured", "name": "Measured on two nodes"}
    nodes = [Node(collector, run_id=run_id, ip=f"10.77.0.{n + 11}", node_id=f"node-{n:08}", **shape) for n in range(2)]
    now = time.time_ns()
    begun = now - (samples + 12) * 5 * S
    for n, node in enumerate(nodes):
        told = [
            {"status": "Starting", "phase": "", "wall_ns": begun - 40 * S},
            {"status": "Preparing", "phase": "preparation", "wall_ns": begun - 30 * S},
            {"status": "Running", "phase": "driver", "wall_ns": begun},
        ]
        processes = [{"rank": rank, "pid": 1 + rank, "status": "Started", "started_ns": begun} for rank in (2 * n, 2 * n + 1)]
        node.put_state("Running", phase="driver", started_ns=begun, transitions=told, processes=processes)
        data = telemetry(n, range(samples // 3), begun)
        if n == 1:
            data += json.dumps(_xid(begun + samples // 3 * 5 * S)).encode() + b"\n"
        data += telemetry(n, range(samples // 3, samples), begun)
        put_file(node, f"logs/azureml/telemetry-{node.node_id}.jsonl", data)
    return nodes


def telemetry(n: int, numbers: range, begun: int) -> bytes:
    """Lines of what the run used on node `n`, one every 5 s."""
    return b"".join(json.dumps(_sample(n, number, begun)).encode() + b"\n" for number in numbers)


def _sample(n: int, number: int, begun: int) -> dict[str, Any]:
    at = begun + (number + (12 if number >= 200 else 0)) * 5 * S
    wave = (number * 37 % 50) / 50
    ranks = [
        {
            "rank": rank,
            "processes": 3,
            "threads": 20,
            "cpu_s": number * (4 + rank),
            "mem_bytes": (4 + rank) * GIB + number * 2**22,
        }
        for rank in (2 * n, 2 * n + 1)
    ]
    gpus = [
        {"gpu": gpu, "percent": 80 + 15 * wave, "mem_used_bytes": 30 * GIB, "mem_total_bytes": 80 * GIB,
         "power_w": 300 + 90 * wave, "temp_c": 60, "run_mem_used_bytes": 29 * GIB}
        for gpu in range(2)
    ]  # fmt: skip
    node = {
        "cpu_percent": 30 + 20 * wave,
        "mem_used_bytes": 60 * GIB,
        "net_in_bytes_s": 1e8 * (1 + wave),
        "net_out_bytes_s": 9e7,
    }
    return {
        "wall_ns": at, "mono_ns": at, "processes": 6, "threads": 40, "cpu_s": number * 9.0, "cpu_percent": 180 + 40 * wave,
        "mem_bytes": (9 + n) * GIB + number * 2**23, "read_bytes": number * 2**26, "write_bytes": number * 2**20,
        "ranks": ranks, "gpus": gpus, "node": node, "kernel_record": 5,
    }  # fmt: skip


def _xid(at: int) -> dict[str, Any]:
    text = "NVRM: Xid (PCI:0000:3b:00): 79, pid=4711, GPU has fallen off the bus."
    event = {"event": "xid", "xid": 79, "bus": "0000:3b:00", "gpu": 1, "pid": 4711, "text": text, "concerns": "process"}
    return {"wall_ns": at, "mono_ns": at} | event | {"kernel_record": 6}


def sweep(collector: CollectorProcess, *, children: int = 30, run_id: str = "a-sweep") -> str:
    """Children with parameters and a loss; the 13th is the best, one has failed, the last one still runs."""
    client = collector.client()
    client.json("POST", "/client-runs", {"run_id": run_id, "experiment": "sweeps", "kind": "sweep", "name": "Learning rates"})
    at_ms = time.time_ns() // 10**6
    records: list[list[Any]] = [["w", "", "loss", "minimize"]]
    for n in range(children):
        records += _trial(run_id, n, loss_of(n), at_ms)
        status = "Failed" if n == 5 else "Completed"
        if n < children - 1:
            cause = "it diverged" if n == 5 else ""
            records.append(["s", f"{run_id}_{n}", status, cause, at_ms + n * 1000 + 900])
    _send(collector, run_id, records)
    return run_id


def add_trial(collector: CollectorProcess, run_id: str, number: int, loss: float) -> None:
    """One more child of a sweep."""
    _send(collector, run_id, _trial(run_id, number, loss, time.time_ns() // 10**6))


def _trial(run_id: str, n: int, loss: float, at_ms: int) -> list[list[Any]]:
    child = f"{run_id}_{n}"
    return [
        ["c", child, "", f"trial {n}", "child", "ada", at_ms + n],
        ["p", child, "lr", str(round(0.5 / (n + 1), 4))],
        ["p", child, "depth", str(n % 5)],
        ["m", child, "loss", loss, 0, at_ms + n * 1000],
    ]


def _send(collector: CollectorProcess, run_id: str, records: list[list[Any]]) -> None:
    body = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    collector.client().send("POST", f"/runs/{run_id}/records", body, "application/x-ndjson")


def loss_of(number: int) -> float:
    """What trial `number` came to; the least is that of trial 12."""
    return round(0.1 + abs(number - 12) * 0.03 + number % 3 * 0.01, 4)
