"""Start: `runyard run -- true` against a running collector, on top of starting Python three times."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from .processes import RUNYARD, collector, run
from .result import Result

BAR_S = 0.5


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields the wall time that is not Python's own start; `anchor` is that of three Pythons."""
    del size_bytes
    over, anchors = [], []
    with collector(folder / "data") as server:
        env = server.environment(folder / "spool")
        for _ in range(max(5, rounds)):
            pythons_s = sum(run([sys.executable, "-c", "pass"]).wall_s for _ in range(3))
            usage = run([*RUNYARD, "run", "--", "true"], env=env)
            assert usage.code == 0
            over.append(usage.wall_s - pythons_s)
            anchors.append(pythons_s)
    value, anchor = sorted(over)[len(over) // 2], sorted(anchors)[len(anchors) // 2]
    yield Result("start.over_three_pythons", value, "s", BAR_S)
    yield Result("start.three_pythons", anchor, "s", None)
