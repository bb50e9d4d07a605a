"""Submitting a run before it starts: its code is packed, the collector is told of the run and gets the code.

Reads the code's folder and the settings; writes the snapshot to the node's cache, and run and snapshot to the collector. `say`
tells people. A collector that is away or refuses for now keeps no run from taking place: its spool is sent later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runyard.errors import CollectorError, CollectorRefused
from runyard.settings import Settings

from .spool import NewRun, RunSpec


def packed(spec: RunSpec, settings: Settings, say: Callable[[str], None]) -> RunSpec:
    """The run with its code packed into the node's cache; raises InputError where it cannot be."""
    if spec.spec is None or not spec.spec.code or spec.snapshot is not None:
        return spec
    from runyard.code_cache import pack_code

    return replace(spec, snapshot=pack_code(spec.spec.code, settings, say))


def submit(new: NewRun, settings: Settings, say: Callable[[str], None]) -> bool:
    """Tell the collector of the run and send its code; False where it does not know of the run now. Blocks.

    Raises CollectorRefused where it will never take this run.
    """
    client = settings.client
    if not client.collector_url:
        say(f"no collector is configured; the logs stay in {new.run_dir}, `runyard ship` sends them later")
        return False
    from .ship.register import REFUSED_FOR_GOOD, register

    try:
        register(new.description, client.collector_url, settings.token, timeout_s=settings.run.connect_timeout_s)
    except CollectorError as error:
        if isinstance(error, CollectorRefused) and (error.code in REFUSED_FOR_GOOD or error.code == "invalid"):
            raise
        say(f"{error}; the training runs, and its logs stay in {new.run_dir} until they can be sent (`runyard ship`)")
        return False
    _send_code(new.spec, settings, say)
    return True


def _send_code(spec: RunSpec, settings: Settings, say: Callable[[str], None]) -> None:
    if spec.snapshot is None:
        return
    from runyard.code_cache import send_code

    try:
        send_code(spec.snapshot, settings)
    except CollectorError as error:
        say(f"the code is not at the collector: {error}; this node has it, and the run takes place")
