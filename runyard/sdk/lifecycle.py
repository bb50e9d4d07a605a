"""What a script says of how a run is: start, complete, fail, cancel, flush.

Of a child run and of others that no node has, its word is how the run is. Of a run that a node has, the node's word counts: the
exit code of the training, not what the training says of itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runyard.errors import CollectorError

from . import metrics, saying

if TYPE_CHECKING:
    from .run import Run

MOST_CAUSE = 3000  # characters, as Azure ML has it


def start(run: Run) -> None:
    """Say that it runs."""
    _tell(run, "Running", "")


def complete(run: Run) -> None:
    """Say that it has ended well; only said where it is the job's own run."""
    _tell(run, "Completed", "")


def fail(run: Run, error_details: str | BaseException | None = None, error_code: str | None = None) -> None:
    """Say that it has failed, and of what; only said where it is the job's own run."""
    words = [error_code or "", "" if error_details is None else _cause(error_details)]
    _tell(run, "Failed", ": ".join(word for word in words if word)[:MOST_CAUSE])


def cancel(run: Run) -> None:
    """Have it end. Of the job's own run it only warns: whoever wants that ends the script, or cancels from outside."""
    if run._is_context:
        saying.once(
            f"cancel of run {run.id} from inside it does nothing; end the script, or `runyard cancel {run.id}` from outside"
        )
        return
    if run._is_recorded or run._tell_status is not None:
        _tell(run, "Canceled", "canceled by its own process" if run._tell_status is not None else "")
        return
    from runyard.reader import run_path  # loads what a training does without

    run._client.json("POST", f"{run_path(run.id)}/cancel", {})


def interrupted(run: Run) -> None:
    """Say that somebody has ended it from the keyboard; only said where it is the job's own run."""
    _tell(run, "Canceled", "interrupted from the keyboard")


def exited(run: Run, code: object) -> None:
    """Say how it ended by what is given to sys.exit: nothing or 0, another number, or what is wrong."""
    if code is None or code == 0:
        complete(run)
    else:
        fail(run, f"exit code {int(code)}" if isinstance(code, int) else str(code))


def flush(run: Run, timeout_s: float) -> bool:
    """Wait until the collector has all that was recorded, at most that long; says what is left. Blocks."""
    try:
        if run._recorder.settle(timeout_s):
            return True
        why = f"the collector does not have all of it after {timeout_s:g} s"
    except CollectorError as error:
        why = str(error)
    saying.say(f"run {run.id}: {why}: {run._recorder.left()}")
    return False


def _tell(run: Run, status: str, cause: str) -> None:
    if run._tell_status is not None:
        run._tell_status(status, cause)
        return
    if run._is_context and status != "Running":
        saying.once(f"run {run.id} said {status} of itself, which is noted; how it ended is told by the script's exit code")
    run._recorder.write(["s", run._record_key, status, cause, metrics.now_ms()])


def _cause(error: str | BaseException) -> str:
    return error if isinstance(error, str) else f"{type(error).__name__}: {error}"
