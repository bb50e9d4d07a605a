"""Which processes belong to which run, and what they use: descendants of the run's roots, and whoever carries its mark.

Reads /proc; in a way that costs by the runs' processes, not by the machine's: kernel threads are looked at once, processes of
no run every REST looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# A process of no run is looked at again soon (it may be between fork and exec), then after so many looks.
REST = 12
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_KERNEL_THREAD = 0x00200000
# /proc gives at most a page at a time of some files; what comes short is the end.
_PIECE_BYTES = 4096
_MARK = b"RUNYARD_RUN_MARK="


@dataclass(slots=True)
class Proc:
    """One process. `cpu_s` is its own and that of all its children that have ended, and so never lost while it lives."""

    pid: int
    parent: int
    ticks: int
    cpu_s: float
    rss_bytes: int
    threads: int
    is_zombie: bool


class Processes:
    """Belongs to one thread."""

    def __init__(self) -> None:
        self.pids: frozenset[int] = frozenset()  # all that there were in the last look
        self._kernel: set[int] = set()
        self._resting: dict[int, int] = {}  # pid → looks that it is left out
        self._looked: dict[int, int] = {}  # pid → start ticks, of those that were of no run

    def look(self, roots: Mapping[int, str], marks: Mapping[str, str]) -> dict[str, list[Proc]]:
        """Run → its processes. `roots`: pid → run, `marks`: mark → run; the nearest root above a process counts."""
        self.pids = frozenset(int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
        self._kernel &= self.pids
        self._resting = {pid: left - 1 for pid, left in self._resting.items() if left > 0 and pid in self.pids}
        if not roots and not marks:  # nobody asks; a node without runs pays for one listing
            return {}
        alive = self._read(roots)
        owners: dict[int, str] = dict(roots)
        found: dict[str, list[Proc]] = {}
        for proc in alive.values():
            owner = self._owner(proc, alive, owners, marks)
            if owner:
                found.setdefault(owner, []).append(proc)
        self._looked = {pid: ticks for pid, ticks in self._looked.items() if pid in self.pids}
        return found

    def _read(self, roots: Mapping[int, str]) -> dict[int, Proc]:
        alive: dict[int, Proc] = {}
        for pid in self.pids:
            if pid in self._kernel or (self._resting.get(pid, 0) > 0 and pid not in roots):
                continue
            fields = _stat(pid)
            if not fields:
                continue
            if int(fields[6]) & _KERNEL_THREAD:
                self._kernel.add(pid)
                continue
            alive[pid] = _proc(pid, fields)
        return alive

    def _owner(self, proc: Proc, alive: Mapping[int, Proc], owners: dict[int, str], marks: Mapping[str, str]) -> str:
        """The run of a process; "" where it has none. What is found out on the way up is kept in `owners`."""
        way: list[Proc] = []
        owner = ""
        at: Proc | None = proc
        while at is not None and at.pid not in owners:
            way.append(at)
            owners[at.pid] = ""  # a parent that is its own descendant: pids were read one after another
            at = alive.get(at.parent)
        if at is not None:
            owner = owners[at.pid]
        for one in reversed(way):
            owner = owner or self._marked(one, marks)
            owners[one.pid] = owner
        return owner

    def _marked(self, proc: Proc, marks: Mapping[str, str]) -> str:
        owner = marks.get(mark_of(proc.pid), "")
        if not owner:
            is_known = self._looked.get(proc.pid) == proc.ticks
            self._looked[proc.pid] = proc.ticks
            self._resting[proc.pid] = REST if is_known else 0
        return owner


def within(procs: Iterable[Proc], roots: Mapping[int, int]) -> dict[int, list[Proc]]:
    """The trees below `roots` (pid → rank), of a run's processes; a process below none is in no tree."""
    by_pid = {proc.pid: proc for proc in procs}
    found: dict[int, list[Proc]] = {}
    for proc in by_pid.values():
        at: Proc | None = proc
        for _ in range(len(by_pid)):
            if at is None or at.pid in roots:
                break
            at = by_pid.get(at.parent)
        if at is not None and at.pid in roots:
            found.setdefault(roots[at.pid], []).append(proc)
    return found


def mark_of(pid: int) -> str:
    """The mark of a run in the environment with which a process was started; "" where there is none, or no right to look."""
    environment = read_proc(f"/proc/{pid}/environ")
    at = environment.find(_MARK)
    while at > 0 and environment[at - 1] != 0:
        at = environment.find(_MARK, at + 1)
    return environment[at + len(_MARK) :].partition(b"\0")[0].decode(errors="replace") if at >= 0 else ""


def io_bytes(pid: int) -> tuple[int, int]:
    """(read, written) from and to disks, by the process and its children that have ended; (0, 0) without the right to look."""
    read = written = 0
    for line in read_proc(f"/proc/{pid}/io").splitlines():
        if line.startswith(b"read_bytes:"):
            read = int(line[11:])
        elif line.startswith(b"write_bytes:"):
            written = int(line[12:])
    return read, written


def shared_bytes(pid: int) -> int:
    """How much of a process's memory is files and shared memory, which several processes may have at once."""
    fields = read_proc(f"/proc/{pid}/statm").split()
    return int(fields[2]) * _PAGE if fields else 0


def read_proc(path: str) -> bytes:
    """A file of /proc, whole; empty where it is gone or not ours. Without open(), whose objects cost more than the read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        data = piece = os.read(descriptor, _PIECE_BYTES)
        while len(piece) == _PIECE_BYTES:
            piece = os.read(descriptor, _PIECE_BYTES)
            data += piece
        return data
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _proc(pid: int, fields: list[bytes]) -> Proc:
    return Proc(
        pid=pid,
        parent=int(fields[1]),
        ticks=int(fields[19]),
        cpu_s=sum(map(int, fields[11:15])) / _TICKS,
        rss_bytes=int(fields[21]) * _PAGE,
        threads=int(fields[17]),
        is_zombie=fields[0] in (b"Z", b"X"),
    )


def _stat(pid: int) -> list[bytes]:
    # Fields from the third on: the second, the name, may hold anything.
    return read_proc(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
