"""What the journals of all processes of the run on this node come to. Reads from <tracking dir>/*.jsonl; blocks."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from runyard.names import TRACKING_SUFFIX

from .replay import Replay

# Where each kind of record says when it was; the others stand where they are in their journal.
_TIME_AT = {"m": 5, "v": 5, "r": 4, "x": 6, "c": 6, "s": 4, "a": 5}


def replay(tracking_dir: str) -> Replay:
    """The whole lines of all journals in the order of time, each journal's in its own."""
    made = Replay()
    for _, record in heapq.merge(*(_timed(path) for path in _journals(tracking_dir)), key=lambda timed: timed[0]):
        made.take(record)
    return made


def _journals(tracking_dir: str) -> list[Path]:
    return sorted(Path(tracking_dir).glob(f"*{TRACKING_SUFFIX}"))


def _timed(path: Path) -> Iterator[tuple[int, Sequence[Any]]]:
    latest_ms = 0
    with path.open("rb") as journal:
        for line in journal:
            if not line.endswith(b"\n"):
                return  # its end is not written yet
            try:
                record = json.loads(line)
                at_ms = record[_TIME_AT[record[0]]] if record[0] in _TIME_AT else latest_ms
            except (ValueError, LookupError, TypeError):
                continue  # the collector refuses it, and says so
            latest_ms = max(latest_ms, at_ms)
            yield latest_ms, record
