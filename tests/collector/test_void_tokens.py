"""Tokens that become void while somebody uses them: nobody is let in by them later, and no node gets its place back by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Connection

from runyard.collector import auth
from runyard.collector.auth import Gate, NewToken
from runyard.collector.cluster import registry
from runyard.collector.cluster.contact import Contact
from runyard.collector.cluster.messages import Capacity, JoinCluster
from runyard.collector.database import Database, open_database
from runyard.collector.problems import Problem
from tests.collector.node import sha256

JOIN = "join"
NODE = JoinCluster(
    node_id="node-0001", machine=sha256(b"machine"), hostname="host", ip="127.0.0.1", agent_version="1",
    capacity=Capacity(cpus=1.0, memory_bytes=1),
)  # fmt: skip


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database("", tmp_path, lambda: None)
    yield opened
    opened.close()


def fresh(word: str) -> NewToken:
    return NewToken(word, auth.sha256_of(word))


def joined(connection: Connection) -> None:
    registry.make_join_token(connection, "c", fresh(JOIN), 9, time.time_ns() + 10**15)
    registry.join(connection, "c", fresh(JOIN).sha256, NODE, fresh("own"), is_silent=False)


def test_a_token_that_is_revoked_while_it_is_looked_at_is_not_remembered(database: Database) -> None:
    async def scene() -> None:
        gate = Gate(database, "a" * 32)
        made = await gate.make("user", "ada")
        asking = asyncio.create_task(gate.principal(f"Bearer {made.token}"))
        await asyncio.sleep(0)  # the look at the catalog is under way, in a thread
        gate.forget([auth.sha256_of(made.token)])
        await asking
        await gate.revoke(made.token_id)
        with pytest.raises(Problem, match="not known"):
            await gate.principal(f"Bearer {made.token}")

    asyncio.run(scene())


def test_a_renewal_that_was_dropped_while_it_was_first_used_leaves_the_node_its_own_token(database: Database) -> None:
    with database.engine.begin() as connection:
        joined(connection)
        registry.renew(connection, "node-0001", fresh("first"))
        seen = auth._find(connection, fresh("first").sha256)
        registry.renew(connection, "node-0001", fresh("second"))
        with pytest.raises(Problem, match="not known"):
            auth._take_over(connection, seen)
        assert auth._find(connection, fresh("own").sha256) is not None
        assert registry.one(connection, "node-0001").token_id == "own"


def test_a_removed_node_can_not_renew_its_token_any_more(database: Database) -> None:
    with database.engine.begin() as connection:
        joined(connection)
        registry.change(connection, "node-0001", token_id="")  # as while it still has runs
        with pytest.raises(Problem, match="removed from its cluster"):
            registry.renew(connection, "node-0001", fresh("late"))


def test_a_node_that_has_joined_is_not_heard_from_by_that() -> None:
    contact = Contact(60)
    contact.joined("node-0001")
    assert not contact.is_silent("node-0001")
    assert contact.take_unflushed() == {}  # so that it may ask again when the answer was lost
