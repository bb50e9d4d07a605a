"""The thread in the kernel that keeps a widget's picture of a run true, until the run is complete.

Reads from the collector (picture.py, output.py); tells whoever made it: `show` gets the parts that have changed, `answer` what
was asked for once. Nothing here knows of notebooks. The thread ends with the run; a wish starts it again for a while.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable
from runyard.reader import NoSuchRun
from runyard.sdk import on_its_way
from runyard.sdk.connection import Connection

from . import asking
from .choosing import first_to_read
from .output import Output
from .picture import Picture

# What comes is shown so often; a long log less often, since a notebook's server passes on 1 MB/s at most, of all its output.
PACE_S = 0.25
LONG_PACE_S = 0.5
LONG_LOG_BYTES = 8 << 10
# So often does the widget hear that its kernel is there; it takes three that are missing for silence.
BEAT_S = 5.0
# A collector that is away is asked again after so long, and no answer is waited for longer: the widget is to hear of it.
AGAIN_S = 1.0
TIMEOUT_S = 5.0
# A run that was begun a moment ago may be on its way to the collector for so long.
UNKNOWN_S = 10.0
# A run that has ended, and whose files do not come, is not watched for longer: its node may be gone with the rest.
GIVE_UP_S = 120.0

Parts = dict[str, Any]
Wish = dict[str, Any]


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class RunFeed:
    """The feed of one widget. Its methods may be called from any thread, and do not block.

    Parts: `page` {run_id, trail, url}, `beat` {at_ms, trouble, is_over}, `log` (output.py) and those of picture.py.
    """

    def __init__(
        self,
        connection: Connection,
        run_id: str,
        *,
        show: Callable[[Parts], None],
        answer: Callable[[Parts, bytes], None],
        give_up_s: float = GIVE_UP_S,
    ) -> None:
        self._connection = Connection(connection.url, connection.token, timeout_s=TIMEOUT_S)
        self._show, self._answer, self._give_up_s = show, answer, give_up_s
        self._lock = threading.Lock()
        self._wishes: deque[Wish] = deque()
        self._thread: threading.Thread | None = None
        self._is_stopped = False
        self._trail: list[str] = []  # the runs that a person came from, the outermost first
        self._picture = Picture(run_id)
        self._untold: Parts = {}  # what has changed since something was told
        self._output: Output | None = None
        self._path = ""  # of the log that a person has chosen
        self._trouble = ""
        self._begun_s = time.monotonic()
        self._beat_s = self._again_s = 0.0
        self._final_s: float | None = None

    def start(self) -> None:
        """Watch, where that is not done already."""
        with self._lock:
            self._is_stopped = False
            if self._thread is None:
                self._final_s, self._picture.is_settled = None, False  # whoever comes gets a look, also at a run that is over
                self._thread = threading.Thread(target=self._run, name=f"showing {self._picture.run_id}", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Do not watch, until `start` or a wish."""
        self._is_stopped = True

    def wait(self, limit_s: float) -> bool:
        """Wait until it has ended; whether it has."""
        thread = self._thread
        if thread is not None:
            thread.join(limit_s)
        return thread is None or not thread.is_alive()

    def wish(self, wish: Wish) -> None:
        """What a person asks for: {"kind": "file", "path"}, {"kind": "earlier", "path", "before"}, {"kind": "chart", "name"},
        {"kind": "open", "run_id"} (a child), {"kind": "back", "run_id"}. What is none of these is passed over."""
        self._wishes.append(wish)
        self.start()

    def _run(self) -> None:
        try:
            while not self._is_done():
                self._turn()
        except Exception as error:  # noqa: BLE001 - a thread that dies unseen would leave a widget that only seems to live
            self._trouble = f"this view has stopped: {error}"
            self._close_output()
            with self._lock:
                self._thread = None
            self._tell(is_over=True)

    def _is_done(self) -> bool:
        """Whether the thread ends now; the last word is told before."""
        is_over = self._is_over()
        if not (is_over or self._is_stopped) or self._wishes:
            return False
        self._close_output()
        if is_over:
            self._trouble = self._what_is_missing()
            self._tell(is_over=True)
        with self._lock:
            if self._wishes or not (is_over or self._is_stopped):  # somebody has come meanwhile, and saw a thread
                return False
            self._thread = None
        return True

    def _is_over(self) -> bool:
        if self._trouble or not self._picture.is_final:
            return False
        self._final_s = self._final_s or time.monotonic()
        if time.monotonic() - self._final_s > self._give_up_s:
            return True
        return self._picture.is_settled and (self._output is None or self._output.is_ended)

    def _what_is_missing(self) -> str:
        """The last word on a run that is given up."""
        run = self._picture.run
        if run is None or self._picture.is_complete:
            return ""
        return f"run {run['run_id']} is {run['status']}, and not all of its files have come; show it again to look once more"

    def _turn(self) -> None:
        """One look at everything."""
        client, may_come = self._connection.client, self._may_be_on_its_way()
        try:
            if time.monotonic() >= self._again_s:
                self._serve(client)
                self._picture.refresh(client, time.monotonic(), self._untold)
                self._follow_first()
                self._trouble = ""
        except (CollectorUnreachable, CollectorBusy) as error:
            self._trouble = f"{error}; trying again"
            self._again_s = time.monotonic() + max(AGAIN_S, getattr(error, "retry_after_s", 0.0))
        except NoSuchRun as error:
            if not may_come:
                raise
            self._trouble = f"{error}; trying again"
            self._again_s = time.monotonic() + AGAIN_S
        self._take_output()
        self._tell()

    def _may_be_on_its_way(self) -> bool:
        return on_its_way.is_on_its_way(self._picture.run_id) or time.monotonic() - self._begun_s < UNKNOWN_S

    def _take_output(self) -> None:
        if self._output is None or self._output.is_ended:
            time.sleep(PACE_S)
            return
        is_long = self._output.length_bytes > LONG_LOG_BYTES
        log, is_moved = self._output.take(LONG_PACE_S if is_long else PACE_S)
        if log is not None:
            self._untold["log"] = log
        if is_moved:
            self._picture.hurry()

    def _tell(self, *, is_over: bool = False) -> None:
        """Shows what has changed, and from time to time that somebody is there."""
        now_s = time.monotonic()
        beat = {"trouble": self._trouble, "is_over": is_over}
        if self._untold or is_over or now_s >= self._beat_s:
            self._beat_s = now_s + BEAT_S
            changes, self._untold = self._untold, {}
            self._show(changes | {"page": self._page(), "beat": beat | {"at_ms": now_ms()}})

    def _page(self) -> Parts:
        return {"run_id": self._picture.run_id, "trail": list(self._trail), "url": self._connection.url}

    # The log.

    def _follow_first(self) -> None:
        """Another log becomes the one to read, as long as nobody has chosen one."""
        parts = self._picture.parts
        path = self._path or first_to_read(parts.get("files", ()), parts.get("verdict") or {})
        if path and (self._output is None or self._output.path != path):
            self._close_output()
            self._output = Output(self._connection, self._picture.run_id, path)

    def _close_output(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None

    # Wishes.

    def _serve(self, client: CollectorClient) -> None:
        while self._wishes:
            wish = self._wishes[0]
            self._fulfil(client, wish)
            self._wishes.popleft()  # only now: one that a collector which is away has broken off is tried again

    def _fulfil(self, client: CollectorClient, wish: Wish) -> None:
        match wish:
            case {"kind": "file", "path": str(path)} if self._has_file(path):
                self._path = path
            case {"kind": "earlier", "path": str(path), "before": int(before)} if self._has_file(path) and before > 0:
                self._send_earlier(client, path, before)
            case {"kind": "chart", "name": str(name)}:
                self._picture.want_chart(name)
            case {"kind": "open", "run_id": str(run_id)} if self._has_child(run_id):
                self._trail.append(self._picture.run_id)
                self._turn_to(run_id)
            case {"kind": "back", "run_id": str(run_id)} if run_id in self._trail:
                del self._trail[self._trail.index(run_id) :]
                self._turn_to(run_id)

    def _has_file(self, path: str) -> bool:
        return any(file["path"] == path for file in self._picture.parts.get("files", ()))

    def _has_child(self, run_id: str) -> bool:
        trials = self._picture.parts.get("trials") or {"trials": ()}
        return any(one["run_id"] == run_id for one in trials["trials"])

    def _turn_to(self, run_id: str) -> None:
        """Another run is shown; of the one before nothing stays."""
        self._close_output()
        self._picture = Picture(run_id)
        self._path, self._final_s = "", None
        self._untold = {"run": {}, "metrics": [], "series": {}, "files": [], "trials": {}, "verdict": {}, "log": {}}

    def _send_earlier(self, client: CollectorClient, path: str, before: int) -> None:
        head = {"kind": "earlier", "path": path, "before": before}
        try:
            start, data = asking.earlier(client, self._picture.run_id, path, before)
        except CollectorRefused as error:  # the file was removed, or replaced by a shorter one
            self._answer(head | {"start": before, "why": str(error)}, b"")
            return
        self._answer(head | {"start": start, "why": ""}, data)
