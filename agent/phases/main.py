"""Entry point of a phase's process: does the phase, writes down what it has come to, and ends.

Reads stop.json; writes .runyard/phase/<phase>/{lock,result.json}. The lock says that this process lives; the result, renamed
into place, is its last word and the first thing that the shepherd looks for.
"""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from runyard import names
from runyard.agent.spool import CREDENTIAL_PREFIXES
from runyard.errors import PhaseError

from .phase import Canceled, Phase
from .result import EXIT_FAILED, write_result

EXIT_TWICE = 75
STOP_LOOK_S = 0.1
LOCK_S = 0.5
_STOPS = (signal.SIGTERM, signal.SIGINT)


def main(run_dir: str, name: str) -> None:
    """Never returns. The exit code is for people; what counts is result.json."""
    phase = Phase(Path(run_dir), name)
    os.umask(0o077)
    if name == "preparation" and phase.spec.sidecar and not os.environ.get("RUNYARD_SIDECAR"):
        from .sidecar import become_sidecar

        _end(_done(phase, become_sidecar))  # comes back only where it cannot be started
    lock = _take_lock(phase)
    if lock < 0:
        os._exit(EXIT_TWICE)
    _offer_credentials(phase)
    code = _done(phase, _work)
    if phase.afterwards is not None and code == 0:
        code = _after(phase)
    _end(code)


def _work(phase: Phase) -> Any:
    return importlib.import_module(f"runyard.agent.phases.{phase.name}").run(phase)


def _end(code: int) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)  # threads of plug-ins and of fsspec would keep the interpreter


def _done(phase: Phase, work: Any) -> int:
    try:
        _cancel_when_asked(phase)
        result = {"result": "done", "data": work(phase)}
        phase.is_done = True
    except Canceled:
        phase.say("Canceled: the run was asked to stop.")
        result = {"result": "canceled"}
    except PhaseError as error:
        result = phase.failure(str(error)) | {"is_passing": error.is_passing}
    except OSError as error:
        traceback.print_exc()
        result = phase.failure(_sentence(error))
    except Exception as error:  # noqa: BLE001 - a mistake of ours is the run's cause, too, and release has to follow
        traceback.print_exc()
        result = phase.failure(f"{type(error).__name__}: {error}")
    write_result(phase, result)
    return 0 if result["result"] == "done" else EXIT_FAILED


def _after(phase: Phase) -> int:
    assert phase.afterwards is not None
    try:
        phase.afterwards()
    except Exception:  # noqa: BLE001 - release goes on in a process of its own with what is left
        traceback.print_exc()
        return EXIT_FAILED
    return 0


def _sentence(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{f' ({error.filename})' if error.filename else ''}"
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _take_lock(phase: Phase) -> int:
    folder = phase.run_dir / names.phase_dir(phase.name)
    folder.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
    deadline_s = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError:  # another process of this phase, or only a shepherd that has just looked
            if time.monotonic() > deadline_s:
                return -1
            time.sleep(0.01)


def _offer_credentials(phase: Phase) -> None:
    """Object stores' libraries look for their own variables where the spec names no secret."""
    if phase.name in ("preparation", "release"):
        os.environ.update({name: value for name, value in phase.environment.items() if name.startswith(CREDENTIAL_PREFIXES)})


def _cancel_when_asked(phase: Phase) -> None:
    """SIGTERM, SIGINT and stop.json raise Canceled in the main thread, once. Release is not stopped."""
    if phase.name in ("release", "cleanup"):
        for number in _STOPS:
            signal.signal(number, signal.SIG_IGN)
        return

    def on_signal(number: int, frame: FrameType | None) -> None:
        del number, frame
        for stop in _STOPS:
            signal.signal(stop, signal.SIG_IGN)
        if not phase.is_done:
            raise Canceled

    for number in _STOPS:
        signal.signal(number, on_signal)
    stop = phase.run_dir / names.STOP_FILE

    def watch() -> None:
        while not stop.exists():
            if phase.is_done:
                return
            time.sleep(STOP_LOOK_S)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=watch, name="stop", daemon=True).start()
