"""What the watch over a node's ranks has seen, on its way to the collector; and on its way back what the collector wants.

Reads from .runyard/progress.json; writes .runyard/stacks_wanted.json. Only for runs that ask for a watch.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from runyard import names
from runyard.atomic import read_json, write_json

# What is new is told so often, and the collector is asked whether it wants stacks.
TELL_S = 3.0
ASK_S = 5.0


class Watched:
    """Belongs to the shipper's thread."""

    def __init__(self, run_dir: str, run: dict[str, Any]) -> None:
        self._path = f"{run_dir}/{names.PROGRESS_FILE}"
        self._wanted_path = f"{run_dir}/{names.STACKS_WANTED_FILE}"
        self._is_on = bool(run.get("is_watched"))
        self._is_one_of_several = int((run.get("distribution") or {}).get("node_count", 1)) > 1
        self._mark: tuple[int, int] | None = None
        self._told_s = 0.0
        self._wanted: dict[str, Any] = {"number": 0}

    def is_due(self, now_s: float) -> bool:
        """Whether the state is to be told, changed or not."""
        if not self._is_on or now_s - self._told_s < TELL_S:
            return False
        return now_s - self._told_s >= ASK_S or self._marked() != self._mark

    def _marked(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - once in a look
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def add_to(self, processes: list[dict[str, Any]], now_s: float) -> None:
        """Put into each process what is known of its progress."""
        if not self._is_on:
            return
        self._told_s, self._mark = now_s, self._marked()
        found = read_json(self._path)
        if not isinstance(found, dict):
            return
        known = {one["rank"]: one for one in found.get("ranks", ())}
        for process in processes:
            one = known.get(process["rank"])
            if one is not None:
                progress = {name: value for name, value in one.items() if name != "rank"}
                process["progress"] = progress | {"at_ns": found["at_ns"]}

    def heard(self, answer: dict[str, Any]) -> None:
        """Take note of what the collector wants; the watch looks there."""
        if not self._is_on:
            return
        wanted = {"number": max(int(answer.get("want_stacks") or 0), self._wanted["number"])}
        if self._is_one_of_several:
            wanted |= {"front": answer.get("front")}
        if wanted == self._wanted:
            return
        with suppress(OSError):  # a full disk: it is told again with the next answer
            write_json(self._wanted_path, wanted, durable=False)
            self._wanted = wanted
