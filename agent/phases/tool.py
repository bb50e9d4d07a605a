"""Running a program (podman, pip) within a phase: its words go to the phase's log, its end is waited for, a cancel ends it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress

# Between asking a tool to end and killing it with all it has started.
GRACE_S = 5.0


def run(argv: Sequence[str], *, environ: Mapping[str, str] | None = None, cwd: str | None = None) -> int:
    """Run it with our stdout and stderr and nothing on stdin; its exit code. Blocks. Raises OSError where it cannot be started.

    Whatever leaves this function early (a cancel, a time limit) ends the tool and its children first.
    """
    process = subprocess.Popen(argv, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        end(process)
        raise


def output(argv: Sequence[str], *, environ: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Run it and take what it says: (exit code, stdout). What it says on stderr goes to the log."""
    process = subprocess.Popen(argv, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
    try:
        data, _ = process.communicate()
    except BaseException:
        end(process)
        raise
    return process.returncode, data.decode(errors="replace")


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the tool's process group to end; kill it after the grace period. Blocks."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            return
