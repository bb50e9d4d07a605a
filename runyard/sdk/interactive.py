"""Interactive runs: a notebook, or any script, makes a run of itself, logs to it, and says how it ended.

What is recorded goes into a journal in the run's folder on this machine, as a job's records do, so that nothing is lost by a
collector that is away or a process that is killed; runyard/sdk/attachment.py has what is special to such a process.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runyard import names
from runyard.atomic import read_json
from runyard.errors import CollectorError, InputError, SpoolError
from runyard.run_ids import checked_id, fresh_run_id

from . import attachment, saying
from .local_workspace import LocalWorkspace
from .recording import JournalRecorder

if TYPE_CHECKING:
    from .connection import Connection
    from .experiment import Experiment
    from .run import Run

KIND = "interactive"
# How long `complete` and `fail` wait until the collector has everything, and how long where that is in trouble.
END_S = 10.0
TROUBLE_S = 1.5
GIVEN_UP_S = 3.0  # where nobody has told anything: on a busy machine whoever sends may only have begun
# The same at the interpreter's end, where a container may end with this process, and what has not left it, too.
EXIT_S = 2.0
_LOOK_S = 0.02


def start_logging(
    experiment: Experiment,
    *,
    outputs: str | None = None,
    snapshot_directory: str | None = None,
    name: str | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
) -> Run:
    """Begin a run of this process; it ends with complete, fail or cancel, else with the process.

    `outputs`: a folder whose files are the run's when it ends. `snapshot_directory`: a folder that is kept as it is now; Azure
    ML keeps the one that the process is in, which for a notebook may be somebody's whole home.
    Blocks for a fraction of a second, whether or not the collector is there, and as long as a snapshot takes; raises InputError
    and RunyardError.
    """
    from .run import Run

    workspace = experiment.workspace
    connection: Connection | None = None if isinstance(workspace, LocalWorkspace) else workspace.connection
    run_id = checked_id(run_id, "the run id") if run_id else fresh_run_id(experiment.name)
    attached = attachment.begin({
        "run_id": run_id,
        "experiment": experiment.name,
        "kind": KIND,
        "name": name or "",
        "tags": {str(key): str(value) for key, value in (tags or {}).items()},
        "config_file": workspace.config_file,
        "collector_url": "" if connection is None else connection.url,
        "token": "" if connection is None else connection.token,
        "snapshot_directory": snapshot_directory or "",
    })  # fmt: skip
    recorder = AttachedRecorder(attached, connection)
    run = Run._made(run_id, experiment.name, connection, recorder)
    run._experiment, run._outputs = experiment, outputs
    if outputs:
        from . import files  # noqa: F401 - loaded now: at the interpreter's end it could not be any more
    run._tell_status = lambda status, cause: _tell(run, attached, recorder, status, cause)
    attached.at_exit = lambda exception: _at_exit(run, attached, recorder, exception)
    return run


class AttachedRecorder:
    """The journal of an interactive run, until the run has ended: what comes later is left out, and that is said once."""

    def __init__(self, attached: attachment.Attachment, connection: Connection | None) -> None:
        self._attached = attached
        self.journal = JournalRecorder(
            attached.path(names.TRACKING_DIR), attached.path(names.BLOBS_DIR), attached.run_id, connection
        )

    @property
    def blobs_dir(self) -> str:
        """The run's folder of files by content."""
        return self.journal.blobs_dir

    def write(self, record: Sequence[object]) -> None:
        """Take one record. Comes back at once; raises nothing."""
        if self._attached.is_over:
            self.say_over()
            return
        self.journal.write(record)

    def settle(self, timeout_s: float) -> bool:
        """As JournalRecorder.settle; what was recorded is sent by the run's own process on this machine."""
        return self.journal.settle(timeout_s)

    def left(self) -> str:
        """What the collector does not have yet, and what becomes of it."""
        if not self._attached.collector_url:
            return f"what it has recorded stays in {self._attached.run_dir}; `runyard ship` sends it, once a collector is set"
        return f"what it has recorded is in {self._attached.run_dir}, and is sent when the collector is there (`runyard ship`)"

    def say_over(self) -> None:
        """Say that nothing more is taken."""
        how = self._attached.status()
        saying.once(f"run {self._attached.run_id} has ended ({how}): what is recorded from now on is left out")


def _tell(run: Run, attached: attachment.Attachment, recorder: AttachedRecorder, status: str, cause: str) -> None:
    """The end of the run, as its process has it. Blocks until the collector has everything, within limits."""
    if status == "Running":
        return
    if not attached.is_ours and not attached.is_over:
        saying.once(f"run {attached.run_id} is another process's: only that one ends it")
        return
    if attached.is_over:
        if not attached.is_ended_here:
            recorder.say_over()
        return
    _take_outputs(run)
    recorder.journal._write_waiting()  # the last moment: the journal is final when the run has ended
    try:
        is_told = attached.end(status, cause)
    except OSError as error:
        saying.say(f"run {attached.run_id}: its end cannot be written to {attached.run_dir}: {error.strerror}")
        return
    if not is_told:
        return
    recorder.journal._journal.close()  # a notebook may make many runs
    if not _is_sent(attached, recorder, END_S):
        saying.say(f"run {attached.run_id} has ended; {recorder.left()}")


def _is_sent(attached: attachment.Attachment, recorder: AttachedRecorder, limit_s: float) -> bool:
    """Wait until the collector has the whole run; False where it has not within the limit, or nobody gets on with it."""
    if not attached.collector_url:
        return False
    begun_s = time.monotonic()
    shipped = Path(attached.path(names.SHIPPED_FILE))
    while not shipped.exists():
        waited_s = time.monotonic() - begun_s
        state = read_json(attached.path(names.STATE_FILE)) or {}
        drain = read_json(attached.path(names.DRAIN_FILE)) or {}
        # The run's release has given up waiting for whoever sends it; or that one has told of trouble.
        is_given_up = bool(state.get("ended_ns")) and not drain.get("is_drained")
        patience_s = TROUBLE_S if drain.get("trouble") else GIVEN_UP_S if is_given_up else limit_s
        if waited_s > patience_s:
            return shipped.exists()
        time.sleep(_LOOK_S)
    return _settled(recorder, max(0.0, begun_s + limit_s - time.monotonic()))


def _take_outputs(run: Run) -> None:
    """Keep the files of the folder that is the run's, one after another: at the interpreter's end no thread can be started."""
    if not run._outputs:
        return
    from . import files

    folder = Path(run._outputs)
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        try:
            files.upload_file(run, f"{names.OUTPUTS_DIR}/{path.relative_to(folder).as_posix()}", str(path))
        except (InputError, SpoolError) as error:  # the others are kept, and the run ends
            saying.say(f"run {run.id}: {path} is not among its outputs: {error}")


def _at_exit(run: Run, attached: attachment.Attachment, recorder: AttachedRecorder, exception: str) -> None:
    """At the interpreter's end: nothing is said of how the run ended, that is seen."""
    _take_outputs(run)
    recorder.journal._write_waiting()
    if os.getpid() == 1:  # the first process of a container: whoever would see its end ends with it
        if exception:
            _tell(run, attached, recorder, "Failed", exception)
            return
        saying.say(f"run {run.id}: nobody will see how this container ends; run.complete() or a with-block says it")
    if run._connection is not None and not _settled(recorder, EXIT_S):
        saying.say(f"run {run.id}: {recorder.left()}")


def _settled(recorder: AttachedRecorder, limit_s: float) -> bool:
    try:
        return recorder.settle(limit_s)
    except (CollectorError, OSError):  # whoever ships the run says why; or its folder is gone
        return False
