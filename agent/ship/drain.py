"""What the release of a run waits for: how far its logs are shipped, told to the shepherd.

Reads the shipper's own knowledge; writes .runyard/drain.json. A crash leaves the last word, which the next shipper replaces.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from runyard import names
from runyard.atomic import write_json

# Between two words while bytes are still to be sent.
TELL_S = 0.5


class Drain:
    """Belongs to the shipper's thread."""

    def __init__(self, run_dir: str) -> None:
        self._path = f"{run_dir}/{names.DRAIN_FILE}"
        self._told_s = 0.0
        self._is_drained = False

    @property
    def is_due(self) -> bool:
        """Whether it is time to say again how far it is."""
        return time.monotonic() >= self._told_s + TELL_S

    @property
    def is_over(self) -> bool:
        """Whether it was said that all is shipped, and that word is there to be read."""
        return self._is_drained and os.path.exists(self._path)  # noqa: PTH110 - many times a second

    def tell(self, durable_bytes: int, unsent_bytes: int, trouble: str, *, is_drained: bool) -> None:
        """Say how far it is. A full disk keeps the word back; release does not wait for ever."""
        word = {"durable_bytes": durable_bytes, "unsent_bytes": unsent_bytes, "trouble": trouble, "is_drained": is_drained}
        with suppress(OSError):
            write_json(self._path, word, durable=False)
        self._told_s = time.monotonic()
        self._is_drained = is_drained
