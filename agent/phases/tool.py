"""Running a program (podman, pip) within a phase: its words go to the phase's log, its end is waited for, a cancel ends it.

A tool does not outlive the phase that started it: also where that one was killed, the kernel ends it (SIGTERM).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from runyard.agent import proctree

# Between asking a tool to end and killing it with all it has started.
GRACE_S = 5.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def run(
    argv: Sequence[str],
    *,
    environ: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
) -> int:
    """Run it with our stdout and stderr; its exit code. Blocks. Raises OSError where it cannot be started.

    Whatever leaves this function early (a cancel, a time limit) ends the tool and its children first.
    """
    process = subprocess.Popen(
        argv, env=environ, cwd=cwd, stdin=stdin, start_new_session=True, preexec_fn=_dies_with(os.getpid())
    )
    try:
        return process.wait()
    except BaseException:  # a cancel or a time limit: whatever it is, the tool must not outlive it
        end(process)
        raise


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool came to, and what it said on stdout and on stderr: a warning there is no part of a value."""

    code: int
    stdout: str
    stderr: str

    @property
    def value(self) -> str:
        """What was asked for; empty where the tool failed."""
        return self.stdout.strip() if self.code == 0 else ""


def ask(argv: Sequence[str], *, environ: Mapping[str, str] | None = None) -> Answer:
    """Run it and take all that it says: the log shows nothing of it. Blocks. Raises OSError where it cannot be started."""
    process = subprocess.Popen(
        argv,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_dies_with(os.getpid()),
    )
    try:
        stdout, stderr = process.communicate()
    except BaseException:  # as in run
        end(process)
        raise
    return Answer(process.returncode, stdout.decode(errors="replace"), stderr.decode(errors="replace"))


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the tool's process group to end; kill it, and what it has started in groups of their own, after the grace period.

    Blocks. What it has left to another parent before (a container's processes) is not found here: see leftovers.py.
    """
    started = [(pid, proctree.start_ticks(pid)) for pid in proctree.descendants(process.pid)]
    proctree.send_group(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    proctree.send_group(process.pid, signal.SIGKILL)
    proctree.send([pid for pid, ticks in started if ticks is not None and proctree.is_running(pid, ticks)], signal.SIGKILL)
    process.wait()


def _dies_with(parent: int) -> Callable[[], None]:
    def prepare() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a phase that was canceled ignores it, and so would its tools
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return prepare
