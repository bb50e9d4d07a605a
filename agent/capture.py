"""Capture of one driver process: its log, the time index of the log, and its exit status. One process, forked by the shepherd.

Reads from the driver's raw stderr file and from the sizes of its files; writes the stderr bytes into the log, records into the
time index, and the marks started.json, exit.json and captured. stdout is not touched: it *is* the log, opened O_APPEND.

What survives a kill -9 here: the driver (it holds files, no pipe) and, since the shepherd is the subreaper, its exit status.
The append of a stderr chunk is announced in `intent` before it is made, so that the next capture can tell whether it happened.
Standard library only; os.path and plain classes, since the start of every run waits for this module's import.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
import time

from runyard.atomic import write_bytes, write_json
from runyard.names import FILE_MODE, index_of, process_dir
from runyard.timeindex import RECORD_BYTES, STDERR, STDOUT, TOGETHER, pack, unpack

from . import proctree
from .reclaim import punch_hole

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# Largest piece of stderr that one append writes; what a death between append and index record makes us search for.
CHUNK_BYTES = 64 << 10
# Merged bytes of the raw stderr file are given back to the disk in steps of this size.
RAW_RECLAIM_BYTES = 4 << 20
# Between two looks while the log grows, and when it has been still: a line's time is right to this much.
HOT_S = 0.02
STILL_S = 0.05
# Read of the index at a restart.
_TAIL_BYTES = 1 << 20

# Bytes before a position that are compared to see whether what lies there is still what was read: `> /dev/stderr` in a
# shell script truncates the file that stderr is.
TAIL_BYTES = 32

_INTENT = struct.Struct("<QQQ")
PAGE_BYTES = 4096


class Log:
    """A driver's log with its time index: merges raw stderr into it and records its growth. Owns its descriptors."""

    def __init__(self, run_dir: str, name: str, rank: int, *, is_split: bool) -> None:
        self._is_split = is_split
        directory = os.path.join(run_dir, process_dir(rank))
        index_path = os.path.join(run_dir, index_of(name))
        for path in (directory, os.path.dirname(index_path), os.path.dirname(os.path.join(run_dir, name))):
            os.makedirs(path, mode=0o700, exist_ok=True)
        append = os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.log = os.open(os.path.join(run_dir, name), os.O_RDWR | append, FILE_MODE)
        # The driver's descriptor is another open file: our position tells the end of *our* last append.
        self.driver_out = os.open(os.path.join(run_dir, name), os.O_WRONLY | append, FILE_MODE)
        self.raw = self.driver_err = self.intent = -1
        if is_split:
            raw = os.path.join(directory, "stderr.raw")
            self.raw = os.open(raw, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            self.driver_err = os.open(raw, os.O_WRONLY | append, FILE_MODE)
            self.intent = os.open(os.path.join(directory, "intent"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._index = os.open(index_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._index_bytes = 0
        self._pending = b""  # records that a full disk did not take yet
        self.end = 0  # what the index covers, pending records included
        self._tail = b""  # the log's last bytes before `end`
        self._log_mtime_ns = 0
        self.raw_position = 0
        self._raw_tail = b""
        self._raw_mtime_ns = 0
        self._raw_reclaimed = 0
        self.truncated_total = 0
        self._recover()

    def close_driver_ends(self) -> None:
        """Close the descriptors that were meant for the driver, once it has them."""
        os.close(self.driver_out)
        if self._is_split:
            os.close(self.driver_err)

    def tick(self) -> bool:
        """Take in what is new; whether there was anything. A full disk only delays: nothing is passed over."""
        try:
            if self._pending:
                self._write_records(b"")
            grew = self._merge_stderr() if self._is_split else False
            return self._record_growth() or grew
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            return False

    @property
    def is_settled(self) -> bool:
        """Whether log and index hold everything that is there now."""
        is_merged = not self._is_split or os.fstat(self.raw).st_size == self.raw_position
        return is_merged and not self._pending and os.fstat(self.log).st_size == self.end

    def _record_growth(self) -> bool:
        size = self._checked_log_size()
        if size <= self.end:
            return False
        self._write_records(self._record(size, STDOUT if self._is_split else TOGETHER))
        return True

    def _checked_log_size(self) -> int:
        """The log's size now; starts over where its driver has truncated it."""
        status = os.fstat(self.log)
        if status.st_mtime_ns != self._log_mtime_ns:
            self._log_mtime_ns = status.st_mtime_ns
            if status.st_size < self.end or _tail(self.log, self.end) != self._tail:
                self._start_over()
        return status.st_size

    def _merge_stderr(self) -> bool:
        status = os.fstat(self.raw)
        if status.st_mtime_ns != self._raw_mtime_ns:
            self._raw_mtime_ns = status.st_mtime_ns
            if status.st_size < self.raw_position or _tail(self.raw, self.raw_position) != self._raw_tail:
                self.raw_position = self._raw_reclaimed = 0  # the driver truncated it
                self._raw_tail = b""
        merged = False
        while self.raw_position < status.st_size and not self._pending:
            chunk = os.pread(self.raw, min(CHUNK_BYTES, status.st_size - self.raw_position), self.raw_position)
            if not chunk:
                break
            self._append(chunk)
            merged = True
        if self.raw_position - self._raw_reclaimed >= 2 * RAW_RECLAIM_BYTES:
            punch_hole(self.raw, self._raw_reclaimed, RAW_RECLAIM_BYTES)
            self._raw_reclaimed += RAW_RECLAIM_BYTES
        return merged

    def _append(self, chunk: bytes) -> None:
        log_size = self._checked_log_size()
        # From here to the index record a death leaves it open whether the chunk is in the log: see _settle_intent.
        os.pwrite(self.intent, _INTENT.pack(self.raw_position, len(chunk), log_size), 0)
        written = os.write(self.log, chunk)
        end = os.lseek(self.log, 0, os.SEEK_CUR)  # O_APPEND: the kernel left it behind the last byte that it wrote
        self._cover_stderr(end - written, end)
        self.raw_position += written
        self._raw_tail = (self._raw_tail + chunk[:written])[-TAIL_BYTES:]

    def _cover_stderr(self, start: int, end: int) -> None:
        before = self._record(start, STDOUT) if start > self.end else b""
        self._write_records(before + self._record(end, STDERR))

    def _record(self, end: int, source: int) -> bytes:
        self.end = end
        self._tail = _tail(self.log, end)
        return pack(end, time.time_ns(), time.monotonic_ns(), source)

    def _write_records(self, records: bytes) -> None:
        self._pending += records
        while self._pending:
            written = os.pwrite(self._index, self._pending, self._index_bytes)
            self._index_bytes += written
            self._pending = self._pending[written:]

    def _start_over(self) -> None:
        # The driver truncated its own log. The shipper sees log and index shrink and starts the next generation of both.
        os.ftruncate(self._index, 0)
        self._index_bytes = self.end = 0
        self._pending = self._tail = b""
        self.truncated_total += 1

    def _recover(self) -> None:
        size = os.fstat(self._index).st_size
        self._index_bytes = size - size % RECORD_BYTES
        if self._index_bytes < size:
            os.ftruncate(self._index, self._index_bytes)
        start = max(0, self._index_bytes - _TAIL_BYTES)
        records = unpack(os.pread(self._index, self._index_bytes - start, start))
        self.end = records[-1].end if records else 0
        self._tail = _tail(self.log, self.end)
        if self._is_split:
            self._settle_intent(records)
            self._raw_tail = _tail(self.raw, self.raw_position)

    def _settle_intent(self, records: list[Any]) -> None:
        data = os.pread(self.intent, _INTENT.size, 0)
        if len(data) < _INTENT.size:
            return
        raw_position, length, log_size = _INTENT.unpack(data)
        self.raw_position = self._raw_reclaimed = raw_position
        # The record of the announced chunk, or of the part that was written, if it came that far.
        for position in range(len(records) - 1, -1, -1):
            if records[position].source == STDERR:
                covered_from = records[position - 1].end if position else 0
                if covered_from >= log_size:
                    self.raw_position += records[position].end - covered_from
                    return
                break
        chunk = os.pread(self.raw, length, raw_position)
        region_start = max(log_size, self.end)
        region = os.pread(self.log, os.fstat(self.log).st_size - region_start, region_start)
        found = find_append(region, chunk, region_start)
        if found:
            start, written = found
            self._cover_stderr(start, start + written)
            self.raw_position += written


def _tail(descriptor: int, end: int) -> bytes:
    return os.pread(descriptor, min(TAIL_BYTES, end), max(0, end - TAIL_BYTES))


def find_append(region: bytes, chunk: bytes, region_start: int) -> tuple[int, int] | None:
    """Where an interrupted append of `chunk` lies in the log's bytes `region`: (offset in the log, bytes of it), or None.

    The kernel writes a chunk whole, or, when the writer is killed in the middle, up to the border of a page.
    """
    if not chunk:
        return None
    position = region.find(chunk)
    if position >= 0:
        return region_start + position, len(chunk)
    first_border = -region_start % PAGE_BYTES
    for border in range(first_border, len(region) + 1, PAGE_BYTES):
        for written in range(min(border, len(chunk) - 1), 15, -1):
            if region[border - written : border] == chunk[:written]:
                return region_start + border - written, written
    return None


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

    def __init__(self, run_dir: str, run: dict[str, Any], rank: int, log_name: str) -> None:
        with open(lock_path(run_dir, rank), "w") as file:
            file.write(str(os.getpid()))  # for people
        self._directory = os.path.join(run_dir, process_dir(rank))
        self._run = run
        self._rank = rank
        self._log = Log(run_dir, log_name, rank, is_split=run["streams"] == "split")
        self._markers = (f"RUNYARD_RUN_ID={run['run_id']}", f"RUNYARD_RANK={rank}")

    def start(self, launch: dict[str, Any], stdin: int) -> None:
        """Start the driver and capture it to its end."""
        proctree.become_subreaper()
        go_read, go_write = os.pipe()
        failed_read, failed_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(go_write)
            _become_driver(launch, stdin, self._log, go_read, failed_write)
        self._log.close_driver_ends()
        os.close(failed_write)
        started = {
            "pid": pid,
            "start_ticks": proctree.start_ticks(pid),
            "boot_id": boot_id(),
            "wall_ns": time.time_ns(),
            "mono_ns": time.monotonic_ns(),
        }
        # The driver waits for our byte, and leaves when it sees the pipe closed: what has exec'd has a started.json.
        write_json(os.path.join(self._directory, "started.json"), started, durable=False)
        os.write(go_write, b"g")
        os.close(go_write)
        cause = os.read(failed_read, 4096).decode(errors="replace")
        self._until_gone(pid)
        record_exit(self._directory, pid, cause)
        self._end_leftovers(lambda: proctree.descendants(os.getpid()))
        self._finish()

    def resume(self, started: dict[str, Any]) -> None:
        """Capture a driver that an earlier capture started; whoever is its parent now records its exit."""
        self._log.close_driver_ends()
        pid, ticks = started["pid"], started["start_ticks"]
        if started["boot_id"] == boot_id():
            if proctree.is_running(pid, ticks):
                self._until_gone(pid, lambda: proctree.is_running(pid, ticks))
            self._end_leftovers(lambda: proctree.with_environment(*self._markers))
        self._finish()

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
        is_there = is_there or (lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None)
        wait_s = HOT_S
        while is_there():
            wait_s = HOT_S if self._log.tick() else min(STILL_S, wait_s * 1.25)
            poller.poll(wait_s * 1000)
        if pidfd >= 0:
            os.close(pidfd)

    def _end_leftovers(self, members: Any) -> None:
        # The driver is gone; what it left behind is asked to end, and made to end after the grace period.
        left = members()
        if not left:
            return
        proctree.send(left, signal.SIGTERM)
        deadline = time.monotonic() + self._run["grace_s"]
        while left := members():
            if time.monotonic() >= deadline:
                proctree.send(left, signal.SIGKILL)
            self._log.tick()
            _reap_children()
            time.sleep(HOT_S)

    def _finish(self) -> None:
        while not self._log.is_settled:
            if not self._log.tick():
                time.sleep(STILL_S)
        write_bytes(os.path.join(self._directory, "captured"), b"", durable=False)


def record_exit(directory: str, pid: int, cause: str = "") -> None:
    """Wait for our child `pid`, write exit.json, and only then reap it: a death in between loses no status. Blocks."""
    status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert status is not None
    is_signal = status.si_code != os.CLD_EXITED
    write_exit(
        directory,
        exit_code=128 + status.si_status if is_signal else status.si_status,
        signal_number=status.si_status if is_signal else None,
        cause=cause,
    )
    os.waitpid(pid, 0)


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


def boot_id() -> str:
    """Names this boot of the machine: processes of another one are gone."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def _reap_children() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _become_driver(launch: dict[str, Any], stdin: int, log: Log, go: int, failed: int) -> None:
    """In the forked child: become the user's command. Never returns."""
    code = 127
    try:
        os.setsid()
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(launch["umask"])
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
