"""Several attempts at one run, as the collector hears of them: a later one is the run, an earlier one changes it no more."""

from __future__ import annotations

import secrets
from typing import Any

from tests.collector.node import LOG, Node
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .test_rendezvous import Member, refusal

FAILED = {"rank": 1, "status": "Failed", "exit_code": 3}
EARLIER = {"attempt": 0, "status": "Failed", "exit_code": 3, "cause": "exit code 3", "started_ns": 1, "ended_ns": 2}


def pair(collector: CollectorProcess) -> tuple[Member, Member]:
    """Two nodes of a run that run; the second one's rank has then failed."""
    run_id = "again-" + secrets.token_hex(4)
    first, second = (Member(collector, run_id, rank).register() for rank in (0, 1))
    for node in (first, second):
        node.meet()
        node.put_state("Running", phase="driver")
    second.put_state("Finalizing", phase="release", processes=[FAILED])
    return first, second


def part(node: Node) -> dict[str, Any]:
    """The node in the answer about its run."""
    return next(one for one in node.run()["nodes"] if one["node_id"] == node.node_id)


def test_a_word_of_an_earlier_attempt_that_comes_late_changes_nothing_but_its_files(collector: CollectorProcess) -> None:
    node = Node(collector)
    node.put_state("Finalizing", cause="exit code 3", exit_code=3)
    late = node.open_one()
    node.seq = 0  # the next attempt counts from the start
    node.put_state("Running", attempt=1, earlier=[EARLIER])
    node.seq = 100
    node.put_state("Failed", cause="exit code 3", exit_code=3, is_complete=True)
    node.send(late, 0, b"of the first attempt\n", sync=True)
    run = node.run()
    assert (run["status"], run["attempt"], run["cause"], run["is_complete"]) == ("Running", 1, "", False)
    assert part(node)["earlier"] == [EARLIER]
    assert node.on_disk(LOG) == b"of the first attempt\n"


def test_each_attempt_lists_its_own_streams(collector: CollectorProcess) -> None:
    node = Node(collector)
    first, second = node.open_one(), node.open(LOG, attempt=1)[0]["id"]
    path = f"/runs/{node.run_id}/streams?node_id={node.node_id}"
    listed = [
        [one["id"] for one in node.client.json("GET", path + more)["streams"]] for more in ("", "&attempt=0", "&attempt=1")
    ]
    assert listed == [[first, second], [first], [second]]


def test_what_failed_an_attempt_does_not_keep_the_nodes_from_meeting_in_the_next_one(collector: CollectorProcess) -> None:
    first, second = pair(collector)
    assert second.meet(attempt=1).status == 200
    second.put_state("Starting", phase="rendezvous", attempt=1, earlier=[EARLIER])
    assert first.meet(attempt=1).json["is_whole"]
    first.put_state("Running", phase="driver", attempt=1)
    assert first.put_state("Running", phase="driver", attempt=1)["stop"] is None


def test_a_node_that_still_runs_an_earlier_attempt_is_asked_to_end(collector: CollectorProcess) -> None:
    first, second = pair(collector)
    second.put_state("Starting", phase="rendezvous", attempt=1)
    stop = first.stop()
    assert stop["is_failure"]
    assert "attempt 1" in stop["reason"]


def test_who_comes_to_meet_in_an_earlier_attempt_is_told_of_the_newer_one(collector: CollectorProcess) -> None:
    run_id = "again-" + secrets.token_hex(4)
    first, second = (Member(collector, run_id, rank).register() for rank in (0, 1))
    second.put_state("Starting", phase="rendezvous", attempt=1)
    assert refusal(first.meet()) == (409, "run-failed")


def test_a_run_on_several_nodes_is_over_only_when_all_have_ended_the_newest_attempt(collector: CollectorProcess) -> None:
    first, second = pair(collector)
    first.complete()
    assert first.run()["status"] == "Finalizing"
    second.put_state("Starting", attempt=1)
    assert first.run()["status"] == "Starting"
    second.put_state("Completed", attempt=1, exit_code=0, is_complete=True)
    assert first.run()["status"] == "Running"  # the first node has yet to come
    first.put_state("Completed", attempt=1, exit_code=0, is_complete=True)
    run = first.run()
    assert (run["status"], run["cause"], run["attempt"]) == ("Completed", "", 1)
    wait_for(lambda: first.run()["is_complete"], "its overall logs")


def test_where_the_others_have_failed_a_node_that_never_came_again_is_not_waited_for(collector: CollectorProcess) -> None:
    first, second = pair(collector)
    first.complete()
    second.put_state("Failed", attempt=1, cause="rendezvous failed", is_complete=True)
    assert first.run()["status"] == "Failed"
