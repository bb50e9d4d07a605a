"""Recording by requests: for a run that was fetched, in a notebook or a script that is no job.

Writes to POST /runs/{run_id}/records, in the background and in order; each batch has an id, so that sending it
again is harmless.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

from runyard.client import path_segment
from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable, ProtocolError, RunyardError

from . import on_its_way, saying
from .connection import Connection
from .recording import encoded, started

# What waits in memory for the collector: beyond that, records are dropped, counted and told.
MOST_WAITING_BYTES = 64 << 20
BATCH_BYTES = 1 << 20
BATCH_LINES = 20_000
# Records come singly: those of the time it takes to say one line go together.
GATHER_S = 0.05
# After that time without a record the thread ends; the next record starts another.
IDLE_S = 5.0
LONGEST_BACKOFF_S = 15.0
LONGEST_NOT_YET_S = 1.0  # between two tries of a run that is on its way to the collector
EXIT_LIMIT_S = 5.0
MOST_TOLD = 5  # refusals of one batch that are said


class RequestRecorder:
    """Sends records to the collector from a thread of its own, which starts with the first one."""

    blobs_dir = ""

    def __init__(self, connection: Connection, run_id: str) -> None:
        self._connection = connection
        self._run_id = run_id
        self._begin()
        _recorders.add(self)

    def _begin(self) -> None:
        """As new: what a forked child has of the queue is its parent's to send."""
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped_total = 0  # that are not told yet
        self._lost_total = 0  # dropped, or refused with their batch
        self._sender: threading.Thread | None = None
        self._trouble = ""

    def write(self, record: Sequence[object]) -> None:
        """Take one record; it is sent soon."""
        line = encoded(record)
        with self._changed:
            if self._waiting_bytes + len(line) > MOST_WAITING_BYTES:
                self._dropped_total += 1
                self._lost_total += 1
                saying.once(
                    f"run {self._run_id}: more than {MOST_WAITING_BYTES >> 20} MB wait for the collector; records are dropped"
                )
                return
            self._waiting.append(line)
            self._waiting_bytes += len(line)
            if self._sender is None:
                _watch_process_end()
                self._sender = threading.Thread(target=self._send_all, name="runyard-records", daemon=True)
                self._sender = self._sender if started(self._sender) else None
            self._changed.notify_all()

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything is sent, at most that long; whether it is, and nothing of it was lost."""
        return self._sent(timeout_s) and not self._lost_total

    def _sent(self, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting, timeout_s)

    def left(self) -> str:
        """What is not sent, and why; and what is lost already."""
        lost = f"{self._lost_total} records were refused or dropped, and are lost" if self._lost_total else ""
        if lost and not self._waiting:
            return lost
        why = f" ({self._trouble})" if self._trouble else ""
        waiting = f"{len(self._waiting)} records are not sent{why}, and are lost if this process ends"
        return f"{lost}; {waiting}" if lost else waiting

    def _send_all(self) -> None:
        """Send until nothing waits for a while; the next record starts the next thread."""
        while True:
            batch = self._next_batch()
            if not batch:
                return
            self._send(batch)
            with self._changed:
                for line in batch:
                    self._waiting.popleft()
                    self._waiting_bytes -= len(line)
                self._changed.notify_all()
                dropped_total, self._dropped_total = self._dropped_total, 0
            if dropped_total:
                told = f"{dropped_total} records were dropped, since the collector was away for too long"
                saying.say(f"run {self._run_id}: {told}")
                self.write(["wa", "", told, time.time_ns() // 1_000_000])

    def _next_batch(self) -> list[bytes]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting, IDLE_S):
                self._sender = None
                return []
        if self._waiting_bytes < BATCH_BYTES:
            time.sleep(GATHER_S)
        batch: list[bytes] = []
        length = 0
        with self._changed:
            for line in self._waiting:
                if batch and (length + len(line) > BATCH_BYTES or len(batch) == BATCH_LINES):
                    break
                batch.append(line)
                length += len(line)
        return batch

    def _send(self, batch: list[bytes]) -> None:
        """Send one batch, again and again while the collector, or the run there, is away; one that is refused is told and
        dropped."""
        params = {"batch": os.urandom(16).hex()}
        path = f"/runs/{path_segment(self._run_id)}/records"
        backoff_s = 0.1
        while True:
            may_come = on_its_way.is_on_its_way(self._run_id)
            try:
                answer = self._connection.client.send("POST", path, b"".join(batch), "application/x-ndjson", params=params)
            except (CollectorUnreachable, CollectorBusy, ProtocolError) as error:
                self._trouble = str(error)
                saying.once(f"run {self._run_id}: the collector does not take records now, which is tried again: {error}")
                time.sleep(max(backoff_s, getattr(error, "retry_after_s", 0.0)))
                backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
            except RunyardError as error:
                if may_come and isinstance(error, CollectorRefused) and error.status == 404:
                    self._trouble = str(error)
                    backoff_s = min(2 * backoff_s, LONGEST_NOT_YET_S)
                    time.sleep(backoff_s)
                    continue
                with self._changed:
                    self._lost_total += len(batch)
                saying.say(f"run {self._run_id}: {len(batch)} records were refused: {error}")
                return
            else:
                self._trouble = ""
                self._tell(answer)
                return

    def _tell(self, answer: Any) -> None:
        for refusal in (answer or {}).get("refused", [])[:MOST_TOLD]:
            saying.once(f"run {self._run_id}: {refusal.get('why', refusal) if isinstance(refusal, dict) else refusal}")


_recorders: weakref.WeakSet[RequestRecorder] = weakref.WeakSet()
_exit_deadline_s = 0.0  # of this process's end, from its first step; 0: it has not begun
_is_end_watched = False


def _after_fork() -> None:
    global _exit_deadline_s, _is_end_watched
    _exit_deadline_s, _is_end_watched = 0.0, False
    for recorder in list(_recorders):
        recorder._begin()


os.register_at_fork(after_in_child=_after_fork)


def _watch_process_end() -> None:
    """A worker of multiprocessing ends by os._exit, without atexit. At its fork would be too early: it forgets finalizers as it
    begins."""
    global _is_end_watched
    multiprocessing, util = (sys.modules.get(name) for name in ("multiprocessing.process", "multiprocessing.util"))
    if _is_end_watched or multiprocessing is None or util is None or multiprocessing.parent_process() is None:
        return
    _is_end_watched = True
    util.Finalize(None, _at_exit, exitpriority=0)


@atexit.register
def _at_exit() -> None:
    """Wait for what is not sent, but not for long; twice where a process's end has two steps."""
    global _exit_deadline_s
    _exit_deadline_s = _exit_deadline_s or time.monotonic() + EXIT_LIMIT_S
    for recorder in list(_recorders):
        if recorder._waiting and not recorder._sent(max(0.0, _exit_deadline_s - time.monotonic())):
            saying.once(f"run {recorder._run_id}: {recorder.left()}")
