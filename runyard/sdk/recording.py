"""Where a run's records go: into this process's journal on the node, by requests to the collector, or nowhere but here.

The records are those of runyard/tracking/records.py, as plain lists: `["m", "", "loss", 0.25, None, 1764417000000]`.
Writes to the journal of this process (runyard/tracking/journal.py); requesting.py has the requests, offline.py the rest.
"""

from __future__ import annotations

import atexit
import errno
import json.encoder
import os
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from runyard.errors import CollectorBusy, CollectorUnreachable
from runyard.tracking.journal import Journal

from . import saying
from .connection import Connection

# What waits in memory while the disk has no room: beyond that, records are dropped, counted and told.
MOST_WAITING_BYTES = 8 << 20
RETRY_S = 0.5
# Of JSON as ASCII: a backslash that is meant as such, or the two halves of a character, and one half alone.
_HALVES = re.compile(r"(\\\\|\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|\\ud[89a-f][0-9a-f]{2}")
_REPLACEMENT = r"\ufffd"


class Recorder(Protocol):
    """Takes records. May be used from any thread, from signal handlers, and after a fork."""

    @property
    def blobs_dir(self) -> str:
        """The node's folder of files by content; empty: there is none, and files are sent to the collector themselves."""

    def write(self, record: Sequence[object]) -> None:
        """Take one record. Comes back at once, whether or not there is a collector; raises nothing."""

    def settle(self, timeout_s: float) -> bool:
        """Wait until the collector has applied everything that this process has recorded, at most that long; whether it has."""

    def left(self) -> str:
        """What the collector does not have yet, and what becomes of it, as the end of a sentence. Does not block."""


class JournalRecorder:
    """Appends to this process's journal on the node; whoever ships the run's spool sends it.

    While the disk is full, records wait in a bounded buffer, and a thread tries until they are written.
    """

    def __init__(self, tracking_dir: str, blobs_dir: str, run_id: str, connection: Connection | None) -> None:
        self.blobs_dir = blobs_dir
        self.run_id = run_id
        self.tracking_dir = tracking_dir
        self._connection = connection
        self._journal = Journal(tracking_dir)
        self._begin()
        _recorders.add(self)

    def _begin(self) -> None:
        """As new: of what waits in a forked child's copy of the buffer, the parent takes care."""
        self._lock = threading.RLock()
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped_total = 0
        self._retrier: threading.Thread | None = None

    def write(self, record: Sequence[object]) -> None:
        """Append one record: one write(2)."""
        line = encoded(record)
        if not self._waiting:
            try:
                self._journal.append(line)
                if self._journal.is_whole:
                    return
                line = b""
                why = os.strerror(errno.ENOSPC)
            except OSError as error:
                why = str(error.strerror)
            saying.once(f"records cannot be written to the node's disk now ({why}); they wait in memory")
        self._keep(line)

    def settle(self, timeout_s: float) -> bool:
        """Wait until the collector has applied this process's journal, at most that long; whether it has."""
        deadline_s = time.monotonic() + timeout_s
        while not self._write_waiting():
            if time.monotonic() > deadline_s:
                return False
            time.sleep(min(RETRY_S, max(0.01, deadline_s - time.monotonic())))
        size_bytes = self._journal.size_bytes
        if not size_bytes:
            return True
        if self._connection is None:
            return False
        from . import settling

        file = os.path.basename(self._journal.path)
        return settling.wait_until_applied(self._connection, self.run_id, file, size_bytes, deadline_s)

    def why_unread(self, timeout_s: float) -> str:
        """Why the collector cannot tell what this process has recorded, empty where it can; waits at most that long for it, and
        not at all where the collector cannot be reached."""
        if self._connection is None:
            return "no collector is set"
        from . import settling

        try:
            settling.applied_bytes(self._connection, self.run_id, "")
        except (CollectorUnreachable, CollectorBusy) as error:
            return str(error)
        return "" if self.settle(timeout_s) else f"the collector does not have all of it after {timeout_s:g} s"

    def left(self) -> str:
        """What is not on the disk, or not at the collector."""
        if self._waiting or not self._journal.is_whole:
            return "the newest records wait for room on the node's disk, and are lost if this process ends before"
        if self._connection is None:
            return "what it has recorded is on the node's disk; no collector is set that it could be sent to"
        return "what it has recorded is on the node's disk, and the node's agent sends it"

    def _keep(self, line: bytes) -> None:
        with self._lock:
            if self._waiting_bytes + len(line) > MOST_WAITING_BYTES:
                self._dropped_total += 1
                saying.once(
                    f"the node's disk is full, and so is the buffer of {MOST_WAITING_BYTES >> 20} MB: records are dropped"
                )
                return
            if line:
                self._waiting.append(line)
                self._waiting_bytes += len(line)
            if self._retrier is None:
                self._retrier = threading.Thread(target=self._retry, name="runyard-journal", daemon=True)
                self._retrier = self._retrier if started(self._retrier) else None

    def _retry(self) -> None:
        while not self._write_waiting():
            time.sleep(RETRY_S)

    def _write_waiting(self) -> bool:
        """Write what waits, and what was dropped meanwhile; whether nothing is left."""
        with self._lock:
            try:
                lines = list(self._waiting)  # a copy, since a signal's handler may add to them meanwhile
                if lines:
                    self._journal.append(b"".join(lines))
                for line in lines:
                    self._waiting.popleft()
                    self._waiting_bytes -= len(line)
                self._journal.finish()
                if self._dropped_total:
                    told = f"{self._dropped_total} records of the training were dropped, since the node's disk was full"
                    self._journal.append(encoded(["wa", "", told, time.time_ns() // 1_000_000]))
                    self._dropped_total = 0
                    saying.say(told)
                    self._journal.finish()
            except OSError:
                return False
            if self._waiting:
                return False
            self._retrier = None
            return True


def encoded(record: Sequence[object]) -> bytes:
    """A record as a line of a journal; half of a character, which the collector takes in no text, is U+FFFD in it. Raises
    TypeError for what JSON does not have."""
    line = "".join(_encode(record)) + "\n"
    if "\\ud" in line:
        line = _HALVES.sub(lambda found: found[1] or _REPLACEMENT, line)
    return line.encode()


def _encoder() -> Callable[[object], Sequence[str]]:
    """JSON without blanks, as ASCII. json's own C function makes its encoder anew for each value, which takes longer than the
    encoding; where this Python has no such function, it is json's."""
    plain = json.JSONEncoder(separators=(",", ":"))
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value: (plain.encode(value),)
    try:
        encode = make(None, plain.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True)
        encode(["a", 1, {"b": 2.5}], 0)
    except TypeError:
        return lambda value: (plain.encode(value),)
    return lambda value: encode(value, 0)


_encode = _encoder()


def started(thread: threading.Thread) -> bool:
    """Start it; whether that was possible, which it is not at the interpreter's end."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


_recorders: weakref.WeakSet[JournalRecorder] = weakref.WeakSet()


def _after_fork() -> None:
    for recorder in list(_recorders):
        recorder._begin()


os.register_at_fork(after_in_child=_after_fork)


@atexit.register
def _at_exit() -> None:
    """What still waits is written if there is room now; nothing is waited for."""
    for recorder in list(_recorders):
        if not recorder._write_waiting():
            saying.say(f"run {recorder.run_id}: {recorder.left()}")
