"""Process trees: who descends from whom, and how to end all of them. Linux, standard library only.

Reads from /proc; writes signals. A process that left its parent (a daemon, an orphan) is still found: shepherd and capture are
subreapers, so that it becomes their child, and the environment of a run's processes carries its mark.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

_PR_SET_CHILD_SUBREAPER = 36
_boot_id: list[str] = []  # read once


def become_subreaper() -> bool:
    """From now on orphans among our descendants become our children. False where the system cannot do it."""
    arguments = (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        import _ctypes  # what ctypes stands on; ctypes itself would cost the start of every run 6 ms

        library: Any = _ctypes
        return bool(library.call_function(library.dlsym(library.dlopen(None, 0), "prctl"), arguments) == 0)
    except (ImportError, AttributeError):
        import ctypes

        return bool(ctypes.CDLL(None).prctl(*arguments) == 0)


def boot_id() -> str:
    """Names this boot of the machine: processes of another one are gone."""
    if not _boot_id:
        try:
            with open("/proc/sys/kernel/random/boot_id") as file:
                _boot_id.append(file.read().strip())
        except OSError:
            _boot_id.append("")
    return _boot_id[0]


def start_ticks(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot: with the pid it names one process for ever. None: no such process.

    A zombie counts as a process until it is reaped.
    """
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def is_running(pid: int, ticks: int) -> bool:
    """Whether the process (pid, start ticks) still runs; a zombie does not."""
    fields = _stat_fields(pid)
    return bool(fields) and int(fields[19]) == ticks and fields[0] not in (b"Z", b"X")


def parent(pid: int) -> int | None:
    """The parent of `pid`; None where there is no such process."""
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else None


def descendants(root: int) -> list[int]:
    """All living descendants of `root`, itself and zombies left out, parents before children."""
    children: dict[int, list[int]] = {}
    dead = set()
    for pid in _pids():
        fields = _stat_fields(pid)
        if fields:
            children.setdefault(int(fields[1]), []).append(pid)
            if fields[0] in (b"Z", b"X"):
                dead.add(pid)
    found: list[int] = []
    queue = list(children.get(root, ()))
    while queue:
        pid = queue.pop(0)
        found.append(pid)
        queue += children.get(pid, ())
    return [pid for pid in found if pid not in dead]


def marker(run: dict[str, Any]) -> str:
    """The entry in the environment of each of a run's processes; `run` is its run.json."""
    return f"RUNYARD_RUN_MARK={run['mark']}"


def with_environment(*entries: str) -> list[int]:
    """Processes of ours that were started with all of these `NAME=value` entries in their environment."""
    wanted = [b"\0" + os.fsencode(entry) + b"\0" for entry in entries]
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environment = b"\0" + file.read() + b"\0"
        except OSError:  # gone, or not ours
            continue
        if pid != os.getpid() and all(entry in environment for entry in wanted):
            found.append(pid)
    return found


def with_argument(word: str) -> list[int]:
    """Processes of which `word` is one of the arguments."""
    wanted = b"\0" + os.fsencode(word) + b"\0"
    found = []
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                arguments = file.read()
        except OSError:  # gone
            continue
        if pid != os.getpid() and wanted in arguments:
            found.append(pid)
    return found


def send(pids: list[int], number: int) -> None:
    """Send a signal to each; those that are gone by now are passed over."""
    for pid in pids:
        if pid <= 1:  # 0 would be our own group, 1 the machine
            continue
        try:
            os.kill(pid, number)
        except OSError as error:
            if error.errno not in (errno.ESRCH, errno.EPERM):
                raise


def send_group(leader: int, number: int) -> None:
    """Send a signal to the process group that `leader` leads."""
    if leader <= 1:
        return
    try:
        os.killpg(leader, number)
    except OSError as error:
        if error.errno not in (errno.ESRCH, errno.EPERM):
            raise


def send_group_or_leader(leader: int, number: int) -> None:
    """The same, also to a driver that is so young that it does not lead its group yet."""
    try:
        is_leading = os.getpgid(leader) == leader
    except ProcessLookupError:
        return
    if is_leading:
        send_group(leader, number)
    else:
        send([leader], number)


def describe_signal(number: int) -> str:
    """SIGSEGV for 11; the number where it has no name."""
    from signal import Signals

    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat_fields(pid: int) -> list[bytes]:
    # Fields from the third on (state, parent, …): the second, the name, may hold anything, also ")" and spaces.
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return []
