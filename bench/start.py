"""Start: `runyard run -- true` against a running collector, on top of starting Python three times."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .processes import RUNYARD, collector, run
from .result import Result

BAR_S = 0.5
EXCEPTHOOK_BAR_S = 0.002


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
    yield from _excepthook(folder, max(40, rounds))


def _excepthook(folder: Path, rounds: int) -> Iterator[Result]:
    """What the hook that notes exceptions adds to the start of a Python driver; the anchor is `python -c pass`."""
    hook = Path(__file__).parents[1] / "agent" / "excepthook"
    # Bytecode is kept, as it is where Runyard is installed, but not in the repository.
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    plain["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    hooked = plain | {"PYTHONPATH": str(hook), "RUNYARD_EXCEPTION_FILE": str(folder / "exceptions.jsonl")}
    taken: list[list[float]] = [[], []]
    for _ in range(rounds + 1):
        for times, env in zip(taken, (plain, hooked), strict=True):
            times.append(run([sys.executable, "-c", "pass"], env=env).wall_s)
    without, with_hook = (sorted(times[1:])[rounds // 2] for times in taken)
    yield Result("start.excepthook_adds", with_hook - without, "s", EXCEPTHOOK_BAR_S)
    yield Result("start.python", without, "s", None)
