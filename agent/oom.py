"""Whether the kernel has killed a process for memory: the count of its control group, and the kernel's own log.

Reads from /proc, from the memory controller's files (cgroup v1 and v2) and, where it may, from /dev/kmsg. The count is the
group's: several ranks may share one, and then only the kernel's log tells whose process it was. Standard library only.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Iterator

# Between two looks at where a driver is: it may be moved to another group after its start.
LOOK_S = 0.5
# The inode of the machine's own namespace of process ids: the kernel's log counts in that one.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC
# The kernel's log has a clock of its own, which is right to about this much.
_LOG_CLOCK_NS = 60 * 10**9
_MOST_RECORDS = 20_000


class MemoryWatch:
    """Follows one process's control group. `look` costs a few microseconds, and is to be called often while it lives."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._group = ""
        self._path = ""
        self._at_first = 0
        self._next_s = 0.0

    def look(self) -> None:
        """Note where the process is, and what was counted there before."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        group = _memory_group(self._pid)
        if group and group != self._group:
            self._group, self._path = group, _counter_path(group)
            self._at_first = _kills(self._path)

    @property
    def kills(self) -> int:
        """How many processes of its group were killed for memory since it came there."""
        return max(0, _kills(self._path) - self._at_first) if self._path else 0

    def why(self, *, is_kill: bool, since_mono_ns: int) -> str:
        """What tells that the process, or one of its group, was killed for memory; "" where nothing does.

        `is_kill`: it ended by SIGKILL. Where the kernel's log names other processes only, it was not this one.
        """
        kills = self.kills
        if not is_kill and not kills:
            return ""
        victims = _victims(since_mono_ns)
        if self._pid in victims:
            return f"the kernel's log: {victims[self._pid]}"
        if not kills or (is_kill and victims):
            return ""
        return f"its control group {self._group} counts {kills} killed for memory while it ran"


def _memory_group(pid: int) -> str:
    """The control group of a process by which its memory is limited: `v1:/a/b` or `v2:/a/b`; "" where it is gone."""
    try:
        with open(f"/proc/{pid}/cgroup", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return ""
    for _, controllers, path in lines:
        if "memory" in controllers.split(","):
            return f"v1:{path}"
    return next((f"v2:{path}" for number, controllers, path in lines if number == "0" and not controllers), "")


def _counter_path(group: str) -> str:
    """The file in which the group's kills are counted; "" where it is not to be seen from here."""
    version, _, path = group.partition(":")
    for root, place in _mounts(version):
        if path == root or path.startswith(root.rstrip("/") + "/"):
            name = "memory.oom_control" if version == "v1" else "memory.events"
            found = os.path.join(place + path[len(root.rstrip("/")) :], name)
            if os.path.exists(found):
                return found
    return ""


def _mounts(version: str) -> Iterator[tuple[str, str]]:
    """(root within the hierarchy, place in the file system) of each mount of the memory controller."""
    try:
        with open("/proc/self/mountinfo", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        place, _, kind = line.partition(" - ")
        words, about = place.split(), kind.split()
        is_memory = about[:1] == ["cgroup2"] or (about[:1] == ["cgroup"] and "memory" in about[-1].split(","))
        if is_memory and (about[0] == "cgroup2") == (version == "v2"):
            yield words[3], words[4]


def _kills(path: str) -> int:
    try:
        with open(path) as file:
            for line in file:
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    except (OSError, ValueError):
        pass
    return 0


def _victims(since_mono_ns: int) -> dict[int, str]:
    """The processes that the kernel says it has killed for memory since then: pid → its words."""
    try:
        if os.stat("/proc/self/ns/pid").st_ino != _FIRST_PID_NAMESPACE:
            return {}  # the pids in the log are not ours
        descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    found = {}
    try:
        for _ in range(_MOST_RECORDS):
            try:
                record = os.read(descriptor, 8192).decode(errors="replace")
            except BrokenPipeError:  # overwritten while it was read: the next one is there
                continue
            pid, stamp_ns = _victim(record)
            if pid and stamp_ns >= since_mono_ns - _LOG_CLOCK_NS:
                found[pid] = record.partition(";")[2].partition("\n")[0][:400]
    except OSError:  # the end
        pass
    finally:
        os.close(descriptor)
    return found


def _victim(record: str) -> tuple[int, int]:
    """(pid, ns since boot) of a record of the kernel's log that tells of a kill for memory; (0, 0) for any other."""
    head, _, text = record.partition(";")
    before, mark, rest = text.partition("Killed process ")
    if not mark or "out of memory" not in before.lower():
        return 0, 0
    fields = head.split(",")
    digits = rest.split(" ", 1)[0]
    if len(fields) < 3 or not fields[2].isdigit() or not digits.isdigit():
        return 0, 0
    return int(digits), int(fields[2]) * 1000
