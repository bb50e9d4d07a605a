"""The code of a run, packed into this machine's cache and sent to the collector, whoever submits the run.

Reads the code's folder and the settings; writes the archive to the cache, and to the collector.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import names
from .client import CollectorClient
from .settings import Settings
from .spec import Snapshot

# Limit for one answer while the code is sent.
SEND_TIMEOUT_S = 60.0


def pack_code(code: str, settings: Settings, say: Callable[[str], None]) -> Snapshot:
    """The folder `code`, packed into the cache; raises InputError where it cannot be. Blocks."""
    from .snapshot import pack

    archives = _archives(settings)
    archives.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
    limit = settings.environment.max_snapshot_bytes
    ours = (Path(settings.spool.dir).expanduser().absolute(), archives.parent)
    return pack(Path(code), archives, max_bytes=limit, say=say, leave_out=ours)


def send_code(snapshot: Snapshot, settings: Settings) -> None:
    """Send what `pack_code` has packed, unless the collector of these settings has it. Blocks; raises CollectorError."""
    from .snapshot import send

    client = CollectorClient(settings.client.collector_url, settings.token, timeout_s=SEND_TIMEOUT_S)
    try:
        send(snapshot, _archives(settings) / f"{snapshot.id}.tar", client)
    finally:
        client.close()


def _archives(settings: Settings) -> Path:
    return Path(settings.environment.cache_dir).expanduser().absolute() / "snapshots"
