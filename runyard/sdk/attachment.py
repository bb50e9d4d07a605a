"""The process of an interactive run, seen from inside: how it gets its run, and what it says of the end.

Starts agent/attach.py, which makes the run's folder and looks after it; no module of the agent is loaded here. Writes into
.runyard/proc/0 of that folder, for the run's shepherd: word.json (how the run ended, or that the interpreter has come to its
end), exceptions.jsonl (what nobody caught) and, by exit_status.py, the exit code. Reads state.json.
What survives a kill -9 of this process: all of that; the shepherd sees that the process is gone.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from runyard import configuration, errors, names
from runyard.atomic import read_json, write_json
from runyard.errors import InputError, RunyardError

from . import exit_status, saying

START_LIMIT_S = 30.0
# So often it is looked whether somebody else has ended the run.
LOOK_S = 0.5
MOST_TEXT = 2000  # characters of an exception's message

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MAIN = "import gc; gc.disable(); import sys; sys.path.append(sys.argv[1]); from runyard.agent.attach import main; main()"
# What a job's environment tells of another run than this one.
_OF_A_JOB = configuration.DRIVER_VARIABLES | {"RUNYARD_ATTEMPT", "RUNYARD_EXCEPTION_FILE", "RUNYARD_STACKS_FILE"}

_live: dict[str, Attachment] = {}  # of this process, by run id
_lock = threading.RLock()
_uncaught: dict[str, Any] = {"text": "", "is_interrupt": False}  # the last exception that nobody caught
_hooked: list[Callable[..., object]] = []  # what was sys.excepthook before


class Attachment:
    """One interactive run of this process. May be used from any thread; after a fork the run stays the parent's."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.run_id: str = answer["run_id"]
        self.run_dir: str = answer["run_dir"]
        self.collector_url: str = answer["collector_url"]
        # Called before the interpreter's end is told, with the exception that nobody caught.
        self.at_exit: Callable[[str], None] = lambda exception: None
        self._directory = self.path(names.process_dir(0))
        self._is_ended = self.is_ended_here = False
        self._looked_s = 0.0
        self._state_mark: tuple[int, int] | None = None
        self._is_status_told = exit_status.told_in(os.path.join(self._directory, names.ATTACHED_EXIT_STATUS))
        with _lock:
            _install()
            _live[self.run_id] = self

    def path(self, name: str) -> str:
        """The run's file `name`."""
        return os.path.join(self.run_dir, name)

    @property
    def is_ours(self) -> bool:
        """Whether this process is the run's, not a child that it has forked."""
        return _live.get(self.run_id) is self

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, by this process or by somebody who canceled it; known within LOOK_S."""
        if self._is_ended:
            return True
        now_s = time.monotonic()
        if now_s - self._looked_s < LOOK_S:
            return False
        self._looked_s = now_s
        self._is_ended = self._has_state_ended()
        return self._is_ended

    def end(self, status: str, cause: str) -> bool:
        """Say how the run ended; False where it has ended already, or is another process's. Raises OSError."""
        with _lock:
            if self._is_ended or not self.is_ours:
                return False
            self._is_ended = self.is_ended_here = True
            self._tell({"status": status, "cause": cause})
            del _live[self.run_id]
        return True

    def status(self) -> str:
        """How it is, as this node knows it."""
        state = read_json(self.path(names.STATE_FILE))
        return str(state.get("status", "Starting")) if isinstance(state, dict) else "Starting"

    def _has_state_ended(self) -> bool:
        path = self.path(names.STATE_FILE)
        try:
            found = os.stat(path)
        except OSError:
            return False
        mark = (found.st_ino, found.st_mtime_ns)
        if mark == self._state_mark:
            return False
        self._state_mark = mark
        state = read_json(path)
        return isinstance(state, dict) and bool(state.get("ended_ns") or state.get("phase") == "release")

    def _tell(self, word: dict[str, Any]) -> None:
        at = {"wall_ns": time.time_ns(), "mono_ns": time.monotonic_ns()}
        write_json(os.path.join(self._directory, names.ATTACHED_WORD), word | at, durable=False)

    def _tell_exit(self) -> None:
        word = {"is_exit": True, "exception": _uncaught["text"], "is_interrupted": _uncaught["is_interrupt"]}
        self._tell(word | {"is_status_told": self._is_status_told})

    def _note(self, note: dict[str, Any]) -> None:
        path = os.path.join(self._directory, names.ATTACHED_EXCEPTIONS)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
        try:
            os.write(descriptor, json.dumps(note).encode() + b"\n")
        finally:
            os.close(descriptor)


