"""Sending a file to the collector: its bytes as a blob, which is kept there once, then its path in the run.

Reads from the file; writes to PUT /blobs/{sha256} and POST /runs/{run_id}/artifacts. A connection that breaks is opened again,
and the upload goes on where it was.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

from runyard.client import CollectorClient
from runyard.errors import CollectorBusy, CollectorRefused, CollectorUnreachable, InputError
from runyard.reader import run_path
from runyard.tracking.blobs import Kept

# So often in a row without a new byte: about a minute.
MOST_VAIN_TRIES = 8
LONGEST_WAIT_S = 15.0
CONTENT_TYPE = "application/octet-stream"
# The collector forgets a blob that no file had for a day: then it is sent once more.
MOST_ROUNDS = 3


@dataclass(slots=True)
class Tries:
    """Counts the failures in a row without progress, and waits between them."""

    reached_bytes: int = -1
    vain: int = 0

    def wait(self, error: CollectorBusy | CollectorUnreachable | CollectorRefused, come_bytes: int) -> None:
        """Wait before the next try; raises `error` where too many brought nothing. Blocks."""
        self.vain = 0 if come_bytes > self.reached_bytes else self.vain + 1
        self.reached_bytes = max(self.reached_bytes, come_bytes)
        if self.vain >= MOST_VAIN_TRIES:
            raise error
        backoff_s = min(0.1 * 2**self.vain, LONGEST_WAIT_S) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        time.sleep(max(backoff_s, getattr(error, "retry_after_s", 0.0)))


def put_file(client: CollectorClient, run_id: str, name: str, path: Path, kept: Kept) -> None:
    """Have the collector keep the file, whose digest is `kept`, as the run's file `name`. Raises CollectorError. Blocks."""
    tries = Tries()
    for last in range(MOST_ROUNDS - 1, -1, -1):
        _put_blob(client, path, kept)
        try:
            _enter(client, run_id, name, kept, tries)
        except CollectorRefused as error:
            if error.code != "no-such-blob" or not last:
                raise
        else:
            return


def _enter(client: CollectorClient, run_id: str, name: str, kept: Kept, tries: Tries) -> None:
    body = {"path": name, "sha256": kept.sha256, "size_bytes": kept.size_bytes}
    while True:
        try:
            client.json("POST", f"{run_path(run_id)}/artifacts", body)
        except (CollectorUnreachable, CollectorBusy) as error:
            tries.wait(error, 0)
        else:
            return


def _put_blob(client: CollectorClient, path: Path, kept: Kept) -> None:
    tries, offset = Tries(), 0
    while True:
        try:
            offset, is_whole = _come(client, kept.sha256)
            if is_whole or _send(client, path, kept, offset):
                return
        except (CollectorUnreachable, CollectorBusy) as error:
            tries.wait(error, offset)
        except CollectorRefused as error:
            if error.code not in ("offset", "taken-over"):
                raise _as_input(error, path) from error
            tries.wait(error, offset)


def _come(client: CollectorClient, sha256: str) -> tuple[int, bool]:
    """How many bytes of the blob the collector has, and whether those are all."""
    with client.stream("HEAD", f"/blobs/{sha256}") as response:
        return int(response.headers.get("Upload-Offset", "0")), response.headers.get("Upload-Complete") == "?1"


def _send(client: CollectorClient, path: Path, kept: Kept, offset: int) -> bool:
    target = f"/blobs/{kept.sha256}?offset={offset}&size_bytes={kept.size_bytes}"
    with path.open("rb") as file:
        file.seek(offset)
        left_bytes, whole_bytes = kept.size_bytes - offset, kept.size_bytes
        answer = client.upload(target, file, left_bytes, content_type=CONTENT_TYPE, whole_bytes=whole_bytes)
    return bool(answer["is_whole"])


def _as_input(error: CollectorRefused, path: Path) -> CollectorRefused | InputError:
    if error.code == "mismatch":
        return InputError(f"the file {path} changed while it was uploaded; upload it again when nobody writes it any more")
    return error
