"""The runs on this machine that this process has started: the collector may not know of one yet."""

from __future__ import annotations

import subprocess

_senders: dict[str, subprocess.Popen[bytes]] = {}


def started(run_id: str, sender: subprocess.Popen[bytes]) -> None:
    """Keep who wraps the run, and sends it to the collector."""
    _senders[run_id] = sender


def sender_of(run_id: str) -> subprocess.Popen[bytes] | None:
    """The process that wraps the run, if this one has started it."""
    return _senders.get(run_id)


def is_on_its_way(run_id: str) -> bool:
    """Whether the collector may yet learn of the run. To be asked before the collector: the run may come and end meanwhile."""
    sender = _senders.get(run_id)
    return sender is not None and sender.poll() is None