def begin(wanted: dict[str, Any]) -> Attachment:
    """Make a run of this process. `wanted` is what attach.py reads, but for the process and its command. Blocks for a moment;
    raises InputError and RunyardError."""
    command = [os.fsencode(word).decode("utf-8", "replace") for word in getattr(sys, "orig_argv", sys.argv)]
    answer = _answer_to(wanted | {"pid": os.getpid(), "command": command or ["python"]})
    if "error" in answer:
        kind = getattr(errors, answer["kind"], RunyardError)
        raise (InputError if issubclass(kind, (InputError, errors.CollectorRefused)) else RunyardError)(answer["error"])
    for line in answer["said"]:
        saying.say(line)
    return Attachment(answer)


def _answer_to(wanted: dict[str, Any]) -> dict[str, Any]:
    if not sys.executable:
        raise InputError("this Python does not know its own interpreter (sys.executable), which an interactive run needs")
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", _MAIN, _ROOT, str(wanted["run_id"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name not in _OF_A_JOB},
            start_new_session=True,  # what is typed at this terminal is not for it
        )
    except OSError as error:
        raise RunyardError(f"the run cannot be started: {sys.executable}: {error.strerror}") from error
    with child:
        try:
            told, said = child.communicate(json.dumps(wanted).encode(), START_LIMIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            raise RunyardError(f"the run was not there within {START_LIMIT_S:g} s; is the disk of the spool slow?") from None
    try:
        answer: dict[str, Any] = json.loads(told)
    except ValueError:
        last = said.decode(errors="replace").strip().rpartition("\n")[2]
        raise RunyardError(f"the run could not be made: {last or 'what makes it was killed'}") from None
    return answer


def _install() -> None:
    if _hooked:
        return
    _hooked.append(sys.excepthook)
    sys.excepthook = _excepthook
    atexit.register(_at_exit)


def _excepthook(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    try:
        _note_uncaught(kind, value)
    except BaseException:  # noqa: BLE001, S110 - the program's own exception is told next, whatever happens here
        pass
    _hooked[0](kind, value, trace)


def _note_uncaught(kind: type[BaseException], value: BaseException) -> None:
    name, message = _name(kind), str(value)[:MOST_TEXT]
    _uncaught["text"] = _told(value)
    _uncaught["is_interrupt"] = issubclass(kind, KeyboardInterrupt)
    first = value.__cause__ or (None if value.__suppress_context__ else value.__context__)
    note: dict[str, Any] = {"type": name, "message": message, "first": _told(first) if first else ""}
    note |= {"mono_ns": time.monotonic_ns(), "wall_ns": time.time_ns(), "pid": os.getpid(), "is_thread": False}
    for one in list(_live.values()):
        one._note(note)


def _name(kind: type[BaseException]) -> str:
    is_plain = kind.__module__ in ("builtins", "__main__")
    return kind.__qualname__ if is_plain else f"{kind.__module__}.{kind.__qualname__}"


def _told(value: BaseException) -> str:
    message = str(value)[:MOST_TEXT]
    return f"{_name(type(value))}: {message}" if message else _name(type(value))


def _at_exit() -> None:
    for attachment in list(_live.values()):
        try:
            attachment.at_exit(_uncaught["text"])
        except Exception as error:  # noqa: BLE001 - the word that follows counts more
            saying.say(f"run {attachment.run_id}: {type(error).__name__}: {error}")
        try:
            if not attachment.is_over:
                attachment._tell_exit()
        except OSError as error:
            saying.say(f"run {attachment.run_id}: its end cannot be written down: {error.strerror}")


def _after_fork() -> None:
    """What the parent has begun, the parent ends."""
    global _lock  # another thread of the parent may have held it
    _lock = threading.RLock()
    _live.clear()


os.register_at_fork(after_in_child=_after_fork)
