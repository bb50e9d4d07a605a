"""Capture of one driver process: starts it, keeps its log and index, and its exit status. One process, forked by the shepherd.

Reads from the driver's files through driver_log.py; writes the marks started.json, exit.json and captured.

What survives a kill -9 here: the driver (it holds files, no pipe) and, since the shepherd is the subreaper, its exit status.
Standard library only; os.path and plain classes, since the start of every run waits for this module's import.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import time

from runyard.atomic import write_bytes, write_json
from runyard.names import FILE_MODE, SYSTEM_LOG, process_dir

from . import evidence, proctree
from .driver_log import DriverLog
from .journal import SystemLog

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    import signal
    from typing import Any

    from .oom import MemoryWatch
else:
    import _signal as signal  # without the enums around it, whose import costs 8 ms

# Between two looks while the log grows, and when it has been still: a line's time is right to this much.
HOT_S = 0.02
STILL_S = 0.05
# What is still there so long after its SIGKILL belongs to somebody else, or hangs in the kernel.
UNKILLABLE_S = 5.0


def lock_path(run_dir: str, rank: int) -> str:
    """The file whose flock a living capture of `rank` holds."""
    return os.path.join(run_dir, process_dir(rank), "capture.lock")


def take_lock(run_dir: str, rank: int) -> int | None:
    """A descriptor that holds the capture's lock (to be inherited by the fork), or None where a capture lives."""
    os.makedirs(os.path.join(run_dir, process_dir(rank)), mode=0o700, exist_ok=True)
    descriptor = os.open(lock_path(run_dir, rank), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


class Capture:
    """The life of a capture process: starts the driver, or takes over one that runs; ends when its log is final. Blocks."""

    adopts = True  # whether orphans among the driver's descendants become its children

    def __init__(self, run_dir: str, run: dict[str, Any], rank: int, log_name: str) -> None:
        with open(lock_path(run_dir, rank), "w") as file:
            file.write(str(os.getpid()))  # for people
        self._run_dir = run_dir
        self._directory = os.path.join(run_dir, process_dir(rank))
        self._system_log = os.path.join(run_dir, SYSTEM_LOG)
        self._run = run
        self._rank = rank
        self._log = DriverLog(run_dir, log_name, rank, is_split=run["streams"] == "split")
        self._markers = (proctree.marker(run), f"RUNYARD_RANK={rank}")
        self._memory: MemoryWatch | None = None

    def start(self, launch: dict[str, Any], stdin: int) -> None:
        """Start the driver and capture it to its end."""
        if self.adopts:
            proctree.become_subreaper()
        evidence.prepare(launch, self._directory, self._run)
        if self._run.get("is_watched"):
            from .stack_request import prepare

            prepare(launch, self._directory)
        if "container" in launch:
            self._start_container(launch)
            return
        go_read, go_write = os.pipe()
        failed_read, failed_write = os.pipe()
        # We ignore these. Blocked, one that comes before the driver has its own ways waits for it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            _become_driver(launch, stdin, self._log, go_read, failed_write)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._log.close_driver_ends()
        os.close(failed_write)
        # The driver waits for our byte, and leaves when it sees the pipe closed: what has exec'd has a started.json.
        self._write_started(pid)
        os.write(go_write, b"g")
        os.close(go_write)
        cause = os.read(failed_read, 4096).decode(errors="replace")
        self._until_gone(pid)
        record_exit(self._directory, pid, cause)
        self._end_leftovers(lambda: proctree.descendants(os.getpid()))
        self._finish()

    def _write_started(self, pid: int, **more: Any) -> dict[str, Any]:
        started = {
            "pid": pid,
            "start_ticks": proctree.start_ticks(pid),
            "boot_id": proctree.boot_id(),
            "wall_ns": time.time_ns(),
            "mono_ns": time.monotonic_ns(),
        } | more
        write_json(os.path.join(self._directory, "started.json"), started, durable=False)
        return started

    def _start_container(self, launch: dict[str, Any]) -> None:
        """Start the driver's container, or find that an earlier capture has, and capture it to its end."""
        from . import contained_driver

        outs = self._log.driver_out, self._log.driver_out if self._log.driver_err < 0 else self._log.driver_err
        try:
            pid = contained_driver.start(self._run_dir, self._run, self._rank, launch, outs)
        except contained_driver.NotStarted as error:
            self.give_up(str(error))
            return
        self.resume(self._write_started(pid, container=launch["container"]["name"]))

    def give_up(self, cause: str) -> None:
        """The driver will not be started: say why, and leave an empty log."""
        write_exit(self._directory, exit_code=None, signal_number=None, cause=cause)
        self.finish_empty()

    def resume(self, started: dict[str, Any]) -> None:
        """Capture a driver that an earlier capture started; whoever is its parent now records its exit."""
        self._log.close_driver_ends()
        pid, ticks = started["pid"], started["start_ticks"]
        if started["boot_id"] == proctree.boot_id():
            if pid and proctree.is_running(pid, ticks):
                self._until_gone(pid, lambda: proctree.is_running(pid, ticks))
            self._end_leftovers(lambda: proctree.with_environment(*self._markers))
        if started.get("container"):
            self._record_container_exit(started["container"])
        self._finish()

    def _record_container_exit(self, name: str) -> None:
        from . import contained_driver

        end = contained_driver.end_of(name)
        if end is not None:  # otherwise the shepherd says that it is lost
            _write_exit_despite_full_disk(self._directory, **end)  # podman keeps it until then

    def finish_empty(self) -> None:
        """Leave an empty log for a driver that will not be started."""
        self._log.close_driver_ends()
        self._finish()

    def _until_gone(self, pid: int, is_there: Any = None) -> None:
        poller = select.poll()
        try:
            pidfd = os.pidfd_open(pid)
            poller.register(pidfd, select.POLLIN)
        except OSError:  # before Linux 5.3, or gone: the look below tells
            pidfd = -1
        is_there = is_there or (lambda: not _has_ended(pid))
        wait_s = HOT_S
        from .oom import MemoryWatch  # the driver starts in the meantime

        self._memory = MemoryWatch(pid)
        while is_there():
            self._memory.look()
            wait_s = HOT_S if self._log.tick() else min(STILL_S, wait_s * 1.25)
            poller.poll(wait_s * 1000)
        if pidfd >= 0:
            os.close(pidfd)

    def _end_leftovers(self, members: Any) -> None:
        # The driver is gone; what it left behind is asked to end, and made to end after the grace period.
        left = members()
        if not left:
            return
        log = SystemLog(self._system_log, "runyard.capture")
        log.info("the driver has left processes behind; they are asked to end", pids=left)
        proctree.send(left, signal.SIGTERM)
        deadline = time.monotonic() + self._run["grace_s"]
        while left := members():
            late_s = time.monotonic() - deadline
            if late_s > UNKILLABLE_S:
                log.error("processes of the driver could not be ended", pids=left)
                return
            if late_s >= 0:
                proctree.send(left, signal.SIGKILL)
            self._log.tick()
            _reap_children()
            time.sleep(STILL_S)

    def _finish(self) -> None:
        # A full disk is waited for; a limit or a file system that will never take the rest is not.
        while not self._log.is_settled and self._log.trouble_errno not in (errno.EFBIG, errno.EROFS):
            if not self._log.tick():
                time.sleep(STILL_S)
        try:
            evidence.write(self._directory, self._run_dir, self._memory)
        except Exception as error:  # noqa: BLE001 - no evidence is worth that a run does not end
            SystemLog(self._system_log, "runyard.capture").warning("a driver's evidence is lost", why=repr(error))
        write_bytes(os.path.join(self._directory, "captured"), b"", durable=False)


def record_exit(directory: str, pid: int, cause: str = "") -> None:
    """Wait for our child `pid`, write exit.json, and only then reap it: a death in between loses no status. Blocks."""
    status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert status is not None
    is_signal = status.si_code != os.CLD_EXITED
    _write_exit_despite_full_disk(
        directory,
        exit_code=128 + status.si_status if is_signal else status.si_status,
        signal_number=status.si_status if is_signal else None,
        cause=cause,
    )
    os.waitpid(pid, 0)  # the zombie has kept the status until here


def _write_exit_despite_full_disk(directory: str, **end: Any) -> None:
    """As write_exit; waits until there is room. Blocks."""
    while True:
        try:
            write_exit(directory, **end)
            return
        except OSError as error:
            run_dir = os.path.dirname(os.path.dirname(os.path.dirname(directory)))
            if not os.path.isdir(run_dir):
                raise  # somebody has removed the run's folder: there will never be room in it
            from . import reserve

            if not reserve.give_up(run_dir, error):
                time.sleep(STILL_S)


def write_exit(directory: str, *, exit_code: int | None, signal_number: int | None, cause: str) -> None:
    """Write exit.json, at most once: the first word on how a process ended stands."""
    path = os.path.join(directory, "exit.json")
    if os.path.exists(path):
        return
    value = {
        "exit_code": exit_code,
        "signal": signal_number,
        "cause": cause,
        "wall_ns": time.time_ns(),
        "mono_ns": time.monotonic_ns(),
    }
    write_json(path, value, durable=False)


def _has_ended(driver: int) -> bool:
    """Whether our child `driver` has ended; orphans that became our children are reaped on the way."""
    while True:
        status = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if status is None:
            return False
        if status.si_pid == driver:
            return True
        os.waitpid(status.si_pid, 0)


def _reap_children() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _become_driver(launch: dict[str, Any], stdin: int, log: DriverLog, go: int, failed: int) -> None:
    """In the forked child: become the user's command. Never returns."""
    code = 127
    try:
        os.setsid()
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(launch["umask"])
        resource.setrlimit(resource.RLIMIT_FSIZE, tuple(launch["file_size_limits"]))
        os.dup2(stdin, 0)
        os.dup2(log.driver_out, 1)
        os.dup2(log.driver_out if log.driver_err < 0 else log.driver_err, 2)
        if os.read(go, 1) == b"g":
            os.chdir(launch["cwd"])
            os.execvpe(launch["argv"][0], launch["argv"], launch["env"])  # noqa: S606
    except OSError as error:
        code = 127 if error.errno == errno.ENOENT else 126
        text = f"{launch['argv'][0]!r} cannot be started in {launch['cwd']!r}: {error.strerror}"
        os.write(failed, text.encode(errors="replace")[:4000])
    except BaseException as error:  # noqa: BLE001 - whatever it is: this fork must never go on as a second capture
        os.write(failed, repr(error).encode(errors="replace")[:4000])
    finally:
        os._exit(code)
