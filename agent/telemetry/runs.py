"""What each run on this node uses, as lines of its own telemetry file.

Reads the spool, /proc and the runs' control groups; writes through live_run.py. A run is sampled from its making until the
node's last word on it; of a run that ends between two samples the file has no more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runyard import names

from . import cgroups
from .gpu import Gpu
from .live_run import LiveRun, open_run
from .processes import Proc, Processes, io_bytes, shared_bytes, within
from .xid import Xid


class Runs:
    """Belongs to one thread."""

    def __init__(self, spool_dir: Path) -> None:
        self._spool_dir = spool_dir
        self._processes = Processes()
        self._live: dict[str, LiveRun] = {}
        self._over: dict[str, int] = {}  # folder → inode: nothing of it will be sampled any more
        self._trees = cgroups.hierarchies()
        self.processes_of: dict[str, list[Proc]] = {}

    @property
    def count(self) -> int:
        """How many were under way at the last sample."""
        return len(self._live)

    @property
    def process_count(self) -> int:
        """How many processes the node had at the last sample, kernel threads too."""
        return len(self._processes.pids)

    def sample(self, node: Mapping[str, float], gpus: Sequence[Gpu], xids: Sequence[Xid], record: int) -> None:
        """A line for each run. `record`: the kernel's record up to which `xids` were read."""
        self._refresh()
        marks = {run.mark: key for key, run in self._live.items() if run.mark}
        roots = {pid: key for run in self._live.values() for pid, key in run.roots().items()}
        self.processes_of = self._processes.look(roots, marks)
        for run in self._live.values():
            try:
                procs = self.processes_of.get(run.key, [])
                lines = self._xid_lines(run, procs, gpus, xids)
                lines.append(self._line(run, procs, node, gpus) | {"kernel_record": record})
                run.write(lines)
                run.record = record
            except Exception:  # noqa: BLE001, S112 - a full disk, a link in the way, whatever one run's folder holds: others go on
                continue

    def _refresh(self) -> None:
        there: dict[str, int] = {}
        try:
            with os.scandir(self._spool_dir) as entries:
                there = {entry.name: entry.inode() for entry in entries if entry.is_dir(follow_symlinks=False)}
        except OSError:
            pass
        self._over = {name: inode for name, inode in self._over.items() if there.get(name) == inode}
        for name in there:
            if name not in self._over and name not in self._live:
                run = open_run(self._spool_dir / name)
                if run is not None:
                    self._live[name] = run
        for name, run in list(self._live.items()):
            if name not in there or _is_over(run):
                del self._live[name]
                if name in there:
                    self._over[name] = there[name]

    def _line(self, run: LiveRun, procs: list[Proc], node: Mapping[str, float], gpus: Sequence[Gpu]) -> dict[str, Any]:
        now_s = time.monotonic()
        before_cpu_s, before_s = run.cpu_s, run.sampled_s
        usage = self._usage(run, procs)
        run.sampled_s = now_s
        line: dict[str, Any] = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns()} | usage
        if before_s and now_s > before_s:
            line["cpu_percent"] = round(100 * (run.cpu_s - before_cpu_s) / (now_s - before_s), 1)
        line["ranks"] = self._ranks(run, procs)
        members = {proc.pid for proc in procs}
        group = self._group(procs)
        if group:
            line["cgroup"] = group
        used = [_of_gpu(gpu, members) for gpu in gpus if members & gpu.processes.keys()]
        return line | ({"gpus": used} if used else {}) | {"node": dict(node)}

    def _ranks(self, run: LiveRun, procs: list[Proc]) -> list[dict[str, Any]]:
        """Each rank's tree; a container's control group is the rank's own, wherever podman has put it."""
        trees = within(procs, run.rank_roots())
        contained = within(procs, run.container_roots(trees.keys()))
        found = []
        for rank, tree in sorted(trees.items()):
            group = self._group(contained.get(rank, []))
            found.append({"rank": rank} | _summed(tree) | ({"cgroup": group} if group else {}))
        return found

    def _group(self, procs: list[Proc]) -> dict[str, float]:
        """What is counted for the control group that these processes have for themselves."""
        pids = {proc.pid for proc in procs}
        if not pids:
            return {}
        return cgroups.of_run(
            [proc.pid for proc in procs if not proc.is_zombie],
            lambda pid: pid == 0 or (pid in self._processes.pids and pid not in pids),
            self._trees,
        )

    def _usage(self, run: LiveRun, procs: list[Proc]) -> dict[str, Any]:
        """Of all its processes. What one has used is not lost when it ends: its parent has it, or the sum before."""
        io = [io_bytes(proc.pid) for proc in procs]
        run.cpu_s = max(run.cpu_s, sum(proc.cpu_s for proc in procs))
        run.read_bytes = max(run.read_bytes, sum(read for read, _ in io))
        run.write_bytes = max(run.write_bytes, sum(written for _, written in io))
        return _summed(procs) | {
            "cpu_s": round(run.cpu_s, 2),
            "mem_shared_bytes": sum(shared_bytes(proc.pid) for proc in procs),
            "read_bytes": run.read_bytes,
            "write_bytes": run.write_bytes,
        }

    def _xid_lines(self, run: LiveRun, procs: list[Proc], gpus: Sequence[Gpu], xids: Sequence[Xid]) -> list[dict[str, Any]]:
        """Events that its file has not yet, and that are about its processes, its GPUs or nobody that is known."""
        if run.record is None:
            run.record = run.last_record()
        fresh = [xid for xid in xids if xid.record < 0 or (xid.record > run.record and xid.log_ns >= run.begun_log_ns)]
        if not fresh:
            return []
        members = {proc.pid for proc in procs}
        stamp = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}
        return [
            stamp | {"event": "xid"} | _on_gpu(xid, gpus) | {"concerns": concerns} | {"kernel_record": xid.record}
            for xid in fresh
            if (concerns := self._concerns(run, members, gpus, xid))
        ]

    def _concerns(self, run: LiveRun, members: set[int], gpus: Sequence[Gpu], xid: Xid) -> str:
        """Why an event is the run's: its process, its GPU; node: nobody knows whose it is. "" where it is another run's."""
        if xid.pid in members:
            return "process"
        if xid.pid and any(xid.pid == proc.pid for procs in self.processes_of.values() for proc in procs):
            return ""
        on_it = next((gpu.processes.keys() for gpu in gpus if gpu.bus == xid.bus), set[int]())
        if members & on_it:
            return "gpu"
        return "" if on_it else "node"


def _is_over(run: LiveRun) -> bool:
    try:
        return not run.refresh() or (run.run_dir / names.SHIPPED_FILE).exists()
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # its files are not whole
        return True


def _summed(procs: Sequence[Proc]) -> dict[str, Any]:
    return {
        "processes": sum(not proc.is_zombie for proc in procs),
        "threads": sum(proc.threads for proc in procs if not proc.is_zombie),
        "cpu_s": round(sum(proc.cpu_s for proc in procs), 2),
        "mem_bytes": sum(proc.rss_bytes for proc in procs),
    }


def _of_gpu(gpu: Gpu, members: set[int]) -> dict[str, Any]:
    own = {pid: used for pid, used in gpu.processes.items() if pid in members}
    return gpu.to_json() | {"run_processes": len(own), "run_mem_used_bytes": sum(own.values())}


def _on_gpu(xid: Xid, gpus: Sequence[Gpu]) -> dict[str, Any]:
    index = next((gpu.index for gpu in gpus if gpu.bus and gpu.bus == xid.bus), None)
    return xid.to_json() | ({} if index is None else {"gpu": index})
