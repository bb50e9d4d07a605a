"""What a node tells of its phases is kept and shown: of the node, of the run, in lists, and after a restart."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from runyard.collector.messages import NodeStatus
from tests.collector.node import Node, call
from tests.collector.test_follow import until, values
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

LOG = "azureml-logs/65_job_prep-x.txt"
FAILURE = {"phase": "preparation", "cause": "the data are not there: \udcff", "log": LOG, "start": 10, "end": 90}


def moments(*words: tuple[str, str, int]) -> list[dict[str, Any]]:
    """Transitions as they go over the wire."""
    return [{"status": status, "phase": phase, "wall_ns": wall_ns} for status, phase, wall_ns in words]


TOLD = moments(("Starting", "", 1), ("Preparing", "preparation", 2), ("Finalizing", "release", 3), ("Failed", "release", 4))


def test_phase_failure_and_transitions_are_shown_of_node_and_run(collector: CollectorProcess) -> None:
    node = Node(collector, experiment="phases")
    node.put_state("Preparing", phase="preparation", transitions=TOLD[:2])
    run = node.run()
    assert (run["status"], run["phase"], run["failure"], run["transitions"]) == ("Preparing", "preparation", None, TOLD[:2])
    node.put_state("Finalizing", phase="release", failure=FAILURE, transitions=TOLD)
    collector.restart()
    run = node.run()
    for shown in (run, run["nodes"][0]):
        assert (shown["status"], shown["phase"], shown["failure"]) == ("Finalizing", "release", FAILURE)
        assert shown["transitions"] == TOLD
    node.put_state("Failed", phase="release", failure=FAILURE, transitions=TOLD, is_complete=True)
    (listed,) = node.client.json("GET", "/runs", params={"experiment": "phases"})["runs"]
    assert (listed["status"], listed["phase"], listed["failure"]) == ("Failed", "release", FAILURE)
    assert not {"transitions", "nodes", "processes"} & set(listed)


def test_a_run_of_two_nodes_tells_its_own_transitions(collector: CollectorProcess) -> None:
    first = Node(collector)
    second = Node(collector, run_id=first.run_id, create=False, ip="10.0.0.2")
    told = [
        moments(("Starting", "", 1), ("Running", "driver", 3), ("Completed", "release", 5)),
        moments(("Starting", "", 2), ("Preparing", "preparation", 4), ("Failed", "release", 6)),
    ]
    first.put_state("Completed", phase="release", transitions=told[0], ended_ns=5)
    assert first.run()["transitions"][-1] == {"status": "Running", "phase": "", "wall_ns": 5}
    second.put_state("Failed", phase="release", transitions=told[1], failure=FAILURE, ended_ns=6)
    run = first.run()
    assert (run["status"], run["phase"], run["failure"]) == ("Failed", "release", FAILURE)
    expected = moments(("Starting", "", 1), ("Running", "driver", 3), ("Running", "preparation", 5), ("Failed", "release", 6))
    assert run["transitions"] == expected
    assert {node["node_id"]: node["transitions"] for node in run["nodes"]} == {
        first.node_id: told[0],
        second.node_id: told[1],
    }


def test_a_node_of_an_earlier_version_takes_nothing_from_what_the_others_tell(collector: CollectorProcess) -> None:
    old = Node(collector)
    new = Node(collector, run_id=old.run_id, create=False, ip="10.0.0.2")
    old.put_state("Running", started_ns=1)
    new.put_state("Preparing", phase="preparation", transitions=TOLD[:2])
    run = old.run()
    assert (run["status"], run["transitions"]) == ("Running", TOLD[:2])


def test_every_status_is_taken_found_and_followed(collector: CollectorProcess) -> None:
    node = Node(collector, experiment="statuses")
    statuses = [status for status in get_args(NodeStatus) if status != "NotStarted"]
    with node.follow() as events:
        assert values(until(events, "status"), "status") == [{"status": "NotStarted"}]
        for status in statuses:
            node.put_state(status, is_complete=status == statuses[-1])
            assert values(until(events, "status"), "status") == [{"status": status}]
            query = {"experiment": "statuses", "status": status}
            assert [run["run_id"] for run in node.client.json("GET", "/runs", params=query)["runs"]] == [node.run_id]


def test_a_silent_node_in_preparation_does_not_respond_and_that_is_no_transition(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__LOST_CONTACT_S": "1"}) as collector:
        node = Node(collector)
        node.put_state("Preparing", phase="preparation", transitions=TOLD[:2])
        wait_for(lambda: node.run()["status"] == "NotResponding", "that the node counts as lost")
        assert node.run()["transitions"] == TOLD[:2]
        assert node.run()["nodes"][0]["status"] == "Preparing"
        node.put_state("Preparing", phase="preparation", transitions=TOLD[:2])
        assert node.run()["status"] == "Preparing"


@pytest.mark.parametrize(
    "wrong",
    [
        {"phase": "nap"},
        {"failure": {"phase": "image"}},
        {"failure": FAILURE | {"start": -1}},
        {"failure": FAILURE | {"more": 1}},
        {"transitions": [{"status": "Lost", "phase": "", "wall_ns": 1}]},
        {"transitions": [{"status": "NotResponding", "phase": "", "wall_ns": 1}]},
        {"transitions": TOLD[:1] * 1001},
    ],
)
def test_what_is_no_phase_failure_or_transition_is_refused(collector: CollectorProcess, wrong: dict[str, Any]) -> None:
    node = Node(collector)
    target = f"/api/v1/runs/{node.run_id}/nodes/{node.node_id}/state"
    answer = call(collector, "PUT", target, {"seq": 1, "status": "Preparing"} | wrong)
    assert (answer.status, answer.json["code"]) == (400, "invalid")
    assert node.run()["status"] == "NotStarted"


def test_a_failure_without_a_place_in_a_log_and_a_thousand_transitions_are_taken(collector: CollectorProcess) -> None:
    node = Node(collector)
    many = moments(*(("Preparing", ("image", "preparation")[number % 2], number) for number in range(1000)))
    failure = {"phase": "image", "cause": "no such image", "log": None, "start": None, "end": None}
    node.put_state("Failed", failure=failure, transitions=many)
    assert node.run()["failure"] == failure
    assert node.run()["transitions"] == many


def test_many_nodes_with_many_transitions_are_shown_at_once(collector: CollectorProcess) -> None:
    nodes = [Node(collector, ip="10.2.0.0", node_id="many-nodes-0")]
    for number in range(1, 100):
        nodes.append(
            Node(collector, run_id=nodes[0].run_id, create=False, ip=f"10.2.0.{number}", node_id=f"many-nodes-{number}")
        )
    for number, node in enumerate(nodes):
        words = ((("Preparing", "Running")[at % 2], ("preparation", "driver")[at % 2], at * 100 + number) for at in range(100))
        node.put_state("Running", phase="driver", transitions=moments(*words))
    begun = time.monotonic()
    assert nodes[0].run()["transitions"][-1]["status"] == "Running"
    assert time.monotonic() - begun < 2


def test_the_catalog_of_an_earlier_version_is_brought_up(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        node = Node(collector)
        node.put_state("Running", started_ns=5)
        collector.stop()
        database = sqlite3.connect(collector.data_dir / "collector.sqlite3")
        with database:
            # Indexes of later versions, some of them in place of the first one's.
            for index in ("parent_run_id_deleted_ms_created_ns_run_id", "of_experiment", "experiment_number"):
                database.execute(f"DROP INDEX ix_runs_{index}")
            database.execute("CREATE INDEX ix_runs_experiment ON runs (experiment)")
            for table, column in (("runs", "phase"), ("runs", "failure"), ("nodes", "phase"), ("nodes", "failure")):
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            for column in (
                "node_count",
                "world_size",
                "on_failure",
                "failure_grace_s",
                "attempt",
                "creator",
                "secret",
                "failed_ns",
                "cancel_ns",
                "cancel_reason",
                "settled",
                "is_pinned",
                "removed_ns",
                "removed_why",
                "parent_run_id",
                "kind",
                "is_client_run",
                "said_ms",
                "hint",
                "deleted_ms",
                "number",
                "goal",
                "best_run_id",
                "best_value",
            ):
                database.execute(f"ALTER TABLE runs DROP COLUMN {column}")
            for table, column in (
                ("nodes", "attempt"),
                ("nodes", "earlier"),
                ("nodes", "clock"),
                ("nodes", "failed_ns"),
                ("processes", "ended_mono_ns"),
                ("processes", "evidence"),
                ("tokens", "expires_ns"),
                ("tokens", "uses_left"),
            ):
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
            database.execute("ALTER TABLE nodes DROP COLUMN transitions")
            first = {"runs", "tags", "nodes", "processes", "streams", "gaps", "seals", "tokens", "alembic_version"}
            for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if table not in first and not table.startswith("sqlite_"):
                    database.execute(f"DROP TABLE {table}")
            database.execute("UPDATE alembic_version SET version_num = '0001'")
        database.close()
        collector.start()
        run = node.run()
        assert (run["status"], run["started_ns"], run["phase"], run["failure"]) == ("Running", 5, "", None)
        assert (run["experiment"], run["number"]) == (node.experiment, 1)
        assert (run["transitions"], run["nodes"][0]["transitions"]) == ([], [])
        node.put_state("Finalizing", phase="release", failure=FAILURE, transitions=TOLD)
        assert node.run()["failure"] == FAILURE
