"""Runs whose files retention has taken away, as fast as a collector can be told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.collector.node import Node
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

_ENVIRON = {
    "RUNYARD_COLLECTOR__KEEP_RUNS_S": "0.5",
    "RUNYARD_COLLECTOR__REMOVE_INTERVAL_S": "0.2",
    "RUNYARD_COLLECTOR__LOST_CONTACT_S": "1",
}
WHY = "it had ended more than 0.5 s before (collector.keep_runs_s)"


@contextmanager
def forgetful_collector(folder: Path) -> Iterator[CollectorProcess]:
    """A collector that keeps files for half a second."""
    with running_collector(folder, environ=_ENVIRON) as collector:
        yield collector


def removed_run(collector: CollectorProcess, *, experiment: str = "default") -> Node:
    """A completed run at a forgetful collector, whose log of 6 bytes has been removed."""
    node = Node(collector, run_id="gone", experiment=experiment)
    stream = node.open_one()
    node.send(stream, 0, b"hello\n")
    node.seal(stream, b"hello\n")
    node.complete()
    wait_for(lambda: node.run()["removed_ns"], "the files are removed")
    return node
