"""The node's word on the run, as the collector is told it: the shepherd's state.json, with what the shipper adds.

Reads from .runyard/state.json and .runyard/proc/<rank>/; writes .runyard/ship_epoch. What survives a crash: the epoch, counted
up before anything is told under it, so that what the next process tells has higher numbers, whatever the clock says.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json, write_json

FINAL = ("Completed", "Failed", "Canceled")
FINALIZING = "Finalizing"

EPOCH_FILE = f"{names.PRIVATE_DIR}/ship_epoch"
# Words of one epoch; the epoch stays below 2**31, so that every number fits into 63 bits.
WORDS_PER_EPOCH = 1 << 32
_MOST_EPOCHS = 1 << 31

_TOLD = ("status", "phase", "exit_code", "signal", "cause", "failure", "transitions", "started_ns", "ended_ns")
_TOLD_OF_PROCESS = (
    "rank",
    "name",
    "pid",
    "status",
    "exit_code",
    "signal",
    "started_ns",
    "ended_ns",
    "ended_mono_ns",
    "log",
    "evidence",
)


class Report:
    """What state.json says now. `body` numbers what is told so that a later word wins, over restarts, too."""

    def __init__(self, run_dir: str, ranks: list[int]) -> None:
        self._run_dir = run_dir
        self._path = f"{run_dir}/{names.STATE_FILE}"
        self._ranks = ranks
        self._mark: tuple[int, int, int] | None = None
        self._state: dict[str, Any] = {}
        self._epoch_path = f"{run_dir}/{EPOCH_FILE}"
        self._epoch = 0
        self._is_epoch_kept = False
        self._count = 0

    def refresh(self) -> bool:
        """Whether state.json has changed since the last call."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - many times a second
        except FileNotFoundError:
            return False
        mark = (status.st_ino, status.st_mtime_ns, status.st_size)
        if mark == self._mark:
            return False
        state = read_json(self._path)
        if not isinstance(state, dict):
            return False
        self._mark, self._state = mark, state
        return True

    @property
    def is_known(self) -> bool:
        """Whether there is a state to tell."""
        return bool(self._state)

    @property
    def is_releasing(self) -> bool:
        """Whether the run's release waits until what there is has been shipped."""
        return self._state.get("phase") == "release" and self._state.get("status") not in FINAL

    @property
    def is_over(self) -> bool:
        """Whether the state is final and every log is: capture writes `captured` last."""
        return self._state.get("status") in FINAL and all(map(self._is_captured, self._ranks))

    def body(self, *, is_complete: bool) -> dict[str, Any]:
        """The body of PUT .../state: a final status only together with `is_complete`, Finalizing before."""
        body = {name: self._state[name] for name in _TOLD if name in self._state}
        if body.get("status") in FINAL and not is_complete:
            body["status"] = FINALIZING
        body["processes"] = [
            {name: process[name] for name in _TOLD_OF_PROCESS if name in process}
            for process in self._state.get("processes") or []
        ]
        return body | {"seq": self._next_seq(), "is_complete": is_complete}

    def _next_seq(self) -> int:
        if not self._is_epoch_kept:
            self._epoch = self._epoch or _read_epoch(self._epoch_path) + 1
            with suppress(OSError):  # a full disk must not keep the word back; the next one tries again
                write_json(self._epoch_path, self._epoch)
                self._is_epoch_kept = True
        self._count += 1
        return self._epoch * WORDS_PER_EPOCH + self._count

    def _is_captured(self, rank: int) -> bool:
        folder = Path(self._run_dir, names.process_dir(rank))
        # Without started.json the process never was: there is nothing to capture.
        return (folder / "captured").exists() or not (folder / "started.json").exists()


def _read_epoch(path: str) -> int:
    try:
        epoch = read_json(path)
    except OSError:
        return 0
    return epoch if isinstance(epoch, int) and 0 <= epoch < _MOST_EPOCHS - 1 else 0
