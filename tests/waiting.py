"""Waiting for a condition, in place of sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

LIMIT_S = 30.0
LOOK_S = 0.005


def wait_for(look: Callable[[], T], what: str, *, limit_s: float = LIMIT_S) -> T:
    """The first true value that `look` gives; fails after `limit_s`."""
    deadline_s = time.monotonic() + limit_s
    while not (value := look()):
        assert time.monotonic() < deadline_s, f"not within {limit_s:g} s: {what}"
        time.sleep(LOOK_S)
    return value
