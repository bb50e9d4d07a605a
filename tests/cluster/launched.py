"""One run on several nodes, started as a user does: the same `runyard run` on each node, each with a spool of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runyard import labels, names
from tests.collector_process import CollectorProcess
from tests.netns_site import Node, Site
from tests.waiting import wait_for

RUN_ID = "cluster-run"
LIMIT_S = 100.0
_AT = re.compile(rb" at=(\d+)$")


@dataclass
class Launched:
    """The processes of a run, by node."""

    collector: CollectorProcess
    site: Site
    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def ended(self, limit_s: float = LIMIT_S) -> dict[str, tuple[int, str]]:
        """Wait for all; (exit code, what it said on stderr) by node."""
        codes = {name: process.wait(limit_s) for name, process in self.processes.items()}
        return {name: (code, (self.folder / f"{name}.err").read_text(errors="replace")) for name, code in codes.items()}

    def run(self) -> dict[str, Any]:
        """The run as the collector shows it."""
        shown: dict[str, Any] = self.collector.client().json("GET", f"/runs/{RUN_ID}")
        return shown

    @property
    def root(self) -> Path:
        """The run's folder at the collector."""
        return self.collector.data_dir / "runs" / "default" / RUN_ID

    def completed(self) -> dict[str, Any]:
        """The run, when all of it is at the collector and its overall logs are finished."""
        wait_for(lambda: self.run()["is_complete"], "the run is complete")
        return self.run()

    def spool(self, node: Node) -> Path:
        """The run's folder on a node."""
        return self.folder / f"spool-{node.name}" / RUN_ID


@contextmanager
def launched(
    collector: CollectorProcess,
    site: Site,
    folder: Path,
    flags: Sequence[str],
    command: Sequence[str],
    *,
    variables: Mapping[str, str] = {},
) -> Iterator[Launched]:
    """Start `command` on every node of the site; what still runs after the block is ended."""
    run = Launched(collector, site, folder)
    try:
        for rank, node in enumerate(site.nodes):
            run.processes[node.name] = _start(run, node, rank, [*flags, "--", *command], variables)
        yield run
    finally:
        for process in run.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in run.processes.values():
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(run: Launched, node: Node, rank: int, words: Sequence[str], variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RUNYARD_", "XDG_"))}
    ours = {
        "RUNYARD_SPOOL__DIR": str(run.folder / f"spool-{node.name}"),
        "RUNYARD_COLLECTOR_URL": run.collector.url,
        "RUNYARD_TOKEN": run.collector.token,
        "RUNYARD_RUN__GRACE_S": "2",
        "RUNYARD_RUN__DRAIN_S": "60",
        "RUNYARD_SHIP__BACKOFF_MAX_S": "1",
        "GLOO_SOCKET_IFNAME": "host0",
    }
    where = ["--run-id", RUN_ID, "--nnodes", str(len(run.site.nodes)), "--node-rank", str(rank)]
    with (run.folder / f"{node.name}.out").open("wb") as out, (run.folder / f"{node.name}.err").open("wb") as err:
        argv = [sys.executable, "-m", "runyard", "run", *where, *words]
        return node.popen(argv, env=inherited | ours | dict(variables), stdin=subprocess.DEVNULL, stdout=out, stderr=err)


@dataclass(frozen=True)
class Line:
    """One line of an overall log."""

    ip: str
    rank: int
    is_late: bool
    text: bytes

    @property
    def at_ns(self) -> int:
        """The machine's monotonic clock when it was printed, as the line itself says."""
        match = _AT.search(self.text)
        assert match is not None, self.text
        return int(match[1])


def is_ours(text: bytes) -> bool:
    """Whether the test's program has printed the line."""
    return _AT.search(text) is not None


def overall(root: Path, name: str) -> list[Line]:
    """The lines of a run-level log; each has to have its label."""
    whole = [labels.split(raw) for raw in (root / name).read_bytes().splitlines(keepends=True)]
    return [
        Line(one.origin.node, int(one.origin.what.removeprefix("rank ")), one.is_late, one.data.removesuffix(b"\n"))
        for one in whole
    ]


def driver_logs(root: Path, site: Site, world_size: int) -> dict[int, bytes]:
    """The collector's copy of every rank's log, by rank; each in the folder of its node."""
    per_node = world_size // len(site.nodes)
    places = {rank: root / site.nodes[rank // per_node].ip / names.driver_log(rank, world_size) for rank in range(world_size)}
    return {rank: place.read_bytes() for rank, place in places.items()}


def worst_disorder_ns(lines: Sequence[Line]) -> int:
    """By how much a line stands before one of another node that was printed earlier, at worst; late lines say so themselves."""
    worst = 0
    latest: dict[str, int] = {}
    for line in lines:
        if line.is_late:
            continue
        others = [at_ns for ip, at_ns in latest.items() if ip != line.ip]
        worst = max(worst, max(others, default=0) - line.at_ns)
        latest[line.ip] = max(latest.get(line.ip, 0), line.at_ns)
    return worst
