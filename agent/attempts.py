"""Which end of a run on this node is followed by another attempt (--max-restarts), and where attempts lie in the spool.

Reads run.json, state.json and stop.json of an attempt; renames what tells that it was shipped. All of it is on disk, so that
the wrapper and whoever ships come to the same.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from runyard import names
from runyard.atomic import read_json

from .stop import read_stop

# A training that fails is started again; what could not be built or fetched was tried again already.
_STARTED_AGAIN = ("rendezvous", "driver")
MOST_OF_CAUSE = 1000


def may_follow(run_dir: str, run: dict[str, Any]) -> bool:
    """Whether the attempt has ended so that another one is due: by a failure, here or on another node."""
    state = read_json(f"{run_dir}/{names.STATE_FILE}")
    if not isinstance(state, dict) or not state.get("ended_ns") or not is_left(run):
        return False
    stop = read_stop(run_dir)
    if stop is not None and not stop["is_failure"]:
        return False
    failure = state.get("failure")
    if failure and failure["phase"] not in _STARTED_AGAIN:
        return False
    return state["status"] == "Failed" or (state["status"] == "Canceled" and stop is not None)


def is_left(run: dict[str, Any]) -> bool:
    """Whether the run may be started once more."""
    return bool(run.get("attempt", 0) < (run.get("distribution") or {}).get("max_restarts", 0))


def is_followed(run_dir: str, run: dict[str, Any]) -> bool:
    """Whether the next attempt is there."""
    following = names.attempt_dir(run["run_id"], run.get("attempt", 0) + 1)
    return Path(run_dir).parent.joinpath(following, names.RUN_FILE).exists()


def settle(run_dir: str) -> None:
    """The next attempt is there: if this one was shipped, nobody has to look at it again."""
    with suppress(FileNotFoundError):
        Path(run_dir, names.SHIPPED_SO_FAR_FILE).replace(Path(run_dir, names.SHIPPED_FILE))


def ended(run: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """How an attempt ended, as the next one's run.json and the collector have it."""
    told = {key: state.get(key) for key in ("status", "exit_code", "started_ns", "ended_ns")}
    return {"attempt": run.get("attempt", 0)} | told | {"cause": str(state.get("cause") or "")[:MOST_OF_CAUSE]}
