"""What is left of a run on its node after its end: processes, containers, mounts, GPUs. All of it is freed as far as that goes.

Reads run.json, /proc, the run's control groups, podman, the kernel's mounts and the node's GPUs; writes signals, and
cgroup.kill. Whatever is found carries the run's own mark and is its user's, or lies in its own scope or
folder: nothing else is touched, whatever that user has written into run.json. Blocks.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json
from runyard.spec import CONTAINER

from . import container, proctree, work_folder
from .mounts import mounted_below, unmount
from .owner import acting_for_owner

# A shepherd that has said its last word is about to end by itself.
SHEPHERD_S = 5.0
# After SIGKILL: what is not gone by then hangs in the kernel.
KILLED_S = 5.0
PODMAN_S = 60.0
_LOOK_S = 0.02
_MOST_NAMED = 5
# The number of the first PID namespace, in which pids are those that the GPUs' driver tells.
_FIRST_PID_NAMESPACE = 0xEFFFFFFC


@dataclass(frozen=True, slots=True)
class GpuUse:
    """The processes on one GPU, as its driver tells them."""

    index: int
    pids: tuple[int, ...]


def left_behind(
    run_dir: Path,
    *,
    groups: Callable[[Path], Iterable[Path]] = lambda run_dir: (),
    gpus: Callable[[], Sequence[GpuUse]] = tuple,
) -> list[str]:
    """Free the node of a run that has ended; what cannot be freed, as sentences. `groups` gives the run's control groups."""
    try:
        with acting_for_owner(run_dir):
            run = read_json(str(run_dir / names.RUN_FILE))
    except FileNotFoundError:
        return []
    if not isinstance(run, dict) or not run.get("mark"):
        return []
    troubles: list[str] = []
    steps: tuple[Callable[[], list[str]], ...] = (
        lambda: _end_shepherd(run_dir),
        lambda: _end_groups(list(groups(run_dir))),
        lambda: _end_processes(run_dir, run),
        lambda: _remove_containers(run_dir, run),
        lambda: _unmount(run_dir, run),
        lambda: _gpus_in_use(run_dir, run, gpus),
    )
    for step in steps:
        try:
            found = step()
        except (OSError, subprocess.SubprocessError) as error:
            found = [f"it cannot be told whether all is free: {error}"]
        troubles += found
    return [f"run {run.get('run_id', run_dir.name)}: {trouble}" for trouble in troubles]


def _end_shepherd(run_dir: Path) -> list[str]:
    """Wait for it: after its last word it has nothing more to do."""
    with acting_for_owner(run_dir):
        is_gone = _by(time.monotonic() + SHEPHERD_S, lambda: is_free(run_dir / names.SHEPHERD_LOCK))
    return [] if is_gone else ["its shepherd has said its last word and does not end"]


def is_free(lock: Path) -> bool:
    """Whether nobody holds a flock on the file; also where there is none."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _end_groups(folders: list[Path]) -> list[str]:
    troubles = []
    for folder in folders:
        if not _is_populated(folder):
            continue
        _kill_group(folder)
        if not _by(time.monotonic() + KILLED_S, lambda folder=folder: not _is_populated(folder)):  # type: ignore[misc]
            troubles.append(f"processes in its control group {folder.name} cannot be ended: {_named(_members(folder))}")
    return troubles


def _kill_group(folder: Path) -> None:
    try:
        (folder / "cgroup.kill").write_text("1")
    except OSError:  # a kernel before 5.14, or a group that is gone
        proctree.send(_members(folder), signal.SIGKILL)


def _is_populated(folder: Path) -> bool:
    try:
        return "populated 1" in (folder / "cgroup.events").read_text()
    except OSError:
        return False


def _members(folder: Path) -> list[int]:
    found: list[int] = []
    for path in (folder / "cgroup.procs", *folder.rglob("*/cgroup.procs")):
        with suppress(OSError):
            found += [int(word) for word in path.read_text().split() if int(word)]
    return found


def _end_processes(run_dir: Path, run: Mapping[str, Any]) -> list[str]:
    marker, owner = proctree.marker(dict(run)), run_dir.lstat().st_uid
    left: list[int] = []

    def are_gone() -> bool:
        left[:] = [pid for pid in proctree.with_environment(marker) if _may_end(pid, owner)]
        proctree.send(left, signal.SIGKILL)  # each time anew: one that is killed may just have had a child
        return not left

    if _by(time.monotonic() + KILLED_S, are_gone):
        return []
    return [f"its processes cannot be ended: {_named(left)}"]


def _may_end(pid: int, owner: int) -> bool:
    """Whether a run of that user may have started the process: the mark in its run.json may have been changed to another's."""
    try:
        uid = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return False
    if owner in (0, uid):
        return True
    try:
        pwd.getpwuid(uid)
    except KeyError:  # a subordinate id of the user's, in a container
        return True
    return False


