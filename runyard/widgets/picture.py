"""What is known of one run, in parts, each asked for again when its time has come.

Reads from the collector (asking.py); writes nothing. One thread's.
"""

from __future__ import annotations

from typing import Any

from runyard.client import CollectorClient
from runyard.reader import FINAL_STATUSES, Document

from . import asking

RUN_S = 2.0
METRICS_S = 2.0
FILES_S = 3.0
CHILDREN_S = 3.0
VERDICT_S = 5.0
# Answers that are long are asked for less often.
LONG_S = 10.0
LONG_SERIES_S = 5.0
MANY_POINTS = 600
MANY_PROCESSES = 200
MANY_CHILDREN = 200
MANY_FILES = 100
# So many metrics are drawn before a person asks for more.
FIRST_CHARTS = 12


class Picture:
    """`parts` by their names: run, metrics, series (by metric), files, trials, verdict."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.parts: dict[str, Any] = {}
        # Every part was asked for after the run was complete.
        self.is_settled = False
        self._due_s: dict[str, float] = {}
        self._drawn_counts: dict[str, int] = {}
        self._wanted_charts: list[str] = []

    @property
    def run(self) -> Document | None:
        """The run, once it is known."""
        return self.parts.get("run")

    @property
    def is_final(self) -> bool:
        """Whether the run has ended, its files aside."""
        return self.run is not None and self.run["status"] in FINAL_STATUSES

    @property
    def is_complete(self) -> bool:
        """Whether nothing of the run will change any more."""
        return self.is_final and self.run is not None and bool(self.run["is_complete"])

    def hurry(self) -> None:
        """Everything is due."""
        self._due_s.clear()

    def want_chart(self, name: str) -> None:
        """Draw that metric, too."""
        if name not in self._wanted_charts:
            self._wanted_charts.append(name)
        self._due_s.pop("metrics", None)
        self._due_s.pop("series", None)

    def refresh(self, client: CollectorClient, now_s: float, changes: dict[str, Any]) -> None:
        """Asks for what is due, and once the run is complete for everything. Puts the parts that have become others into
        `changes`, also where it breaks off. Blocks; raises CollectorError, InputError."""
        was_complete = self.is_complete
        if was_complete and not self.is_settled:
            self.hurry()
        if self._is_due("run", now_s):
            self._put("run", asking.run(client, self.run_id), changes)
            is_long = self.run is not None and len(self.run["processes"]) > MANY_PROCESSES
            self._due_s["run"] = now_s + (LONG_S if is_long else RUN_S)
        if self._is_due("metrics", now_s):
            self._put("metrics", asking.metrics(client, self.run_id), changes)
            self._refresh_series(client, now_s, changes)
            self._due_s["metrics"] = now_s + METRICS_S
        if self._is_due("files", now_s):
            self._put("files", asking.files(client, self.run_id), changes)
            is_long = len(self.parts["files"]) > MANY_FILES
            self._due_s["files"] = now_s + (LONG_S if is_long else FILES_S)
        if self._is_due("trials", now_s):
            self._put("trials", asking.trials(client, self.run_id), changes)
            is_long = len(self.parts["trials"]["trials"]) > MANY_CHILDREN
            self._due_s["trials"] = now_s + (LONG_S if is_long else CHILDREN_S)
        if self.run is not None and self._is_due("verdict", now_s):
            self._put("verdict", asking.verdict(client, self.run), changes)
            self._due_s["verdict"] = now_s + VERDICT_S
        self.is_settled = self.is_settled or was_complete

    def _refresh_series(self, client: CollectorClient, now_s: float, changes: dict[str, Any]) -> None:
        """Only those that have got values since."""
        drawn = [one for one in self.parts["metrics"] if asking.is_drawn(one)]
        names = {one["name"] for one in drawn[:FIRST_CHARTS]} | set(self._wanted_charts)
        counts = {one["name"]: one["count"] for one in drawn if one["name"] in names}
        grown = [name for name, count in counts.items() if self._drawn_counts.get(name) != count]
        if not grown or not self._is_due("series", now_s):
            return
        known = self.parts.get("series", {})
        self._put("series", known | {one["name"]: one for one in asking.series(client, self.run_id, grown)}, changes)
        self._drawn_counts |= counts
        is_long = sum(min(count, asking.COLUMNS) for count in counts.values()) > MANY_POINTS
        self._due_s["series"] = now_s + (LONG_SERIES_S if is_long else 0.0)

    def _is_due(self, part: str, now_s: float) -> bool:
        return now_s >= self._due_s.get(part, 0.0)

    def _put(self, part: str, value: Any, changes: dict[str, Any]) -> None:
        if self.parts.get(part) != value:
            self.parts[part] = changes[part] = value
