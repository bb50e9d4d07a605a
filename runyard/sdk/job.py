"""The run that this process belongs to: a job of `runyard run`, or an offline run where there is none.

Reads from the variables that the agent gives to a job (RUNYARD_RUN_ID, …): they hold in each of its processes, in the children
of these, and in containers.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from runyard.errors import InputError

from . import saying
from .connection import Connection
from .recording import JournalRecorder, Recorder

if TYPE_CHECKING:
    from .run import Run

# Run id (empty: offline) -> the one object for it in this process.
_contexts: dict[str, Run] = {}
_lock = threading.RLock()


def get_context(allow_offline: bool = True) -> Run:
    """The run of this process; the same object each time. Raises InputError where there is none and none may be made up."""
    run_id = os.environ.get("RUNYARD_RUN_ID", "")
    known = _contexts.get(run_id)
    if known is not None and run_id:
        return known
    with _lock:
        if run_id and run_id not in _contexts:
            run = _job(run_id)
            if run is not None:
                _contexts[run_id] = run
        if run_id and run_id in _contexts:
            return _contexts[run_id]
        why = _why_offline(run_id)
        if not allow_offline:
            raise InputError(f"{why}; start it by `runyard run`, or allow an offline run")
        if "" not in _contexts:
            _contexts[""] = _offline(why)
        return _contexts[""]


def _job(run_id: str) -> Run | None:
    from .run import Run

    connection = _connection()
    recorder = _recorder(run_id, connection)
    if recorder is None:
        return None
    experiment = os.environ.get("RUNYARD_EXPERIMENT", "")
    return Run._made(run_id, experiment, connection, recorder, is_context=True)


def _connection() -> Connection | None:
    url = os.environ.get("RUNYARD_COLLECTOR_URL", "")
    if not url:
        return None
    return Connection(url, os.environ.get("RUNYARD_TOKEN", ""), is_checked=False)


def _recorder(run_id: str, connection: Connection | None) -> Recorder | None:
    tracking_dir = os.environ.get("RUNYARD_TRACKING_DIR", "")
    if tracking_dir:
        return JournalRecorder(tracking_dir, os.environ.get("RUNYARD_BLOBS_DIR", ""), run_id, connection)
    if connection is not None:  # an agent of an earlier version, which has no journals
        from .requesting import RequestRecorder

        return RequestRecorder(connection, run_id)
    return None


def _why_offline(run_id: str) -> str:
    if not run_id:
        return "this process belongs to no run: RUNYARD_RUN_ID is not set"
    return (
        f"this process cannot record: it belongs to run {run_id}, and neither RUNYARD_TRACKING_DIR nor RUNYARD_COLLECTOR_URL"
        " is set"
    )


def _offline(why: str) -> Run:
    import uuid

    from .offline import OfflineRecorder
    from .run import Run

    run_id = f"OfflineRun_{uuid.uuid4()}"
    saying.once(f"{why}; what it records as {run_id} stays here")
    return Run._made(run_id, "", None, OfflineRecorder(run_id), is_context=True)


def _after_fork() -> None:
    """Another thread may have held the lock while this process was forked."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
