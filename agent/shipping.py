"""The shipping of one run beside its wrapper: the shipper in a thread of its own, and the time that it gets at the end.

Reads from the spool; writes, through the shipper, to the collector. `say` tells people. What survives its end, whatever ended
it: the spool, which `runyard ship` sends later.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from runyard.settings import Settings

from .ship.shipper import Shipper
from .spool import NewRun


class Shipping:
    """Ships from the moment it is made. `is_registered`: whether the collector knew of the run then. `patience_s`: how long it
    may be unreachable at the end; None: as the settings say, for somebody who waits at a terminal."""

    def __init__(
        self,
        new: NewRun,
        settings: Settings,
        say: Callable[[str], None],
        *,
        is_registered: bool,
        is_started_again: Callable[[], bool],
        patience_s: float | None = None,
    ) -> None:
        self._new = new
        self._asked_patience_s = patience_s
        self._drain_s = settings.run.drain_s
        self._say = say
        self._stop = threading.Event()
        self._shipper = Shipper(
            new.run_dir,
            settings.client.collector_url,
            settings.token,
            settings.ship,
            on_trouble=say if is_registered else _ignore_first(say),
            is_started_again=is_started_again,
        )
        self._thread = threading.Thread(target=self._ship, name="ship", daemon=True)
        self._thread.start()

    def _ship(self) -> None:
        # Shipping never competes with the training for a core.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        try:
            self._shipper.run(self._stop)
        except Exception as error:  # noqa: BLE001 - whatever ends the shipping, the run goes on, and another may adopt its spool
            self._new.lock.release()
            kept = f"the logs stay in {self._new.run_dir} (`runyard ship`)"
            self._say(f"shipping ended: {type(error).__name__}: {error}; {kept}")

    def drain(self, is_hastened: Callable[[], bool]) -> None:
        """Wait until all is sent, as long as it gets on and nobody is in a hurry. Blocks."""
        shipper, thread = self._shipper, self._thread
        progress_bytes, moved_s = shipper.progress_bytes, time.monotonic()
        while thread.is_alive() and not is_hastened():
            thread.join(0.02)
            if shipper.progress_bytes != progress_bytes:
                progress_bytes, moved_s = shipper.progress_bytes, time.monotonic()
            elif shipper.trouble and time.monotonic() - moved_s > self._patience_s():
                break
        self._stop.set()
        thread.join(5.0)
        if not shipper.is_done:
            left = f"{shipper.unsent_bytes()} bytes" if shipper.progress_bytes else "what the run has written"
            self._say(f"not sent yet: {left}; it stays in {self._new.run_dir}, and `runyard ship` sends it")

    def _patience_s(self) -> float:
        if self._asked_patience_s is not None:
            return self._asked_patience_s
        # A collector that has taken nothing all the time will hardly begin now.
        return self._drain_s if self._shipper.progress_bytes else min(self._drain_s, 1.0)


def _ignore_first(say: Callable[[str], None]) -> Callable[[str], None]:
    """The first trouble has been told already, when the run could not be registered."""
    seen: list[str] = []

    def later(text: str) -> None:
        seen.append(text)
        if len(seen) > 1:
            say(text)

    return later
