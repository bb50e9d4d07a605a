"""Whether the node is free of runs that have ended; what cannot be freed makes it unusable, with the reason.

Asked by the main loop and by retention.py, and answered at once with what is known; a thread of its own looks and frees
(orphans.py), for a process that hangs in the kernel is waited for. Reads the runs' folders; what survives a crash: nothing has
to, the next agent looks again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runyard.agent.orphans import GpuUse, left_behind

from .scope import scopes_of

# Between two looks at what could not be freed.
RETRY_S = 5.0


class Cleanliness:
    """`is_clean` may be called from any thread. `wake` is set when something has become known."""

    def __init__(self, log: Any, wake: threading.Event | None = None) -> None:
        self._log = log
        self._wake = wake or threading.Event()
        self._lock = threading.Condition()
        self._wanted: dict[Path, float] = {}  # and not before when
        self._clean: set[Path] = set()
        self._troubles: dict[Path, list[str]] = {}
        self._thread: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """What cannot be freed, as sentences; empty where all could be."""
        with self._lock:
            return "; ".join(sentence for sentences in self._troubles.values() for sentence in sentences)

    def is_clean(self, run_dir: Path) -> bool:
        """Whether nothing of a run that has ended is left on the node; False, too, while that is being looked at."""
        with self._lock:
            if run_dir in self._clean:
                return True
            if run_dir not in self._wanted:
                self._wanted[run_dir] = 0.0
                self._lock.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="orphans", daemon=True)
                self._thread.start()
            return False

    def forget(self, run_dir: Path) -> None:
        """The run's folder is gone; what comes in its place is another run."""
        with self._lock:
            self._clean.discard(run_dir)

    def _work(self) -> None:
        while True:
            run_dir = self._next()
            try:
                troubles = left_behind(run_dir, groups=scopes_of, gpus=gpu_uses)
            except Exception as error:  # noqa: BLE001 - one run's broken folder must not end the looking after the others
                troubles = [f"run {run_dir.name}: it cannot be told whether it has left anything: {error}"]
            self._note(run_dir, troubles)

    def _next(self) -> Path:
        with self._lock:
            while True:
                now_s = time.monotonic()
                due = [run_dir for run_dir, not_before_s in self._wanted.items() if not_before_s <= now_s]
                if due:
                    return min(due, key=self._wanted.__getitem__)  # what is new before what is tried again
                self._lock.wait(max(0.01, min(self._wanted.values()) - now_s) if self._wanted else None)

    def _note(self, run_dir: Path, troubles: list[str]) -> None:
        with self._lock:
            before = self._troubles.pop(run_dir, [])
            if troubles:
                self._troubles[run_dir] = troubles
                self._wanted[run_dir] = time.monotonic() + RETRY_S
            else:
                del self._wanted[run_dir]
                self._clean.add(run_dir)
        if troubles != before:
            for sentence in troubles:
                self._log.error(f"the node is not free: {sentence}")
            if not troubles:
                self._log.info("what a run had left is gone", run=run_dir.name)
        self._wake.set()


def gpu_uses() -> Sequence[GpuUse]:
    """The processes on the node's GPUs now; none where there is no GPU that answers."""
    from runyard.agent.telemetry.gpus import Gpus

    gpus = Gpus(lambda sentence: None)
    try:
        return [GpuUse(gpu.index, tuple(gpu.processes)) for gpu in gpus.sample().gpus]
    finally:
        gpus.close()
