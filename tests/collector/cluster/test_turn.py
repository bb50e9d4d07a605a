"""A turn of the queue costs no look at what is over, and takes nothing from nodes that could not have spoken."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from runyard.collector import auth, catalog, schema
from runyard.collector.auth import NewToken, Principal
from runyard.collector.cluster import cancel, dispatch, planning, queue, registry, submitting
from runyard.collector.cluster.contact import Contact
from runyard.collector.cluster.messages import Capacity, Heartbeat, JoinCluster, Order, RunOnNode, SubmitRun
from runyard.collector.database import Database, open_database
from runyard.collector.hub import Hub
from runyard.collector.messages import CreateRun
from runyard.collector.pulse import Pulse
from runyard.collector.rendezvous import Meetings
from runyard.collector.repeats import Repeats
from runyard.settings import Collector
from tests.collector.node import sha256

NODE_ID = "node-0001"
SETTINGS = Collector()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database("", tmp_path, lambda: None)
    yield opened
    opened.close()


def prepare(connection: Connection) -> None:
    """A node, which has one run that it was admitted to, and another run that waits."""
    join = NewToken("join", sha256(b"join"))
    registry.make_join_token(connection, "c", join, 1, time.time_ns() + 10**15)
    wanted = JoinCluster(
        node_id=NODE_ID, machine=sha256(b"machine"), hostname="host", ip="127.0.0.1", agent_version="1",
        capacity=Capacity(cpus=4.0, memory_bytes=1 << 30),
    )  # fmt: skip
    registry.join(connection, "c", join.sha256, wanted, NewToken("own", sha256(b"own")), is_silent=False)
    for run_id in ("first", "waits"):
        asked = SubmitRun(run_id=run_id, order=Order(spec={"command": ["true"]}))
        submitting.submit(connection, "c", asked, Principal("user", "ada", ""))
    planning.turn(connection, time.time_ns(), (), (), SETTINGS)
    part = CreateRun(
        run_id="first", experiment="default", key="k" * 32, run_token_sha256=sha256(b"run"), created_ns=0, command=["true"],
        node_id=NODE_ID, attempt=0,
    )  # fmt: skip
    catalog.create_run(connection, part, Principal(auth.NODE, NODE_ID, ""))


def first_freed_ns(connection: Connection) -> int | None:
    found: int | None = connection.execute(
        sa.select(schema.placements.c.freed_ns).filter_by(run_id="first", attempt=0)
    ).scalar_one()
    return found


def test_no_turn_reads_runs_that_are_over(database: Database) -> None:
    statements: list[tuple[str, Any]] = []

    @event.listens_for(database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        statements.append((statement, parameters))

    with database.engine.begin() as connection:
        prepare(connection)
        statements.clear()
        planning.turn(connection, time.time_ns() + 10**13, {"gone-node"}, {"gone-node"}, SETTINGS)
        queue.heard(connection, NODE_ID, ())
        queue.assignments(connection, NODE_ID)
        queue.waiting(connection, "c")
        cancel.not_ended(connection)
        asked = [(text, values) for text, values in statements if text.startswith(("SELECT", "UPDATE"))]
        assert len(asked) > 10
        for text, values in asked:
            steps = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            assert not [step for step in steps if step in ("SCAN placements", "SCAN queue", "SCAN runs", "SCAN nodes")], text


def test_what_a_node_began_before_the_collector_was_away_is_its_own_until_it_could_speak(database: Database) -> None:
    contact = Contact(60)
    contact.know([NODE_ID])
    later_ns = time.time_ns() + 10**9 * 2 * planning.NEVER_TOLD_S
    with database.engine.begin() as connection:
        prepare(connection)
        planning.turn(connection, later_ns, (), (), SETTINGS, contact.untold())
        assert first_freed_ns(connection) is None
        # It speaks, and has nothing of the run: it died before it had written it down.
        contact.keep(NODE_ID, Heartbeat(status="Idle", now_ns=0), 1, 0)
        planning.turn(connection, later_ns, (), (), SETTINGS, contact.untold())
        assert first_freed_ns(connection) is not None


def waiting_for(connection: Connection, run_id: str) -> str:
    """Why the run has no nodes yet; empty where it has."""
    return str(connection.execute(sa.select(schema.queue.c.waits_for).filter_by(run_id=run_id)).scalar_one())


def test_a_node_with_a_run_that_no_queue_knows_gets_no_other_on_top(database: Database) -> None:
    there = [RunOnNode(run_id="forgotten", attempt=0, status="Running")]
    with database.engine.begin() as connection:
        prepare(connection)
        queue.heard(connection, NODE_ID, [RunOnNode(run_id="first", attempt=0, status="Completed", is_over=True)])
        for runs_there, is_placed in ((there, False), ([], True)):
            registry.note(connection, NODE_ID, Heartbeat(status="Running", now_ns=0, runs=runs_there), 0)
            planning.turn(connection, time.time_ns(), (), (), SETTINGS)
            assert (waiting_for(connection, "waits") == "") == is_placed


def test_a_node_that_has_not_said_yet_what_it_has_gets_nothing(database: Database) -> None:
    with database.engine.begin() as connection:
        prepare(connection)
        queue.heard(connection, NODE_ID, [RunOnNode(run_id="first", attempt=0, status="Completed", is_over=True)])
        registry.note(connection, NODE_ID, Heartbeat(status="Idle", now_ns=0), 0)
        for untold in ({NODE_ID}, set()):
            planning.turn(connection, time.time_ns(), (), (), SETTINGS, untold)
            assert (waiting_for(connection, "waits") == "") == (not untold)


def test_what_a_lost_node_has_of_a_run_that_is_over_is_taken_from_it_as_well(database: Database) -> None:
    with database.engine.begin() as connection:
        prepare(connection)
        connection.execute(sa.update(schema.queue).values(stage="over"))
        assert dispatch._has_runs(connection)
        assert registry.has_runs(connection, NODE_ID)
        planning.turn(connection, time.time_ns(), {NODE_ID}, {NODE_ID}, SETTINGS)
        assert not registry.has_runs(connection, NODE_ID)
        assert not dispatch._has_runs(connection)


def test_a_queue_that_is_woken_in_the_moment_in_which_the_collector_stops_ends(database: Database) -> None:
    async def stopped() -> None:
        one = dispatch.Dispatch(database, Hub(), Meetings(), Pulse(60.0), Repeats(), SETTINGS)
        task = asyncio.create_task(one.run())
        await asyncio.sleep(0.2)  # it has turned once, and waits
        one.wake()
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()

    asyncio.run(stopped())
