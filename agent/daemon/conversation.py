"""What the agent and the collector tell each other, each way in a thread of its own: heartbeats out, work in.

Reads what the main loop leaves to be told; writes to the collector, and wakes the main loop when the work has changed.
What survives a crash: nothing has to. The next agent tells what its spool has, and is told all that it is to have.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from runyard.agent.ship.backoff import Backoff
from runyard.client import path_segment
from runyard.errors import CollectorBusy, CollectorError, CollectorRefused, ProtocolError, RunyardError
from runyard.settings import Agent

from .link import Link
from .reconcile import Work, work_of

# A word that is news goes out at once, but not more often than this.
NEWS_S = 0.2
# After a refusal that only a person can change: their new join token is seen by then.
REFUSED_PAUSE_S = 15.0
LONGEST_PAUSE_S = 15.0
FAREWELL_S = 2.0
HEART, WORK = "heartbeat", "work"


class Conversation:
    """`tell` may be called from any thread; `work` and `trouble` may be read from any."""

    def __init__(self, link: Link, node_id: str, settings: Agent, wake: threading.Event, log: Any) -> None:
        self.work: Work | None = None  # none was told yet
        self._troubles = {HEART: "", WORK: ""}
        self._link = link
        self._path = f"/nodes/{path_segment(node_id)}"
        self._settings = settings
        self._wake = wake
        self._log = log
        self._stop = threading.Event()
        self._due = threading.Event()
        self._report: dict[str, Any] | None = None
        self._sample: Callable[[], Mapping[str, float]] = dict
        self._told_s = 0.0
        self._told_capacity: dict[str, Any] = {}
        self._heart_thread: threading.Thread | None = None

    @property
    def trouble(self) -> str:
        """Why the collector does not hear or tell; empty where it does both."""
        return self._troubles[HEART] or self._troubles[WORK]

    def start(self, sample: Callable[[], Mapping[str, float]]) -> None:
        """Start both threads. `sample` gives the newest sample."""
        self._sample = sample
        self._heart_thread = threading.Thread(target=self._heart, name=HEART, daemon=True)
        self._heart_thread.start()
        threading.Thread(target=self._hear, name=WORK, daemon=True).start()

    def tell(self, report: dict[str, Any]) -> None:
        """From now on this is told; at once where it is news."""
        is_news = report != self._report
        self._report = report
        if is_news:
            self._due.set()

    def stop(self, farewell: dict[str, Any]) -> None:
        """Say good-bye, where the collector answers soon. The threads end with the process."""
        self._stop.set()
        self._due.set()
        if not self._link.is_member or self.trouble or self._heart_thread is None:
            return
        self._heart_thread.join(FAREWELL_S)  # a word that is on its way must not come behind the good-bye
        line = self._link.line()
        done = threading.Event()

        def say() -> None:
            try:
                line.json("PUT", f"{self._path}/heartbeat", self._heartbeat(farewell))
            except RunyardError:
                pass  # silence says it, too
            finally:
                line.close()
                done.set()

        threading.Thread(target=say, name="farewell", daemon=True).start()
        done.wait(FAREWELL_S)

    def _heart(self) -> None:
        line, backoff = self._link.line(), Backoff(LONGEST_PAUSE_S)
        while not self._stop.is_set():
            report = self._report
            pause_s = self._settings.heartbeat_s
            if not self._link.is_member:
                pause_s = self._try(HEART, backoff, self._join) or 0.0
            elif report is not None:
                pause_s = self._try(HEART, backoff, partial(self._beat, line, report)) or pause_s
            self._due.wait(pause_s)
            self._due.clear()
            self._stop.wait(max(0.0, self._told_s + NEWS_S - time.monotonic()))
        line.close()

    def _join(self) -> None:
        self._link.join()
        self._told_capacity = {}
        self._log.info("joined the cluster", cluster=self._link.cluster)
        self._wake.set()

    def _beat(self, line: Any, report: dict[str, Any]) -> None:
        self._told_s = time.monotonic()
        self._link.renew_if_due(line)
        line.json("PUT", f"{self._path}/heartbeat", self._heartbeat(report))
        self._told_capacity = report["capacity"]

    def _heartbeat(self, report: dict[str, Any]) -> dict[str, Any]:
        said = {name: value for name, value in report.items() if value not in ("", [])}  # the rest is what is meant anyway
        body = said | {"now_ns": time.time_ns(), "sample": dict(self._sample())}
        if report["capacity"] == self._told_capacity:
            del body["capacity"]
        return body

    def _hear(self) -> None:
        line, backoff = self._link.line(), Backoff(LONGEST_PAUSE_S)
        while not self._stop.is_set():
            # Where this node has not joined, the other thread is at it.
            pause_s = self._try(WORK, backoff, partial(self._ask, line)) if self._link.is_member else 0.5
            self._stop.wait(pause_s or 0.0)
        line.close()

    def _ask(self, line: Any) -> None:
        known = self.work
        wait_s = 0.0 if known is None else self._settings.work_wait_s
        params = {"seen": 0 if known is None else known.version, "wait_s": wait_s}
        asked_s = time.monotonic()
        answer = line.json("GET", f"{self._path}/work", params=params, wait_s=wait_s)
        try:
            work = work_of(answer)
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"the collector's word on this node's work cannot be read ({error})") from error
        if known is None or work != known:
            self.work = work
            self._wake.set()
        else:  # however soon it answers
            self._stop.wait(max(0.0, asked_s + NEWS_S - time.monotonic()))

    def _try(self, name: str, backoff: Backoff, call: Callable[[], None]) -> float | None:
        """Do it; seconds to wait after a failure, whose sentence is logged where it is another one; None where all is well."""
        try:
            call()
        except CollectorRefused as error:
            # Where our token was refused, joining anew is tried next, and says the rest.
            is_out = error.status == 401
            return self._failed(name, "" if is_out else str(error), NEWS_S if is_out else REFUSED_PAUSE_S)
        except CollectorError as error:
            asked_s = error.retry_after_s if isinstance(error, CollectorBusy) else 0.0
            return self._failed(name, str(error), backoff.next_s(asked_s))
        except RunyardError as error:
            return self._failed(name, str(error), REFUSED_PAUSE_S)
        except Exception as error:  # noqa: BLE001 - a mistake of ours must not silence the node for good
            return self._failed(name, f"{type(error).__name__}: {error}", REFUSED_PAUSE_S)
        backoff.reset()
        if self._troubles[name]:
            self._troubles[name] = ""
            if not self.trouble:
                self._log.info("the collector answers again")
            self._wake.set()
        return None

    def _failed(self, name: str, trouble: str, pause_s: float) -> float:
        if trouble and trouble not in self._troubles.values():
            self._log.warning(trouble)
        if trouble != self._troubles[name]:
            self._troubles[name] = trouble
            self._wake.set()
        return pause_s
