"""Planted failures: real runs that are made to fail in a known way, and what a verdict has to say of each."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent import proctree
from tests.agent.node_runs import NodeRun
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

TRAINING = Path(__file__).with_name("failing_training.py")
OOM_BYTES = 64 << 20
LIMIT_S = 90.0
Ways = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Planted:
    """`ranks` and `kinds`: what a right verdict names; `words` stand in its sentence. `nodes` with one process each, or one
    node with `processes`. `program` is what node 1 has in place of a training; only `started` nodes come."""

    name: str
    ways: Ways
    ranks: tuple[int | None, ...]
    kinds: tuple[str, ...]
    words: tuple[str, ...] = ()
    processes: int = 3
    nodes: int = 1
    flags: tuple[str, ...] = ()
    program: str = ""
    started: int = 0
    is_killed_node: bool = False

    def why_wrong(self, verdict: Mapping[str, Any]) -> str:
        """What of the verdict is not right; "" where nothing is."""
        found = []
        if verdict["rank"] not in self.ranks:
            found.append(f"rank {verdict['rank']}")
        if verdict["kind"] not in self.kinds:
            found.append(f"kind {verdict['kind']}")
        found += [f"without {word!r}" for word in self.words if word not in verdict["sentence"]]
        return ", ".join(found)


def _one(rank: int, way: str, others: Mapping[str, Any] | None = None, **how: Any) -> Ways:
    return {str(rank): {"way": way, **how}, "*": others or {}}


def planted(memory_group: Path | None) -> list[Planted]:
    """All of them."""
    torch_memory = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.14 GiB"
    several = [
        Planted("exit-1", _one(2, "exit", code=1), (2,), ("exit-code",), ("exit code 1",)),
        Planted("segfault", _one(1, "segfault"), (1,), ("signal",), ("SIGSEGV",)),
        Planted("nccl-after-death", _one(2, "hard-exit", {"sees": "nccl"}, code=7), (2,), ("exit-code",), ("exit code 7",)),
        Planted("never-started", {}, (1,), ("never-started",), ("never started",), processes=1, nodes=2,
                program="#!/opt/no/such/python\n"),
        Planted("node-never-came", {}, (None,), ("phase",), ("did not come",), processes=1, nodes=2, started=1,
                flags=("--rendezvous", "3s")),
        Planted("hang", _one(2, "hang"), (2,), ("hang",), ("hung",)),
        Planted("rank-3-tears-rank-0", _one(3, "raise", {"sees": "wrapped"}, type="ZeroDivisionError",
                message="division by zero"), (3,), ("exception",), ("ZeroDivisionError",), processes=4),
        Planted("sys-exit-3", _one(0, "exit", code=3), (0,), ("exit-code",), ("exit code 3",), processes=1),
        Planted("assertion", _one(1, "assert"), (1,), ("exception",), ("AssertionError",)),
        Planted("import", _one(1, "import"), (1,), ("exception",), ("a_module_that_nobody_has",)),
        Planted("disk-full", _one(2, "disk", {"sees": "bare"}), (2,), ("exception",), ("disk full",)),
        Planted("sigkill-by-hand", _one(1, "signal", number=signal.SIGKILL), (1,), ("signal",), ("SIGKILL",)),
        Planted("abort", _one(0, "abort"), (0,), ("signal",), ("SIGABRT",)),
        Planted("sigterm-from-outside", _one(2, "signal", number=signal.SIGTERM), (2,), ("signal",), ("SIGTERM",)),
        Planted("two-at-once", {str(rank): {"way": "raise", "type": kind, "message": "now", "together": True}
                                for rank, kind in ((1, "ValueError"), (2, "LookupError"))},
                (1, 2), ("exception",)),
        Planted("node-lost", {}, (1,), ("lost-contact",), ("not heard from",), processes=1, nodes=2, is_killed_node=True),
        Planted("preparation", {}, (None,), ("phase",), ("preparation failed",), processes=1,
                flags=("--datastore", "digits=/no/such/folder/digits")),
        Planted("at-exit", _one(1, "at-exit"), (1,), ("exception",), ("exit code 74",)),
        Planted("swallowed", _one(2, "swallow"), (2,), ("exception",), ("learning_rate",)),
        Planted("early-exit", _one(1, "done"), (1,), ("early-exit",), ("exit code 0",)),
        Planted("gpu-memory", _one(2, "raise", {"sees": "nccl"}, type="OutOfMemoryError", module="torch", message=torch_memory),
                (2,), ("exception",), ("GPU memory",)),
        Planted("other-node", _one(1, "raise", type="FileNotFoundError", message="[Errno 2] No such file: 'train.csv'"),
                (1,), ("exception",), ("train.csv",), processes=1, nodes=2),
        Planted("time-limit", _one(0, "hang"), (None,), ("timeout",), ("time limit",), processes=1, flags=("--timeout", "2s")),
    ]  # fmt: skip
    if memory_group is not None:
        oom = Planted("memory", _one(1, "memory", group=str(memory_group)), (1,), ("oom",), ("killed for memory",))
        several.insert(2, oom)
    return several


def carry_out(plan: Planted, collector: CollectorProcess, folder: Path) -> dict[str, Any]:
    """Run it to its end; the collector's verdict."""
    folder.mkdir()
    runs = [_run(plan, node, collector, folder) for node in range(plan.started or plan.nodes)]
    processes = [run.launch() for run in runs]
    try:
        if plan.is_killed_node:
            _kill_node(runs[1])
        for process in processes:
            process.communicate(timeout=LIMIT_S)
    finally:
        for run, process in zip(runs, processes, strict=True):
            process.kill()
            process.communicate()
            _clear(run)
    client = collector.client()

    def look() -> dict[str, Any] | None:
        verdict: dict[str, Any] = client.json("GET", f"/runs/{plan.name}/verdict")
        is_over = verdict["is_decided"] and (not plan.is_killed_node or verdict["kind"] == "lost-contact")
        return verdict if is_over else None

    return wait_for(look, f"a verdict on {plan.name}", limit_s=LIMIT_S) or {}


