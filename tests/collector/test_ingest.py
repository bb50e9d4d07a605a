"""What a node sends arrives byte for byte, exactly once, whatever is sent again, cut off or wrong."""

from __future__ import annotations

import json

from tests.collector.node import LOG, Node, data_of
from tests.collector_process import CollectorProcess


def test_a_run_goes_from_creation_to_its_end(collector: CollectorProcess) -> None:
    node = Node(collector)
    stream = node.open_one()
    assert node.send(stream, 0, b"hello\n", sync=True) == {"id": stream, "offset": 6, "durable": 6}
    node.put_state("Running", started_ns=1)
    assert node.seal(stream, b"hello\n")["result"] == "sealed"
    node.complete()
    events = node.followed()
    assert [event.name for event in events] == ["open", "status", "data", "end"]
    assert data_of(events) == b"hello\n"
    assert json.loads(events[-1].data) == {"status": "Completed", "exit_code": 0}
    assert node.file(LOG).data == b"hello\n"
    assert node.on_disk(LOG) == b"hello\n"
