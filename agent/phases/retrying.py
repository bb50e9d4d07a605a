"""Trying something again that a registry did not give or take, with a growing pause in between; each attempt has its number in
the log."""

from __future__ import annotations

import time
from collections.abc import Callable

from .phase import Phase
from .words import UNREACHABLE, Refusal

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


def repeat(phase: Phase, what: str, retries: int, attempt: Callable[[], Refusal | None]) -> Refusal | None:
    """Call `attempt` until it gives None, or a refusal that stays, or for the last time; its last answer. Blocks."""
    total = retries + 1
    for number in range(1, total + 1):
        phase.say(f"{what}, attempt {number} of {total}.")
        refusal = attempt()
        if refusal is None or refusal.kind != UNREACHABLE or number == total:
            return refusal
        pause_s = min(FIRST_PAUSE_S * 2 ** (number - 1), LONGEST_PAUSE_S)
        phase.say(f"Attempt {number} of {total} failed ({refusal.reason}); the next one in {pause_s:g} s.")
        time.sleep(pause_s)
    return None
