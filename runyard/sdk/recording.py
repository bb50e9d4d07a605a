"""Where a run's records go: into this process's journal on the node, by requests to the collector, or nowhere but here.

The records are those of runyard/tracking/records.py, as plain lists: `["m", "", "loss", 0.25, None, 1764417000000]`.
Writes to the journal of this process (runyard/tracking/journal.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Recorder(Protocol):
    """Takes records. May be used from any thread."""

    @property
    def blobs_dir(self) -> str:
        """The node's folder of files by content; empty: there is none, and files are sent to the collector themselves."""

    def write(self, record: Sequence[object]) -> None:
        """Take one record. Comes back at once, whether or not there is a collector; raises nothing."""

    def settle(self, timeout_s: float) -> bool:
        """Wait until the collector has applied everything taken so far, at most that long; whether it has."""
