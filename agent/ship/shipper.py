"""Ships one run: sessions with the collector, one after another, until everything is sealed and told.

Reads from the run's spool; writes to the collector and .runyard/shipped.json. What survives a crash of this process:
everything. The spool is the source, the collector knows what it has, nothing else is needed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json
from runyard.errors import CollectorBusy, CollectorError, CollectorRefused, CollectorUnreachable, RunyardError, SpoolError
from runyard.settings import Ship

from .backoff import Backoff
from .drain import Drain
from .finish import Finish
from .link import FileShrank, Stopped
from .register import REFUSED_FOR_GOOD
from .remote import Remote
from .scan import LIVE_ROOTS
from .transfer import Resync, Transfer

# Limit for one answer, and for a connection on which no byte moves.
TIMEOUT_S = 15.0
# A kept connection that broke is opened again at once and silently, but not more often than this.
QUICK_RECONNECT_S = 1.0


class Shipper:
    """One run's shipping. `run` blocks in a thread of its own; the properties may be read from any other.

    `on_trouble` is given one sentence whenever the reason why nothing moves becomes another one, and once for each file that
    cannot be shipped. Whoever calls `run` holds the spool's lock. `is_started_again` says whether a run that has failed will be
    followed by another attempt, if one is due.
    """

    def __init__(
        self,
        run_dir: Path,
        url: str,
        token_for_registering: str,
        settings: Ship,
        *,
        on_trouble: Callable[[str], None],
        is_started_again: Callable[[], bool] = lambda: False,
    ) -> None:
        self.run_dir = str(run_dir)
        self.is_done = False
        self.is_over = False  # the run has ended on this node
        self.is_settled = False  # with is_once: all that was there is durable
        self.is_refused = False  # for good: this run will never be taken by this collector
        self.trouble = ""
        self._url = url
        self._token = token_for_registering
        self._settings = settings
        self._on_trouble = on_trouble
        self._is_started_again = is_started_again
        self._backoff = Backoff(settings.backoff_max_s)
        self._stop = threading.Event()
        self._transfer: Transfer | None = None
        self._finish: Finish | None = None
        self._drain = Drain(self.run_dir)
        self._reconnected_s = 0.0
        self._is_proven = False  # a step has succeeded since the last quick reconnect
        self._is_told_off = False  # the last session ended by what only a person can mend

    @property
    def progress_bytes(self) -> int:
        """Bytes of the run that are durable at the collector."""
        return self._transfer.files.durable_bytes() if self._transfer is not None else 0

    def unsent_bytes(self) -> int:
        """Bytes of the run, as far as it was looked at, that are not durable at the collector."""
        return self._transfer.files.unsent_bytes() if self._transfer is not None else 0

    def run(self, stop: threading.Event, *, is_once: bool = False, patience_s: float = 0.0) -> None:
        """Ship until all is shipped, sealed and told, or `stop` is set.

        With `is_once`: until what is there now is durable (and, where the run is over, all is sealed and told), or until
        nothing has moved for `patience_s`.
        """
        self._stop = stop
        moved_s = time.monotonic()
        try:
            while not self._is_finished(is_once):
                pause_s = self._try_session(is_once)
                if pause_s is None:
                    moved_s = time.monotonic()
                elif self.is_refused or (is_once and self._gives_up(moved_s, patience_s)):
                    return
                else:
                    stop.wait(pause_s)
        finally:
            if self._transfer is not None:
                self._transfer.close()

    def _is_finished(self, is_once: bool) -> bool:
        return self.is_done or self._stop.is_set() or (is_once and self.is_settled)

    def _gives_up(self, moved_s: float, patience_s: float) -> bool:
        return self._is_told_off or time.monotonic() - moved_s > patience_s

    def _try_session(self, is_once: bool) -> float | None:
        """One session; seconds to wait before the next one, None where there is no reason to wait."""
        self._is_told_off = False
        try:
            self._session(is_once)
        except Stopped:
            return None
        except FileShrank as shrank:
            return self._look_again(shrank)
        except Resync as resync:
            return self._wait_after(str(resync), self._backoff.next_s())
        except CollectorUnreachable as error:
            if self._is_proven and time.monotonic() - self._reconnected_s > QUICK_RECONNECT_S:
                self._is_proven = False  # a collector that takes connections and answers nothing is no passing matter
                self._reconnected_s = time.monotonic()
                return 0.0
            return self._wait_after(str(error), self._backoff.next_s())
        except CollectorBusy as error:
            return self._wait_after(str(error), self._backoff.next_s(error.retry_after_s))
        except CollectorError as error:
            self._is_told_off = True
            self.is_refused = isinstance(error, CollectorRefused) and error.code in REFUSED_FOR_GOOD
            if isinstance(error, CollectorRefused) and error.status in (401, 404) and self._transfer is not None:
                self._transfer.register_again()  # a collector that was restored from a backup does not know the run
            return self._wait_after(str(error), self._backoff.long_s())
        except (OSError, RunyardError) as error:
            # The node's own disk: the folder vanished, descriptors ran out, shipped.json could not be written.
            self._is_told_off = True
            return self._wait_after(f"the spool {self.run_dir} cannot be shipped: {error}", self._backoff.long_s())
        return None

    def _session(self, is_once: bool) -> None:
        """Connect and go on until done, stopped, or an error ends it."""
        transfer = self._transfer
        if transfer is None:
            transfer = self._transfer = self._open()
        transfer.connect()
        while not self._is_finished(is_once):
            started_s = time.monotonic()
            has_more = transfer.step()
            self._is_fine()
            if transfer.report.is_releasing:
                self._tell_release(transfer, has_more)
            if has_more:
                continue
            self.is_over = transfer.report.is_over
            if self.is_over:
                self._end(transfer)
            elif is_once:
                transfer.settle()
                self.is_settled = not transfer.files.with_work
            else:
                # From the step's beginning, so that the time between two looks is what was set; and never without a pause.
                spent_s = time.monotonic() - started_s
                transfer.wake.wait(max(transfer.wait_s - spent_s, transfer.wait_s / 3))

    def _tell_release(self, transfer: Transfer, has_more: bool) -> None:
        """Tell the run's release how far its logs are, and when all there is has become durable."""
        if self._drain.is_over:
            return
        if not has_more:
            transfer.scan(LIVE_ROOTS)
            transfer.files.look_at_all(time.monotonic())
            while transfer.send():
                pass
            transfer.settle()
        is_drained = not has_more and not transfer.files.with_work
        if is_drained or self._drain.is_due:
            self._drain.tell(self.progress_bytes, self.unsent_bytes(), "", is_drained=is_drained)

    def _end(self, transfer: Transfer) -> None:
        if self._finish is None:
            self._finish = Finish(transfer, self._is_started_again)
        self._finish.run()
        self.is_settled = self.is_done = True

    def _open(self) -> Transfer:
        run: Any = read_json(f"{self.run_dir}/{names.RUN_FILE}")
        try:
            remote = Remote(run, self._url, self._token, self._stop.is_set, timeout_s=TIMEOUT_S)
            return Transfer(self.run_dir, run, remote, self._settings, self._say, self._turn)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpoolError(f"its {names.RUN_FILE} is not whole ({type(error).__name__}: {error})") from error

    def _turn(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _look_again(self, shrank: FileShrank) -> float:
        assert self._transfer is not None
        files = self._transfer.files
        tail = next((tail for tail in files.by_name.values() if tail.fd == shrank.fd), None)
        if tail is None:  # its descriptor was closed since: it is looked at like any other
            return 0.0
        if isinstance(shrank.__cause__, OSError):
            files.pass_over(tail, f"cannot be read: {shrank.__cause__.strerror}")
        else:
            files.fell_short(tail, time.monotonic())
        return 0.0

    def _is_fine(self) -> None:
        self._is_proven = True
        if self.trouble:
            self.trouble = ""
        self._backoff.reset()

    def _wait_after(self, trouble: str, pause_s: float) -> float:
        if trouble != self.trouble:
            self.trouble = trouble
            self._say(trouble)
        if self._transfer is not None:
            self._transfer.report.refresh()
            if self._transfer.report.is_releasing:
                self._drain.tell(self.progress_bytes, self.unsent_bytes(), trouble, is_drained=False)
        return pause_s

    def _say(self, sentence: str) -> None:
        with suppress(OSError, ValueError):  # whoever read our words may have left; the bytes go on
            self._on_trouble(sentence)
