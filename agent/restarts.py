"""`runyard run` with --max-restarts: one attempt at the run after another, each in a folder of its own in the spool.

Reads from the spool and, where the run has several nodes, from the collector; writes to the spool. What survives its kill -9:
the attempt that runs, which then is the last one; whoever adopts its folder ships it and tells how it ended.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from runyard import names
from runyard.client import CollectorClient, path_segment
from runyard.errors import CollectorError, RunyardError
from runyard.settings import Settings

from . import attempts
from .spool import RunSpec
from .wrapper import Wrapper, say

FINAL = ("Completed", "Failed", "Canceled")
ASK_S = 1.0
TIMEOUT_S = 5.0
# How long a collector that is away may keep somebody who waits for us at the very end.
LAST_PATIENCE_S = 1.0


def main(spec: RunSpec, settings: Settings, *, patience_s: float | None = None) -> int:
    """Blocks until the run is over on this node for good; returns the last attempt's exit code. `patience_s`: how long a
    collector that is away may keep us at the very end; None: as for somebody who waits."""
    done: list[Wrapper] = []
    wrapper = Wrapper(spec, settings)
    code = wrapper.main()
    while _goes_on(wrapper, settings):
        following = _next(wrapper, settings)
        if following is None:
            break
        done.append(wrapper)
        wrapper = following
        code = wrapper.main()
    is_reached = bool(settings.client.collector_url)
    for one in [wrapper, *done]:
        is_reached = is_reached and _ship_rest(one, settings, LAST_PATIENCE_S if patience_s is None else patience_s)
        one.new.lock.release()
    return code


def _next(wrapper: Wrapper, settings: Settings) -> Wrapper | None:
    """The next attempt's wrapper; None where its folder cannot be made."""
    run, state = wrapper.new.description, wrapper.state
    earlier = attempts.ended(run, state)
    spec = replace(wrapper.new.spec, attempt=earlier["attempt"] + 1, earlier=(*wrapper.new.spec.earlier, earlier))
    most = run["distribution"]["max_restarts"]
    why = f": {earlier['cause']}" if earlier["cause"] else ""
    say(f"attempt {earlier['attempt']} has ended, {earlier['status']}{why}; attempt {spec.attempt} (of {most}) starts")
    try:
        return Wrapper(spec, settings, follows=wrapper)
    except RunyardError as error:
        say(f"the run is not started again: {error}")
        return None


def _goes_on(wrapper: Wrapper, settings: Settings) -> bool:
    """Whether another attempt is due; of several nodes, one whose processes ended well waits for the others."""
    run = wrapper.new.description
    if wrapper.is_asked_to_stop or not attempts.is_left(run):
        return False
    is_alone = run["distribution"]["node_count"] == 1
    if attempts.may_follow(str(wrapper.new.run_dir), run):
        return is_alone or not _is_over(_asked(run, settings))
    if is_alone or wrapper.state.get("status") != "Completed":
        return False
    say("the processes of this node have ended well; waiting for the run's other nodes, which may need another attempt")
    while not wrapper.is_asked_to_stop:
        found = _asked(run, settings)
        if found.get("attempt", 0) > run["attempt"]:
            return True
        if _is_over(found):
            return False
        time.sleep(ASK_S)
    return False


def _asked(run: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The run as the collector knows it; empty where it cannot be asked."""
    client = CollectorClient(settings.client.collector_url, run["run_token"], timeout_s=TIMEOUT_S)
    try:
        found = client.json("GET", f"/runs/{path_segment(run['run_id'])}")
    except CollectorError:
        return {}
    finally:
        client.close()
    return found if isinstance(found, dict) else {}


def _is_over(found: dict[str, Any]) -> bool:
    """Whether the run has ended, or somebody has canceled it on any of its nodes."""
    told = [found.get("status"), *(node["status"] for node in found.get("nodes", []))]
    return told[0] in FINAL or any(status in ("CancelRequested", "Canceled") for status in told)


def _ship_rest(wrapper: Wrapper, settings: Settings, patience_s: float) -> bool:
    """Ship what is left of an attempt; of the last one, tell its end as the run's. False where the collector is away."""
    run_dir, lock = wrapper.new.run_dir, wrapper.new.lock
    try:
        if (run_dir / names.SHIPPED_FILE).exists() or not (lock.is_held or lock.acquire()):
            return True
        from .ship.shipper import Shipper

        shipper = Shipper(run_dir, settings.client.collector_url, settings.token, settings.ship, on_trouble=lambda _: None)
        shipper.run(threading.Event(), is_once=True, patience_s=patience_s)
    except (OSError, RunyardError) as error:
        say(f"what is left in {run_dir} is not sent ({error}); `runyard ship` sends it")
        return True
    return shipper.is_settled
