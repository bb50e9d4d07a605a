"""`runyard run`: one run in the foreground, registered, started, echoed and shipped; ends with the driver's exit code.

Reads from the spool; writes to this terminal, to the spool (stop.json) and, through the shipper, to the collector.
What survives its kill -9: everything but the echo. The run is on disk, its shepherd in a session of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from runyard import names
from runyard.atomic import read_json
from runyard.errors import CollectorError, CollectorRefused
from runyard.settings import Settings

from .echo import Echo
from .launch import ensure_shepherd
from .spool import NewRun, RunSpec
from .stop import request_stop

if TYPE_CHECKING:
    from typing import Any

    from .ship import Shipper

HOT_S = 0.01
STILL_S = 0.04
SHEPHERD_CHECK_S = 1.0
EXIT_UNKNOWN = 1


class Wrapper:
    """Startup, main loop and end of one `runyard run`."""

    def __init__(self, spec: RunSpec, settings: Settings) -> None:
        self._settings = settings
        self._new = NewRun(Path(settings.spool.dir).expanduser(), spec)
        self._run_dir = self._new.run_dir
        self._is_over = threading.Event()  # the node's last word is there
        self._state_path = str(self._run_dir / names.STATE_FILE)
        self._shipper: Shipper | None = None
        self._ship_thread: threading.Thread | None = None
        self._ship_stop = threading.Event()
        self._stop_requests = 0

    def main(self) -> int:
        """Blocks until the run is over; returns its exit code."""
        is_registered = self._startup()
        ensure_shepherd(str(self._run_dir), stdin=_stdin())
        if self._settings.client.collector_url:
            self._start_shipper(is_registered)
        state = self._main_loop()
        self._shutdown()
        code = state.get("exit_code")
        if code is None:
            _say(f"run {self._new.spec.run_id} failed: {state.get('cause')}")
            return EXIT_UNKNOWN
        if state["status"] == "Failed" and code >= 126:
            _say(str(state.get("cause")))
        return int(code)

    def _startup(self) -> bool:
        try:
            is_registered = self._register()
        except BaseException:  # refused, or interrupted: the run does not take place
            self._new.discard()
            raise
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal has gone; the training outlives it
        self._new.commit()
        return is_registered

    def _register(self) -> bool:
        client = self._settings.client
        if not client.collector_url:
            _say(f"no collector is configured; the logs stay in {self._run_dir}, `runyard ship` sends them later")
            return False
        from .ship.register import register

        try:
            register(
                self._new.description,
                client.collector_url,
                self._settings.token,
                timeout_s=self._settings.run.connect_timeout_s,
            )
        except CollectorRefused as error:
            if error.code in ("run-id-taken", "invalid"):
                raise
            self._say_kept(error)
            return False
        except CollectorError as error:
            self._say_kept(error)
            return False
        return True

    def _say_kept(self, error: Exception) -> None:
        _say(f"{error}; the training runs, and its logs stay in {self._run_dir} until they can be sent (`runyard ship`)")

    def _start_shipper(self, is_registered: bool) -> None:
        from .ship import Shipper

        self._shipper = Shipper(
            self._run_dir,
            self._settings.client.collector_url,
            self._settings.token,
            self._settings.ship,
            on_trouble=_say if is_registered else _ignore_first(_say),
        )
        self._ship_thread = threading.Thread(target=self._ship, name="ship", daemon=True)
        self._ship_thread.start()

    def _ship(self) -> None:
        # Shipping never competes with the training for a core.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        assert self._shipper is not None
        self._shipper.run(self._ship_stop)

    def _main_loop(self) -> dict[str, Any]:
        # The echo has a thread of its own: a reader of our output that stands still must not keep us from the rest.
        echo = threading.Thread(target=self._echo_to_end, name="echo", daemon=True)
        echo.start()
        checked_s = time.monotonic()
        while (state := self._final_state()) is None:
            if time.monotonic() - checked_s > SHEPHERD_CHECK_S:
                checked_s = time.monotonic()
                ensure_shepherd(str(self._run_dir))
            time.sleep(HOT_S)
        self._is_over.set()
        stop_requests = self._stop_requests
        while echo.is_alive() and self._stop_requests == stop_requests:
            echo.join(STILL_S)
        return state

    def _echo_to_end(self) -> None:
        echo, wait_s = Echo(self._run_dir, names.driver_log(0, 1)), HOT_S
        while True:
            is_over = self._is_over.is_set()
            if echo.step():
                wait_s = HOT_S
            elif is_over:
                echo.close()
                return
            else:
                wait_s = min(STILL_S, wait_s * 1.3)
                self._is_over.wait(wait_s)

    def _final_state(self) -> dict[str, Any] | None:
        state = read_json(self._state_path)
        return state if isinstance(state, dict) and state.get("ended_ns") else None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._stop_requests += 1
        # The second time somebody asks, they mean now.
        forwarded = number if self._stop_requests == 1 else int(signal.SIGKILL)
        request_stop(
            str(self._run_dir), forwarded, self._settings.run.grace_s, f"`runyard run` got {signal.Signals(number).name}"
        )

    def _shutdown(self) -> None:
        """Give the shipper the time that it needs, as long as it gets on."""
        shipper, thread = self._shipper, self._ship_thread
        if shipper is not None and thread is not None:
            stop_requests, progress_bytes, moved_s = self._stop_requests, shipper.progress_bytes, time.monotonic()
            while thread.is_alive() and self._stop_requests == stop_requests:
                thread.join(0.02)
                if shipper.progress_bytes != progress_bytes:
                    progress_bytes, moved_s = shipper.progress_bytes, time.monotonic()
                elif shipper.trouble and time.monotonic() - moved_s > self._settings.run.drain_s:
                    break
            self._ship_stop.set()
            thread.join(5.0)
            if not shipper.is_done:
                _say(f"{shipper.unsent_bytes()} bytes are not sent yet and stay in {self._run_dir}; `runyard ship` sends them")
        self._new.lock.release()


def _stdin() -> int:
    """What the driver reads from: our own stdin, unless it is a terminal, which it could not use from its own session."""
    import subprocess

    try:
        return subprocess.DEVNULL if os.isatty(0) else 0
    except OSError:  # closed
        return subprocess.DEVNULL


def _say(text: str) -> None:
    print(f"runyard: {text}", file=sys.stderr, flush=True)


def _ignore_first(say: Any) -> Any:
    """The first trouble has been told already, when the run could not be registered."""
    seen: list[str] = []

    def later(text: str) -> None:
        seen.append(text)
        if len(seen) > 1:
            say(text)

    return later