def _run(plan: Planted, node: int, collector: CollectorProcess, folder: Path) -> NodeRun:
    where: tuple[str, ...] = ("--nnodes", str(plan.nodes), "--node-rank", str(node)) if plan.nodes > 1 else ()
    if plan.processes > 1:
        where += ("--nproc-per-node", str(plan.processes))
    command = (_program(plan, node, folder), str(folder), json.dumps(plan.ways))
    env = {
        "RUNYARD_COLLECTOR_URL": collector.url,
        "RUNYARD_TOKEN": collector.token,
        "RUNYARD_SHIP__HEARTBEAT_S": "0.5",
        "PATH": f"{folder}/bin-{node}:{os.environ['PATH']}",
        "RUNYARD_ENVIRONMENT__CACHE_DIR": str(folder / "cache"),
    }
    flags = (*plan.flags, *where, *(("--failure-grace", "4s") if plan.nodes * plan.processes > 1 else ()))
    return NodeRun(folder / f"spool-{node}", *command, run_id=plan.name, flags=flags, env=env)


def _program(plan: Planted, node: int, folder: Path) -> str:
    """What each node finds under the same name, as the nodes of a run have the same command."""
    program = folder / f"bin-{node}" / "train"
    program.parent.mkdir()
    ours = f'#!/bin/sh\nexec "{sys.executable}" "{TRAINING}" "$@"\n'
    program.write_text(plan.program if plan.program and node == 1 else ours)
    program.chmod(0o700)
    return program.name


def _kill_node(run: NodeRun) -> None:
    """As a machine that loses its power: nothing of the run's is left there, and nobody says so."""
    assert run.process is not None
    log = run.path("azureml-logs/70_driver_log_1.txt")
    wait_for(lambda: log.exists() and b"step 2" in log.read_bytes(), "the second node's training")
    run.process.kill()
    _clear(run)


def _clear(run: NodeRun) -> None:
    """End whatever of the run is left on its node."""
    described = run.json(names.RUN_FILE)
    if described is None:
        return
    entry = proctree.marker(described)

    def look() -> bool:
        shepherd = run.state().get("shepherd_pid", 0)
        is_ours = str(run.run_dir).encode() in _arguments(shepherd)
        left = [*proctree.with_environment(entry), *([shepherd] if is_ours else [])]
        proctree.send(left, signal.SIGKILL)
        return not left

    wait_for(look, "the end of what ran there")


def _arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@contextmanager
def memory_group() -> Iterator[Path | None]:
    """A control group with little memory; None where this system lets nobody make one."""
    v1 = Path("/sys/fs/cgroup/memory")
    root = v1 if v1.is_dir() else Path("/sys/fs/cgroup")
    group = root / f"runyard-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError:
        yield None
        return
    try:
        limit = group / ("memory.limit_in_bytes" if root == v1 else "memory.max")
        try:
            limit.write_text(str(OOM_BYTES))
        except OSError:
            yield None
            return
        swap = group / "memory.swap.max"
        if swap.exists():
            swap.write_text("0")
        yield group
    finally:
        subprocess.run(["rmdir", str(group)], check=False)
