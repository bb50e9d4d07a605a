"""The run's last word: from its processes' exits, and from what its phases tell. Standard library only.

Reads and writes no file; all but `last_word`, which notes a failure of release, are pure.
"""

from __future__ import annotations

from . import proctree

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# Exit code of a run that was ended at its time limit, as of timeout(1).
EXIT_TIME_LIMIT = 124
# Characters of a cause that are told; the collector takes twice as many.
MOST_OF_CAUSE = 2000


def last_word(state: dict[str, Any], stop: dict[str, Any] | None, released: dict[str, Any]) -> dict[str, Any]:
    """The run's outcome, once release is over: the driver's, unless another phase failed or a stop came first.

    `state` is state.json's content, in which a failure of release is noted, `released` the result of release.
    """
    failure = state["failure"]
    word: dict[str, Any] | None = state.get("driver")
    if word is None and failure is None and stop is not None:
        word = {"status": "Canceled", "exit_code": 128 + int(stop["signal"]), "signal": None, "cause": stop["reason"]}
    if released["result"] == "failed" and failure is None and word is not None and word["status"] == "Completed":
        failure = state["failure"] = failure_of("release", released)
        word = None
    if word is None:
        cause = f"{failure['phase']} failed: {failure['cause']}" if failure else "its phases ended without a word"
        word = {"status": "Failed", "exit_code": None, "signal": None, "cause": cause[:MOST_OF_CAUSE]}
    return word


def failure_of(phase: str, result: dict[str, Any]) -> dict[str, Any]:
    """What state.json says of a phase that failed."""
    failure: dict[str, Any] = {"phase": phase, "cause": str(result.get("cause") or "")[:MOST_OF_CAUSE]}
    return failure | {key: result.get(key) for key in ("log", "start", "end")}


def outcome(exits: list[dict[str, Any]], stop: dict[str, Any] | None) -> dict[str, Any]:
    """The run's final word from its processes' exits: pure. The first process that did not end well gives the cause.

    An exit that has a `rank` is told with it. A failure that came before a stop stays the run's outcome, unless it was a
    person who then asked.
    """
    bad = first_failed(exits)
    code = bad.get("exit_code") if bad else 0
    number = bad.get("signal") if bad else None
    if stop is None or not was_stopped(exits, stop) or (_is_of_our_own(stop) and _was_before(bad, stop)):
        stop = None
    elif code is None:
        code = 128 + int(stop["signal"])
    if stop and stop.get("is_time_limit"):
        return {"status": "Failed", "exit_code": EXIT_TIME_LIMIT, "signal": number, "cause": f"ended at {stop['reason']}"}
    if stop:
        return {"status": "Canceled", "exit_code": code, "signal": number, "cause": stop["reason"]}
    if not bad:
        return {"status": "Completed", "exit_code": 0, "signal": None, "cause": ""}
    return {"status": "Failed", "exit_code": code, "signal": number, "cause": cause_of(bad)}


def first_failed(exits: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Of the exits, the first one in time that was no good one."""
    bad = [exit_ for exit_ in exits if exit_.get("exit_code") != 0]
    return min(bad, key=lambda exit_: exit_.get("mono_ns", 0)) if bad else None


def cause_of(bad: dict[str, Any]) -> str:
    """Why a process did not end well: `rank 2: exit code 1`."""
    code, number = bad.get("exit_code"), bad.get("signal")
    cause = bad.get("cause") or (f"killed by {proctree.describe_signal(number)}" if number else f"exit code {code}")
    return f"rank {bad['rank']}: {cause}" if "rank" in bad else str(cause)


def was_stopped(exits: list[dict[str, Any]], stop: dict[str, Any] | None) -> bool:
    """Whether a process was still there when it was asked to end: a request that came too late changes no outcome."""
    return stop is not None and any(not _was_before(exit_, stop) for exit_ in exits if "mono_ns" in exit_)


def _was_before(exit_: dict[str, Any] | None, stop: dict[str, Any]) -> bool:
    return exit_ is not None and exit_.get("mono_ns", 0) < stop["asked_mono_ns"]


def _is_of_our_own(stop: dict[str, Any]) -> bool:
    """Whether nobody asked: the time limit did, or another process's failure."""
    return bool(stop.get("is_time_limit") or stop.get("is_failure"))
