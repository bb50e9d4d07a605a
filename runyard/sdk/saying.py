"""What the SDK says to whoever reads the training's output: lines on stderr, each once. Never raises."""

from __future__ import annotations

import sys
from contextlib import suppress

# Different lines of which it is remembered that they were said; beyond that none is said.
MOST_LINES = 1000
_said: set[str] = set()


def once(line: str) -> None:
    """Say `line` unless this process has said it."""
    if line in _said or len(_said) >= MOST_LINES:
        return
    _said.add(line)
    say(line)


def say(line: str) -> None:
    """Say `line`."""
    if sys.stderr is None:  # print would take stdout in its place, which is the program's
        return
    # stderr may be closed, full, gone, or in use by what a signal's handler interrupts: nothing that should end a training.
    with suppress(OSError, ValueError, AttributeError, RuntimeError):
        print(f"runyard: {line}", file=sys.stderr, flush=True)
