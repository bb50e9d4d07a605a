"""What the kernel counts for a run's own control group: memory, cpu, io, kills, pressure. cgroup v1, v2, and both side by side.

Reads /proc/<pid>/cgroup, /proc/self/mountinfo and the groups' files. A group is a run's own where all of the run's processes
are in or below it and nobody else's: a systemd scope, a container, a job's step. A run that shares its group has no figures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import pressure
from .processes import read_proc

# A run with more groups below its own than this is not looked through.
_MOST_GROUPS = 64
# cgroup v1's word for no limit: the largest number that is whole pages.
_NO_LIMIT = 1 << 62
_COUNTING = frozenset({"memory", "cpu", "cpuacct", "blkio"})


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of groups. `controllers` of v2 is empty: its files tell what it has."""

    is_v2: bool
    controllers: frozenset[str]
    root: str
    place: str

    def folder(self, group: str) -> Path | None:
        """Where a group is in the file system; None where it is not to be seen from here."""
        below = os.path.relpath(group, self.root)
        return None if below.startswith("..") else Path(self.place, below)

    def has(self, line: tuple[str, str]) -> bool:
        """Whether a line of /proc/<pid>/cgroup (controllers, group) is about this tree."""
        return not line[0] if self.is_v2 else bool(self.controllers & set(line[0].split(",")))


def hierarchies(mountinfo: Path = Path("/proc/self/mountinfo")) -> list[Hierarchy]:
    """All that are mounted here, each once."""
    found: dict[frozenset[str], Hierarchy] = {}
    for line in _lines(mountinfo):
        words, _, about = line.partition(" - ")
        kind, options = about.split(" ")[0], about.rpartition(" ")[2]
        if kind not in ("cgroup", "cgroup2"):
            continue
        controllers = frozenset() if kind == "cgroup2" else _COUNTING & set(options.split(","))
        if kind == "cgroup" and not controllers:
            continue
        root, place = words.split(" ")[3:5]
        found.setdefault(controllers, Hierarchy(kind == "cgroup2", controllers, root, place))
    return list(found.values())


def of_run(pids: Iterable[int], is_foreign: Callable[[int], bool], trees: Iterable[Hierarchy]) -> dict[str, float]:
    """Name → value of the run's own groups, docs/monitoring.md; empty where it has none.

    `pids` are the run's; `is_foreign` says of a pid found in a group whether it is somebody else's.
    """
    texts = {read_proc(f"/proc/{pid}/cgroup") for pid in pids}  # mostly one for all: each is taken apart once
    lines = [line for text in texts for line in _groups_of(text)]
    found: dict[str, float] = {}
    for tree in trees if lines else ():
        folder = _own_folder([line[1] for line in lines if tree.has(line)], tree)
        if folder is None or not _is_own(folder, is_foreign):
            continue
        found |= of_group(folder, tree)
    return found


def of_group(folder: Path, tree: Hierarchy) -> dict[str, float]:
    """The same of the group that `folder` is in the tree; what the tree does not count is left out."""
    found = _of_v2(folder) if tree.is_v2 else _of_v1(folder)
    return {name: value for name, value in found.items() if value >= 0}


def _own_folder(groups: list[str], tree: Hierarchy) -> Path | None:
    """The folder of the lowest group that all of them are in; None where that is the tree's root, which is everybody's."""
    if not groups:
        return None
    common = os.path.commonpath(groups)
    return None if common == tree.root or common == "/" else tree.folder(common)


def _is_own(folder: Path, is_foreign: Callable[[int], bool]) -> bool:
    looked = 0
    for below, _, _ in os.walk(folder):
        looked += 1
        if looked > _MOST_GROUPS or any(is_foreign(int(pid)) for pid in _lines(Path(below, "cgroup.procs"))):
            return False
    return looked > 0


def _of_v2(folder: Path) -> dict[str, float]:
    cpu, io = _table(folder / "cpu.stat"), _io_v2(folder / "io.stat")
    found = {
        "mem_bytes": _number(folder / "memory.current"),
        "mem_peak_bytes": _number(folder / "memory.peak"),
        "mem_limit_bytes": _number(folder / "memory.max"),  # "max" is none
        "swap_bytes": _number(folder / "memory.swap.current"),
        "oom_kills": _table(folder / "memory.events").get("oom_kill", -1),
        "cpu_s": cpu.get("usage_usec", -1e6) / 1e6,
        "throttled_s": cpu.get("throttled_usec", -1e6) / 1e6,
    }
    for name, (some, full) in pressure.of_group(folder).items():
        found |= {f"psi_{name}_percent": some, f"psi_{name}_full_percent": full}
    return found | io


def _of_v1(folder: Path) -> dict[str, float]:
    limit = _number(folder / "memory.limit_in_bytes")
    return {
        "mem_bytes": _number(folder / "memory.usage_in_bytes"),
        "mem_peak_bytes": _number(folder / "memory.max_usage_in_bytes"),
        "mem_limit_bytes": limit if limit < _NO_LIMIT else -1,
        "oom_kills": _table(folder / "memory.oom_control").get("oom_kill", -1),
        "cpu_s": _number(folder / "cpuacct.usage") / 1e9,
        "throttled_s": _table(folder / "cpu.stat").get("throttled_time", -1e9) / 1e9,
    } | _io_v1(folder / "blkio.throttle.io_service_bytes_recursive")


def _io_v2(path: Path) -> dict[str, float]:
    """`8:0 rbytes=1 wbytes=2 …` for each disk; bytes of all of them."""
    if not path.exists():
        return {}
    read = written = 0
    for line in _lines(path):
        for word in line.split():
            name, _, value = word.partition("=")
            read += int(value) if name == "rbytes" else 0
            written += int(value) if name == "wbytes" else 0
    return {"read_bytes": read, "write_bytes": written}


def _io_v1(path: Path) -> dict[str, float]:
    """`8:0 Read 1`, `8:0 Write 2`, … for each disk."""
    if not path.exists():
        return {}
    found = {"Read": 0, "Write": 0}
    for line in _lines(path):
        words = line.split()
        if len(words) == 3 and words[1] in found:
            found[words[1]] += int(words[2])
    return {"read_bytes": found["Read"], "write_bytes": found["Write"]}


def _groups_of(text: bytes) -> list[tuple[str, str]]:
    """(controllers, group) in each tree."""
    found = []
    for line in os.fsdecode(text).splitlines():
        _, controllers, group = line.split(":", 2)
        found.append((controllers, group.removesuffix(" (deleted)")))
    return found


def _table(path: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for line in _lines(path):
        name, _, value = line.partition(" ")
        with suppress(ValueError):
            found[name] = float(value)
    return found


def _number(path: Path) -> float:
    try:
        return float("".join(_lines(path)))
    except ValueError:
        return -1.0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
