"""Ids of runs and names of experiments as people give them: a new one, and the check of one that was given.

Reads the clock; writes nothing. Standard library only.
"""

from __future__ import annotations

import os
import time

from . import names
from .errors import InputError


def fresh_run_id(experiment: str) -> str:
    """The id of a run that nobody has named: <experiment>_<unix seconds>_<8 hex>."""
    tail = f"_{int(time.time())}_{os.urandom(4).hex()}"
    return experiment[: names.MAX_RUN_ID_LENGTH - len(tail)] + tail


def checked_id(text: str, what: str) -> str:
    """`text`, which names a run or an experiment; InputError where it cannot."""
    why = names.why_bad_run_id(text)
    if why:
        raise InputError(f"{what} {text!r} {why}")
    return text
