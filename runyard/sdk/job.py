"""The run that this process belongs to: a job of `runyard run`, or an offline run where there is none.

Reads from the variables that the agent gives to a job (RUNYARD_RUN_ID and others).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .run import Run


def get_context(allow_offline: bool) -> Run:
    """The run of this process; the same object each time."""
    raise NotImplementedError
