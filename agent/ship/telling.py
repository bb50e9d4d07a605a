"""Tells the collector the node's word on the run, when it is due, and does what is asked in the answer.

Reads from state.json (report.py) and, of watched runs, progress.json; writes stop.json and, through watched.py, what stacks are
wanted. What survives a crash: what was asked lies in the spool before it is known to have been obeyed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from runyard.agent.stop import DEFAULT_GRACE_S, request_stop
from runyard.errors import CollectorRefused

from .due import Due
from .remote import Remote
from .report import Report
from .watched import Watched


class Telling:
    """Belongs to the shipper's thread."""

    def __init__(self, run_dir: str, run: dict[str, Any], report: Report, remote: Remote, say: Callable[[str], None]) -> None:
        self._run_dir = run_dir
        self._report = report
        self._remote = remote
        self._say = say
        self._due = Due(int((run.get("distribution") or {}).get("node_count", 1)))
        self._watched = Watched(run_dir, run)
        self._grace_s = float(run.get("grace_s", DEFAULT_GRACE_S))
        self._obeyed: dict[str, Any] | None = None
        self._must_tell = True

    def again(self) -> None:
        """The collector may not know the last word: it is told at the next look, whether it has changed or not."""
        self._must_tell = True

    def tell(self, *, is_complete: bool) -> None:
        """Tell the state as it is, and do what is asked in the answer. Blocks; raises CollectorError's kinds."""
        body = self._report.body(is_complete=is_complete)
        self._watched.add_to(body["processes"], time.monotonic())
        answer = self._remote.put_state(body)
        self._must_tell = False
        self._due.told(time.monotonic())
        self._obey(answer.get("stop"))
        self._watched.heard(answer)

    def tell_if_due(self) -> bool:
        """Tell the state where it has changed, or where it is time to; whether it was told."""
        now_s = time.monotonic()
        is_due = self._report.is_known and (self._must_tell or self._due.is_now(now_s) or self._watched.is_due(now_s))
        if not self._report.refresh() and not is_due:
            return False
        try:
            self.tell(is_complete=False)
        except CollectorRefused as error:
            if error.status != 400:
                raise
            self._must_tell = False
            self._say(f"the collector does not take the run's state: {error}")  # the bytes go on all the same
            return False
        return True

    def _obey(self, stop: dict[str, Any] | None) -> None:
        """Pass on what the collector asks, once; the spool keeps it over any death."""
        if stop is None or stop == self._obeyed:
            return
        grace_s = self._grace_s if stop.get("grace_s") is None else float(stop["grace_s"])
        request_stop(self._run_dir, int(stop["signal"]), grace_s, str(stop["reason"]), is_failure=bool(stop.get("is_failure")))
        self._obeyed = stop
