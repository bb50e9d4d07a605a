"""Which bytes of the logs are not on this disk any more: dropped at the quota, or given back after they were acknowledged.

Reads from .runyard/gaps.jsonl and .runyard/reclaimed.jsonl; appends to the latter. What survives a crash: a line that is
there; bytes are freed only after it. A line with `reset` says that the file was truncated: the lines before it are void.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runyard import names
from runyard.agent.json_lines import append_line

from .plan import Range, merged, without

# (first byte, byte behind the last one, SHA-256 of what was there)
Segment = tuple[int, int, str]


class Lines:
    """A file of JSON lines that grows; each call of `new` gives those that have come. A cut or broken line is passed over."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._position = 0

    def new(self) -> list[dict[str, Any]]:
        try:
            if os.stat(self._path).st_size <= self._position:  # noqa: PTH116 - many times a second
                return []
            with Path(self._path).open("rb") as file:
                file.seek(self._position)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        return [value for value in map(_parsed, whole.splitlines()) if value is not None]


class Ledger:
    """Gaps and reclaimed ranges of each file, by name."""

    def __init__(self, run_dir: str) -> None:
        self._reclaimed_path = f"{run_dir}/{names.RECLAIMED_FILE}"
        self._gap_lines = Lines(f"{run_dir}/{names.GAPS_FILE}")
        self._reclaimed_lines = Lines(self._reclaimed_path)
        self._gaps: dict[str, list[Range]] = {}
        self._reclaimed: dict[str, list[Segment]] = {}
        self._resets: set[str] = set()

    def refresh(self) -> tuple[set[str], dict[str, list[Range]]]:
        """Read what has come: the names that were reset, and the new gaps by name.

        The gaps are those since a reset, without bytes that are at the collector and were given back before.
        """
        self._take_reclaimed()
        new: dict[str, list[Range]] = {}
        for line in self._ranges(self._gap_lines, self._gaps, new):
            new.setdefault(line["name"], []).append((line["start"], line["end"]))
        for name, ranges in new.items():
            self._gaps[name] = merged(self._gaps.get(name, []) + ranges)
        resets, self._resets = self._resets, set()
        return resets, {name: self._not_reclaimed(name, ranges) for name, ranges in new.items()}

    def gaps(self, name: str) -> list[Range]:
        """All that was dropped of a file."""
        return self._not_reclaimed(name, self._gaps.get(name, []))

    def names(self) -> set[str]:
        """The files that have lost bytes on this disk."""
        return self._gaps.keys() | self._reclaimed.keys()

    def reclaimed(self, name: str) -> list[Segment]:
        """What was given back of a file, by start."""
        return sorted(self._reclaimed.get(name, []))

    def kept_from(self, name: str) -> int:
        """Where the bytes begin that are still on this disk."""
        ends = [end for _, end in self._gaps.get(name, [])] + [end for _, end, _ in self._reclaimed.get(name, [])]
        return max(ends, default=0)

    def append_reclaimed(self, name: str, start: int, end: int, sha256: str) -> None:
        """Note that a range is about to be given back; durable when this returns."""
        append_line(self._reclaimed_path, {"name": name, "start": start, "end": end, "sha256": sha256}, durable=True)
        self._take_reclaimed()  # not the gaps: those are for whoever calls `refresh`

    def _take_reclaimed(self) -> None:
        for line in self._ranges(self._reclaimed_lines, self._reclaimed):
            self._reclaimed.setdefault(line["name"], []).append((line["start"], line["end"], str(line.get("sha256", ""))))

    def _ranges(self, lines: Lines, *known: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The new lines that name a range; at a reset `known` forgets the file."""
        for line in lines.new():
            if not line.get("reset"):
                yield line
                continue
            self._resets.add(line["name"])
            for of_name in known:
                of_name.pop(line["name"], None)

    def _not_reclaimed(self, name: str, ranges: list[Range]) -> list[Range]:
        return without(ranges, merged((start, end) for start, end, _ in self._reclaimed.get(name, [])))


def dropped_bytes(run_dir: str) -> int:
    """What the spool's quota has taken from the logs as they are now."""
    ledger = Ledger(run_dir)
    ledger.refresh()
    return sum(end - start for name in ledger.names() for start, end in ledger.gaps(name))


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    is_range = (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("start"), int)
        and isinstance(value.get("end"), int)
        and 0 <= value["start"] <= value["end"]
    )
    return value if is_range else None
