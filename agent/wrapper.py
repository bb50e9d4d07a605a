"""`runyard run`: one run in the foreground, submitted, started, echoed and shipped; ends with the driver's exit code.

Reads from the spool; writes to this terminal, to the spool (stop.json) and, by submission.py and shipping.py, to the collector.
What survives its kill -9: everything but the echo. The run is on disk, its shepherd in a session of its own.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from runyard import names
from runyard.atomic import read_json
from runyard.settings import Settings

from . import attempts, submission
from .echo import STILL_S, Echo, echo_until
from .launch import ensure_shepherd
from .spool import NewRun, RunSpec
from .stop import request_stop

if TYPE_CHECKING:
    from typing import Any

    from .labelled_echo import LabelledEcho
    from .shipping import Shipping

SHEPHERD_CHECK_S = 1.0
START_PATIENCE_S = 5.0
EXIT_UNKNOWN = 1
PHASE_WORDS = {
    "image": "the environment is being built",
    "execution": "the environment is being brought to the node",
    "preparation": "code and data are being brought to the node",
    "rendezvous": "waiting for the run's other nodes",
    "driver": "the driver runs",
    "release": "the node is being freed",
}


class Wrapper:
    """Startup, main loop and end of one `runyard run`."""

    def __init__(
        self, spec: RunSpec, settings: Settings, follows: Wrapper | None = None, *, patience_s: float | None = None
    ) -> None:
        self._settings = settings
        self._patience_s = patience_s  # as in Shipping
        spool_dir = Path(settings.spool.dir).expanduser().absolute()
        self._follows = follows  # the attempt before this one
        self._new = NewRun(spool_dir, submission.packed(spec, settings, say), follows.new if follows else None)
        self.state: dict[str, Any] = {}  # the last word on this node
        self._run_dir = self._new.run_dir
        self._is_over = threading.Event()  # the node's last word is there
        self._state_path = str(self._run_dir / names.STATE_FILE)
        self._shipping: Shipping | None = None
        self._stop_requests = 0
        self._stop_number = 0  # the signal that is to be passed on
        self._stops_passed_on = 0
        self._is_start_told = self._is_block_told = self._is_failure_told = False
        self._phase = ""  # the last one that was told

    def main(self) -> int:
        """Blocks until the run is over; returns its exit code."""
        is_registered = self._startup()
        if self._follows is None:
            hint(f"this is run {self._new.spec.run_id}")
        ensure_shepherd(str(self._run_dir), stdin=_stdin())
        if self._settings.client.collector_url:
            self._start_shipping(is_registered)
        state = self.state = self._main_loop()
        self._shutdown()
        code = state.get("exit_code")
        if code is None:
            log = (state.get("failure") or {}).get("log")
            say(f"run {self._new.spec.run_id} failed: {state.get('cause')}{f'; see {self._run_dir / log}' if log else ''}")
            return EXIT_UNKNOWN
        is_one = self._new.description["world_size"] == 1
        if (state["status"] == "Failed" and code >= 126) or (state["status"] != "Completed" and not is_one):
            say(str(state.get("cause")))
        if state["status"] == "Failed" and self._settings.client.collector_url:
            hint(f"`runyard show {self._new.spec.run_id}` says more of why")
        return int(code)

    @property
    def new(self) -> NewRun:
        """The attempt's folder and description."""
        return self._new

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether a signal has asked this process to end the run."""
        return self._stop_requests > 0

    def _startup(self) -> bool:
        try:
            is_registered = self._submit()
        except BaseException:  # refused, or interrupted: the run does not take place
            self._new.discard()
            raise
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal has gone; the training outlives it
        self._new.commit()
        if self._follows is not None:
            attempts.settle(str(self._follows.new.run_dir))
            self._follows.new.lock.release()
            self._stop_requests += self._follows._stop_requests  # asked in between
            self._stop_number = self._stop_number or self._follows._stop_number
        return is_registered

    def _submit(self) -> bool:
        """Whether the collector knows of the run."""
        if self._follows is not None:
            return bool(self._settings.client.collector_url)
        return submission.submit(self._new, self._settings, say)

    def _start_shipping(self, is_registered: bool) -> None:
        from .shipping import Shipping

        self._shipping = Shipping(
            self._new,
            self._settings,
            say,
            is_registered=is_registered,
            is_started_again=lambda: self._is_restarted and not self._stop_requests,
            patience_s=self._patience_s,
        )

    def _main_loop(self) -> dict[str, Any]:
        # The echo has a thread of its own: a reader of our output that stands still must not keep us from the rest.
        echo = threading.Thread(target=self._echo_to_end, name="echo", daemon=True)
        echo.start()
        begun_s = checked_s = time.monotonic()
        while (state := self._final_state()) is None:
            self._pass_on_stop()
            if time.monotonic() - checked_s > SHEPHERD_CHECK_S:
                checked_s = time.monotonic()
                if not self._run_dir.exists():
                    state = {"status": "Failed", "cause": f"its folder {self._run_dir} was removed while it ran"}
                    break
                self._look_after(checked_s - begun_s)
                self._tell_phase()
                self._tell_failure()
            time.sleep(STILL_S)
        self._is_over.set()
        stop_requests = self._stop_requests
        while echo.is_alive() and self._stop_requests == stop_requests:
            echo.join(STILL_S)
        return state

    def _look_after(self, age_s: float) -> None:
        """Start the shepherd again where it died, and say what keeps the driver from going on."""
        try:
            ensure_shepherd(str(self._run_dir))
            run = self._new.description
            first = names.process_dir(run["ranks"][0])
            marks = (first, names.phase_dir("rendezvous"))
            is_started = bool(run["spec"]) or any((self._run_dir / mark / "started.json").exists() for mark in marks)
            if age_s > START_PATIENCE_S and not is_started and not self._is_start_told:
                self._is_start_told = True
                say(f"the driver has not started after {age_s:.0f} s: {_last_line(self._run_dir / names.SHEPHERD_ERRORS)}")
            is_blocked = (self._run_dir / names.BLOCKED_FILE).exists()
        except OSError as error:
            say(f"the shepherd cannot be started: {error}")
            return
        if is_blocked and not self._is_block_told:
            self._is_block_told = True
            say("the spool's quota is reached: the driver is stopped until the collector has taken more (quota_policy block)")

    def _tell_phase(self) -> None:
        """Say which phase a run is in that takes its time before or after the driver."""
        state = read_json(self._state_path)
        phase = state.get("phase", "") if isinstance(state, dict) else ""
        if (self._new.description["spec"] or phase == "rendezvous") and phase != self._phase:
            self._phase = phase
            say(PHASE_WORDS.get(phase, phase))

    def _tell_failure(self) -> None:
        """For a person who would wonder why nothing comes: one process has failed, and the others have their grace."""
        distribution = self._new.spec.distribution
        if self._is_failure_told or not is_terminal() or distribution.on_failure != "fail-fast":
            return
        state = read_json(self._state_path)
        processes = state.get("processes", []) if isinstance(state, dict) else []
        failed = [one["rank"] for one in processes if one["status"] == "Failed"]
        if len(processes) > 1 and failed:
            self._is_failure_told = True
            hint(f"rank {failed[0]} has failed; the others are ended in {distribution.failure_grace_s:g} s (--failure-grace)")

    def _echo_to_end(self) -> None:
        echo_until(self._is_over, self._echo())

    def _echo(self) -> Echo | LabelledEcho:
        """One process is echoed as it is; the lines of several stand behind their ranks."""
        run = self._new.description
        logs = [(rank, names.driver_log(rank, run["world_size"])) for rank in run["ranks"]]
        if len(logs) == 1:
            return Echo(self._run_dir, logs[0][1])
        from .labelled_echo import LabelledEcho

        return LabelledEcho(self._run_dir, logs)

    def _final_state(self) -> dict[str, Any] | None:
        state = read_json(self._state_path)
        return state if isinstance(state, dict) and state.get("ended_ns") else None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Only noted here: the handler may run in the middle of anything, also of itself.
        del frame
        self._stop_requests += 1
        self._stop_number = number

    def _pass_on_stop(self) -> None:
        if self._stop_requests == self._stops_passed_on:
            return
        # The second time somebody asks, they mean now.
        number = self._stop_number if self._stop_requests == 1 else int(signal.SIGKILL)
        self._stops_passed_on = self._stop_requests
        reason = f"`runyard run` got {signal.Signals(self._stop_number).name}"
        try:
            request_stop(str(self._run_dir), number, self._settings.run.grace_s, reason)
        except OSError as error:
            say(f"the spool cannot be written ({error}); the shepherd is told by a signal")
            state = read_json(self._state_path)
            if isinstance(state, dict) and isinstance(state.get("shepherd_pid"), int):
                with suppress(ProcessLookupError):
                    os.kill(state["shepherd_pid"], signal.SIGTERM)

    def _shutdown(self) -> None:
        """Give the shipper the time that it needs, as long as it gets on."""
        if self._shipping is not None:
            stop_requests = self._stop_requests
            self._shipping.drain(lambda: self._stop_requests != stop_requests)
        dropped_bytes = _dropped_bytes(self._run_dir)
        if dropped_bytes:
            say(f"{dropped_bytes} bytes of the log were dropped at the spool's quota (quota_policy drop)")
        if not self._is_restarted:
            self._new.lock.release()

    @property
    def _is_restarted(self) -> bool:
        """Whether agent/restarts.py may start this run again, which then gives its lock up."""
        return self._new.spec.distribution.max_restarts > 0


def _stdin() -> int:
    """What the driver reads from: our own stdin, unless it is a terminal, which it could not use from its own session."""
    import subprocess

    return subprocess.DEVNULL if os.isatty(0) else 0


def _last_line(path: Path) -> str:
    """The last words of a shepherd that could not live."""
    try:
        lines = path.read_text(errors="replace").split("\n")
    except OSError as error:
        return str(error)
    return next((line.strip() for line in reversed(lines) if line.strip()), f"nothing is said in {path}")


def _dropped_bytes(run_dir: Path) -> int:
    if not (run_dir / names.GAPS_FILE).exists():
        return 0
    from .ship.ledger import dropped_bytes

    return dropped_bytes(str(run_dir))


def hint(text: str) -> None:
    """For a person who has not found the way yet: only on a terminal, never in a log."""
    if is_terminal():
        say(text)


def is_terminal() -> bool:
    """Whether a person may read what is said."""
    try:
        return os.isatty(2)
    except OSError:
        return False


def say(text: str) -> None:
    # Whoever read our stderr may have left; that is no reason to end a training.
    with suppress(OSError, ValueError):
        print(f"runyard: {text}", file=sys.stderr, flush=True)
