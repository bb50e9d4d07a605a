"""Submitting a run before it starts: its code is packed, the collector is told of the run and gets the code.

Reads the code's folder and the settings; writes the snapshot to the node's cache, and run and snapshot to the collector. `say`
tells people. A collector that is away or refuses for now keeps no run from taking place: its spool is sent later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from runyard import names
from runyard.errors import CollectorError, CollectorRefused
from runyard.settings import Settings

from .spool import NewRun, RunSpec

# Limit for one answer while the code is sent.
SEND_TIMEOUT_S = 60.0


def packed(spec: RunSpec, settings: Settings, say: Callable[[str], None]) -> RunSpec:
    """The run with its code packed into the node's cache; raises InputError where it cannot be."""
    if spec.spec is None or not spec.spec.code or spec.snapshot is not None:
        return spec
    from runyard.snapshot import pack

    archives = _archives(settings)
    archives.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    limit = settings.environment.max_snapshot_bytes
    ours = (Path(settings.spool.dir).expanduser().absolute(), archives.parent)
    return replace(spec, snapshot=pack(Path(spec.spec.code), archives, max_bytes=limit, say=say, leave_out=ours))


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
    snapshot = spec.snapshot
    if snapshot is None:
        return
    from runyard.client import CollectorClient
    from runyard.snapshot import send

    client = CollectorClient(settings.client.collector_url, settings.token, timeout_s=SEND_TIMEOUT_S)
    try:
        send(snapshot, _archives(settings) / f"{snapshot.id}.tar", client)
    except CollectorError as error:
        say(f"the code is not at the collector: {error}; this node has it, and the run takes place")
    finally:
        client.close()


def _archives(settings: Settings) -> Path:
    return Path(settings.environment.cache_dir).expanduser().absolute() / "snapshots"