def _by(deadline_s: float, is_so: Callable[[], bool]) -> bool:
    """Whether it becomes so until then."""
    while not is_so():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(_LOOK_S)
    return True


def _named(pids: Sequence[int]) -> str:
    words = []
    for pid in pids[:_MOST_NAMED]:
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        state = fields.rpartition(b") ")[2][:1].decode()
        name = fields.partition(b"(")[2].rpartition(b")")[0].decode(errors="replace")
        words.append(f"{pid} ({name}{', which hangs in the kernel' if state == 'D' else ''})")
    more = f" and {len(pids) - _MOST_NAMED} more" if len(pids) > _MOST_NAMED else ""
    return (", ".join(words) or "already gone when they were looked at") + more


def _remove_containers(run_dir: Path, run: Mapping[str, Any]) -> list[str]:
    spec = run.get("spec") or {}
    is_contained = (spec.get("environment") or {}).get("kind") == CONTAINER or spec.get("sidecar")
    if not is_contained or shutil.which(container.PODMAN) is None:
        return []
    labelled = f"label={container.LABEL}={run['mark']}"
    listed = _podman(run_dir, "ps", "--all", "--filter", labelled, "--format", "{{.Names}}")
    if listed.returncode:
        return [f"podman cannot say whether containers of it are left: {_words(listed)}"]
    troubles = []
    for name in listed.stdout.split():
        removed = _podman(run_dir, "rm", "--force", "--ignore", "--time=0", name)
        if removed.returncode:
            troubles.append(f"its container {name} cannot be removed: {_words(removed)}")
    return troubles


def _podman(run_dir: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """As the run's user, whose containers they are."""
    status = run_dir.lstat()
    how: dict[str, Any] = {}
    if status.st_uid != os.geteuid():
        entry = pwd.getpwuid(status.st_uid)
        how = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": os.getgrouplist(entry.pw_name, entry.pw_gid)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "DBUS_", "RUNYARD_"))}
        how["env"] = kept | {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name}
        if Path(f"/run/user/{entry.pw_uid}").is_dir():
            how["env"]["XDG_RUNTIME_DIR"] = f"/run/user/{entry.pw_uid}"
    return subprocess.run(
        [container.PODMAN, *words],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=PODMAN_S,
        cwd="/",
        **how,
    )


def _words(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stderr.split())[-300:] or f"exit code {done.returncode}"


def _unmount(run_dir: Path, run: Mapping[str, Any]) -> list[str]:
    folders = [run_dir]
    with acting_for_owner(run_dir):
        if run.get("work_dir") and work_folder.is_ours(dict(run)):
            work_dir = Path(run["work_dir"])
            if work_dir.lstat().st_uid == run_dir.lstat().st_uid:  # not one in which all may put a file
                folders.append(work_dir)
    return [trouble for folder in folders if mounted_below(folder) for trouble in unmount(folder)]


def _gpus_in_use(run_dir: Path, run: Mapping[str, Any], gpus: Callable[[], Sequence[GpuUse]]) -> list[str]:
    """Its GPUs, which were its own alone, hold nothing any more. A process without its mark may be a person's: it is told of,
    not ended."""
    own = (run.get("placement") or {}).get("gpus") or ()
    if not own:
        return []
    troubles = []
    for use in gpus():
        if use.index not in own:
            continue
        strays = [pid for pid in use.pids if _is_stray(pid, run_dir, run)]
        if strays:
            troubles.append(f"GPU {use.index}, which it had, is used by what its user has started since: {_named(strays)}")
        gone = [pid for pid in use.pids if not Path(f"/proc/{pid}").exists()]
        if gone and _sees_all_pids():
            which = ", ".join(map(str, gone[:_MOST_NAMED]))
            troubles.append(
                f"GPU {use.index}, which it had, is still held for processes that are gone: {which}; it needs a reset"
            )
    return troubles


def _is_stray(pid: int, run_dir: Path, run: Mapping[str, Any]) -> bool:
    """Whether a process is of the run's user, younger than the run, and of no other run."""
    try:
        is_users = Path(f"/proc/{pid}").stat().st_uid == run_dir.lstat().st_uid
        is_of_another = b"\0RUNYARD_RUN_MARK=" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    ticks = proctree.start_ticks(pid)
    if ticks is None or not is_users or is_of_another:
        return False
    booted_s = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted_s + ticks / os.sysconf("SC_CLK_TCK") > int(run.get("created_ns") or 0) / 1e9


def _sees_all_pids() -> bool:
    """Whether a pid that the driver tells and /proc does not have is that of a process that is gone."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == _FIRST_PID_NAMESPACE
    except OSError:
        return False
