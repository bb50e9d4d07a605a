"""The run's last word from its processes' exits. Pure, standard library only."""

from __future__ import annotations

from . import proctree

TYPE_CHECKING = False  # importing typing would cost the start of every run 5 ms
if TYPE_CHECKING:
    from typing import Any

# Exit code of a run that was ended at its time limit, as of timeout(1).
EXIT_TIME_LIMIT = 124


def outcome(exits: list[dict[str, Any]], stop: dict[str, Any] | None) -> dict[str, Any]:
    """The run's final word from its processes' exits: pure. The first process that did not end well gives the cause."""
    bad = next((exit_ for exit_ in exits if exit_.get("exit_code") != 0), None)
    code = bad.get("exit_code") if bad else 0
    number = bad.get("signal") if bad else None
    if stop is None or not was_stopped(exits, stop):
        stop = None
    elif code is None:
        code = 128 + int(stop["signal"])
    if stop and stop.get("is_time_limit"):
        return {"status": "Failed", "exit_code": EXIT_TIME_LIMIT, "signal": number, "cause": f"ended at {stop['reason']}"}
    if stop:
        return {"status": "Canceled", "exit_code": code, "signal": number, "cause": stop["reason"]}
    if not bad:
        return {"status": "Completed", "exit_code": 0, "signal": None, "cause": ""}
    cause = bad.get("cause") or (f"killed by {proctree.describe_signal(number)}" if number else f"exit code {code}")
    return {"status": "Failed", "exit_code": code, "signal": number, "cause": cause}


def was_stopped(exits: list[dict[str, Any]], stop: dict[str, Any] | None) -> bool:
    """Whether a process was still there when it was asked to end: a request that came too late changes no outcome."""
    return stop is not None and any(exit_.get("mono_ns", 0) >= stop["asked_mono_ns"] for exit_ in exits)
