"""Starts a run's shepherd, the first or a later one, in a session of its own. Reads from and writes to the spool."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

from runyard import names
from runyard.atomic import read_json

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# The folder that holds the package: the shepherd runs without site-packages, which saves a third of its start. The garbage
# collector sleeps while modules load, which saves a tenth; the shepherd wakes it.
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_MAIN = (
    "import gc; gc.disable(); import sys; sys.path.append(sys.argv[1]); "
    "from runyard.agent.shepherd import main; main(sys.argv[2], int(sys.argv[3]))"
)

# Shepherds that this process has started and that have to be reaped.
_children: list[subprocess.Popen[bytes]] = []


def ensure_shepherd(run_dir: str, *, stdin: int = subprocess.DEVNULL, before: Sequence[str] = (), **how: Any) -> bool:
    """Start a shepherd unless one lives or the run is over on this node; True where one was started.

    Does not wait for it. The shepherd's lock is taken here and inherited, so that at no moment two could start.
    `stdin` is given to the driver, if this shepherd is the one that starts it. `before` are words that start it in another
    place and become it; `how` goes to Popen (user, group, …), its `env` comes on top of ours.
    """
    run_dir = os.path.abspath(run_dir)  # the shepherd lives in /
    reap()
    if is_over(run_dir):
        return False
    lock = os.open(os.path.join(run_dir, names.SHEPHERD_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, names.FILE_MODE)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if is_over(run_dir):  # it may have ended just before we got the lock
            return False
        errors = os.open(
            os.path.join(run_dir, names.SHEPHERD_ERRORS),
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC,  # a pipe in its place holds up nobody
            names.FILE_MODE,
        )
        try:
            child = subprocess.Popen(
                [*before, sys.executable, "-I", "-S", "-c", _MAIN, ROOT, run_dir, str(lock)],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                # The interpreter may need what the site has set (LD_LIBRARY_PATH); what is the user's own stays here.
                env={name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")} | how.pop("env", {}),
                pass_fds=(lock,),
                start_new_session=True,
                **how,
            )
        finally:
            os.close(errors)
        _children.append(child)
        return True
    finally:
        os.close(lock)


def reap() -> None:
    """Take the exits of the shepherds that this process has started."""
    _children[:] = [child for child in _children if child.poll() is None]


def is_over(run_dir: str) -> bool:
    """Whether the node's last word on the run is written."""
    state = read_json(os.path.join(run_dir, names.STATE_FILE))
    return isinstance(state, dict) and bool(state.get("ended_ns"))


def wait() -> None:
    """Wait for every shepherd that this process has started. Blocks."""
    for child in _children:
        child.wait()
    _children.clear()
