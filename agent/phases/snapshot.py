"""The code snapshot on a node: from the cache or the collector to the folder that the driver starts in.

Reads `<cache>/snapshots/<id>.tar` and the collector's snapshots; writes that cache and the run's code folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from runyard import names
from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorError, CollectorUnreachable, PhaseError
from runyard.snapshot import SUFFIX

from .snapshot_turn import turn
from .snapshot_unpack import unpack

__all__ = ["fetch", "unpack", "unpack_once"]

CACHE_DIR = "snapshots"
COPY_BYTES = 1 << 20
TRIES = 5
FIRST_PAUSE_S = 0.5
# So long the others wait until one has fetched, or unpacked, what they share.
LIMIT_S = 1800.0
_ID = re.compile(r"[0-9a-f]{64}\Z")


def fetch(
    snapshot_id: str, cache_dir: Path, client: CollectorClient | None, *, say: Callable[[str], None] = lambda text: None
) -> Path:
    """The archive in this node's cache, brought there from the collector where it is missing or broken. Blocks; verified."""
    if not _ID.match(snapshot_id):
        raise PhaseError(f"{snapshot_id[:80]!r} is no snapshot's id; that is a SHA-256 in 64 hexadecimal digits")
    folder = cache_dir / CACHE_DIR
    archive = folder / f"{snapshot_id}{SUFFIX}"
    try:
        folder.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        # Not one lock for each snapshot: the locks' files stay.
        with turn(folder / f".{snapshot_id[:2]}.lock", f"the snapshot {snapshot_id[:16]}", say=say, limit_s=LIMIT_S) as note:
            if not _is_whole(archive, snapshot_id):
                note.sign()
                _bring(snapshot_id, archive, client, say)
            with suppress(OSError):  # another user's
                os.utime(archive)  # used now: what is not is removed after a while
    except OSError as error:
        raise PhaseError(f"the snapshot {snapshot_id[:16]} cannot be kept in {folder}: {error.strerror}") from error
    return archive


def unpack_once(archive: Path, target: Path, say: Callable[[str], None], *, limit_s: float = LIMIT_S) -> bool:
    """Unpack it into `target` unless that was done, by whichever node that shares the folder; True where it was this one.

    Blocks while another node is at it, and takes over where that one dies. PhaseError after `limit_s`.
    """
    done = f"unpacked {archive.name}"
    try:
        target.parent.mkdir(mode=names.DIR_MODE, parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.unpacked")
        with turn(lock, f"the code to be unpacked into {target}", say=say, limit_s=limit_s) as note:
            if note.read() == done and target.is_dir():
                say(f"The code is unpacked already in {target}.")
                return False
            note.sign()
            unpack(archive, target, say)
            note.write(done)  # killed before this line, the next one unpacks afresh
    except OSError as error:
        raise PhaseError(f"the code cannot be unpacked into {target}: {error.strerror}") from error
    return True


def _bring(snapshot_id: str, archive: Path, client: CollectorClient | None, say: Callable[[str], None]) -> None:
    if client is None:
        raise PhaseError(
            f"the snapshot {snapshot_id} is not in this node's cache {archive.parent}, and the run has no collector to fetch it"
            " from; give the run a collector, or start it on the node where it was packed"
        )
    for number in range(1, TRIES + 1):
        trouble, pause_s = _receive(snapshot_id, archive, client), FIRST_PAUSE_S * 2 ** (number - 1)
        if not trouble:
            return
        if number < TRIES:
            say(f"The snapshot did not come ({trouble}); attempt {number + 1} of {TRIES} in {pause_s:g} s.")
            time.sleep(pause_s)
    raise PhaseError(f"the snapshot {snapshot_id} did not come from the collector at {client.url}: {trouble}", is_passing=True)


def _receive(snapshot_id: str, archive: Path, client: CollectorClient) -> str:
    """One try; why it failed, where another one may not."""
    temporary = archive.with_suffix(".part")
    digest = hashlib.sha256()
    try:
        with client.stream("GET", f"/snapshots/{snapshot_id}") as response, temporary.open("wb", buffering=0) as file:
            while data := client.read(response, COPY_BYTES):
                file.write(data)
                digest.update(data)
            os.fdatasync(file.fileno())
    except (CollectorUnreachable, CollectorBusy) as error:
        return str(error)
    except CollectorError as error:
        raise PhaseError(f"the collector at {client.url} does not give the snapshot {snapshot_id}: {error}") from error
    if digest.hexdigest() != snapshot_id:
        return f"what came has the SHA-256 {digest.hexdigest()}"
    temporary.rename(archive)
    return ""


def _is_whole(archive: Path, snapshot_id: str) -> bool:
    try:
        with archive.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == snapshot_id
    except FileNotFoundError:
        return False
