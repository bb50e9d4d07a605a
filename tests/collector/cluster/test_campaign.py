"""Turns of the queue with nodes that die, part from the collector and come back, and cancels in between, seeded.

The functions of the queue on a database of its own, without processes: what they promise together, in any order of things.
"""

from __future__ import annotations

import random
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import auth, catalog, schema
from runyard.collector.auth import NewToken, Principal
from runyard.collector.cluster import cancel, planning, queue, registry, submitting
from runyard.collector.cluster.messages import Capacity, Heartbeat, JoinCluster, Order, Request, RunOnNode, SubmitRun
from runyard.collector.database import open_database
from runyard.collector.messages import CreateRun, RegisterNode
from runyard.collector.problems import Problem
from runyard.collector.report import NodeState
from runyard.settings import Collector
from tests.collector.node import sha256

RUNS, NODES, LOST_STEPS, GIVE_UP_STEPS = 40, 8, 3, 6
FINAL = ("Completed", "Failed", "Canceled")
USER = Principal("user", "ada", "")
CAPACITY = Capacity(cpus=8.0, memory_bytes=1 << 30, gpus=2)


@dataclass
class Part:
    """What a node has of an attempt: steps that are left, how it goes, and which states it has told."""

    attempt: int
    left: int
    status: str = "Running"
    seq: int = 0


@dataclass
class Place:
    """A node of the campaign. `away_since` is the step at which the collector last heard of it; None: it can be reached."""

    node_id: str
    has: dict[str, Part] = field(default_factory=dict)
    away_since: int | None = None
    is_dead: bool = False


class Campaign:
    """All nodes and runs, a step at a time; each step is one transaction."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.places = [Place(f"node-{number:04}") for number in range(NODES)]
        self.settings = Collector(reserve_after_s=20.0)
        self.begun_ns = time.time_ns()
        self.step = 0
        self.final: dict[str, str] = {}
        self.waited: dict[str, int] = {}

    @property
    def now_ns(self) -> int:
        return self.begun_ns + self.step * 10**9

    def prepare(self, connection: Connection) -> None:
        """Nodes join; runs are submitted, most of them later."""
        new = NewToken("join", sha256(b"join"))
        registry.make_join_token(connection, "c", new, NODES, self.now_ns + 10**18)
        for place in self.places:
            wanted = JoinCluster(
                node_id=place.node_id, machine=sha256(place.node_id.encode()), hostname=place.node_id, ip="127.0.0.1",
                agent_version="", capacity=CAPACITY,
            )  # fmt: skip
            own = NewToken(place.node_id, sha256(place.node_id.encode() + b"token"))
            registry.join(connection, "c", new.sha256, wanted, own, is_silent=False)

    def submit(self, connection: Connection, number: int) -> None:
        """One run: wide or small, for itself or shared."""
        wide = self.random.random() < 0.2
        request = (
            Request()
            if self.random.random() < 0.3
            else Request(cpus=self.random.choice([2.0, 4.0]), gpus=self.random.randrange(2))
        )
        submitting.submit(
            connection, "c",
            SubmitRun(
                run_id=f"r{number}", order=Order(spec={"command": ["x"]}), node_count=self.random.choice([4, 6]) if wide else 1,
                request=request, priority=self.random.choice([0, 0, 1]), retries=self.random.randrange(3),
            ),
            USER,
        )  # fmt: skip

    def turn(self, connection: Connection, *, is_calm: bool = False) -> None:
        """Everybody does something; the queue has its turn; all promises are looked at."""
        self.step += 1
        for place in self.places:
            if not is_calm:
                self._fate(place)
            elif place.is_dead or place.away_since is not None:
                self._back(place)
            for part in place.has.values():
                part.left -= 1  # a process runs on whether its node is reached or not
            if place.away_since is None:
                self._speak(connection, place)
        if not is_calm and self.random.random() < 0.15:
            self._cancel(connection, f"r{self.random.randrange(RUNS)}")
        planning.turn(connection, self.now_ns, self._away(LOST_STEPS), self._away(GIVE_UP_STEPS), self.settings)
        self._check(connection)

    def _away(self, steps: int) -> frozenset[str]:
        long = (one for one in self.places if one.away_since is not None and self.step - one.away_since >= steps)
        return frozenset(one.node_id for one in long)

    def _fate(self, place: Place) -> None:
        """A node is lost with all that it has, or parts from the collector; or is there again."""
        dice = self.random.random()
        if place.away_since is None and dice < 0.03:
            place.away_since, place.is_dead = self.step, dice < 0.02
            if place.is_dead:
                place.has.clear()
        elif place.away_since is not None and dice < 0.15:
            self._back(place)

    def _back(self, place: Place) -> None:
        place.away_since, place.is_dead = None, False

    def _speak(self, connection: Connection, place: Place) -> None:
        """As an agent: takes what is assigned, ends what is not, says what it has, lets go of what is over."""
        assigned = {one.run_id: one for one in queue.assignments(connection, place.node_id)}
        for run_id, order in assigned.items():
            if run_id not in place.has and not order.stop and self.random.random() < 0.8:
                self._start(connection, place, run_id, order.attempt)
        for run_id, part in place.has.items():
            mine = assigned.get(run_id)
            if part.status == "Running" and (mine is None or mine.stop or mine.attempt != part.attempt):
                part.status = "Canceled"
            elif part.status == "Running" and part.left <= 0:
                part.status = "Completed"
            self._tell(connection, place, run_id, part)
        on_node = [
            RunOnNode(run_id=run_id, attempt=part.attempt, status=part.status, is_over=part.status != "Running")  # type: ignore[arg-type]
            for run_id, part in place.has.items()
        ]
        registry.note(connection, place.node_id, Heartbeat(status="Idle", now_ns=self.now_ns, runs=on_node), 0)
        queue.heard(connection, place.node_id, on_node, [])
        for run_id in [run_id for run_id, part in place.has.items() if part.status != "Running"]:
            del place.has[run_id]

    def _start(self, connection: Connection, place: Place, run_id: str, attempt: int) -> None:
        there = [one.has[run_id].attempt for one in self.places if run_id in one.has and one.away_since is None]
        assert all(other == attempt for other in there), f"{run_id} starts while an earlier attempt is there"
        wanted = CreateRun(
            run_id=run_id, experiment="default", key=secrets.token_hex(16), run_token_sha256=sha256(secrets.token_bytes(8)),
            created_ns=0, command=["x"], node_id=place.node_id, attempt=attempt,
        )  # fmt: skip
        catalog.create_run(connection, wanted, Principal(auth.NODE, place.node_id, ""))
        catalog.register_node(connection, run_id, RegisterNode(node_id=place.node_id, ip="127.0.0.1", hostname=""))
        place.has[run_id] = Part(attempt, self.random.randrange(1, 12))

    def _tell(self, connection: Connection, place: Place, run_id: str, part: Part) -> None:
        part.seq += 1
        ended = {"is_complete": True, "ended_ns": 1} if part.status != "Running" else {}
        told = msgspec.convert({"seq": part.seq, "attempt": part.attempt, "status": part.status, **ended}, NodeState)
        heard = catalog.put_state(connection, run_id, place.node_id, told)
        if heard.stop is not None:
            part.left = 0
            part.status = "Canceled"

    def _cancel(self, connection: Connection, run_id: str) -> None:
        try:
            cancel.cancel(connection, run_id, "", USER, self.now_ns)
        except Problem as problem:
            assert problem.code in ("ended", "no-such-run")  # noqa: PT017

    def _check(self, connection: Connection) -> None:
        """A run that has ended stays as it has ended; nobody is given more than there is; who has a place has all of them."""
        for row in connection.execute(sa.select(schema.runs.c.run_id, schema.runs.c.status)):
            if row.run_id in self.final:
                assert row.status == self.final[row.run_id], row.run_id
            elif row.status in FINAL:
                self.final[row.run_id] = row.status
        held = sa.select(schema.placements, schema.queue.c.request).join(
            schema.queue, schema.queue.c.run_id == schema.placements.c.run_id
        )
        taken: dict[str, list[Request]] = {}
        for row in connection.execute(held.where(schema.placements.c.freed_ns.is_(None))):
            taken.setdefault(row.node_id, []).append(row.request)
        for requests in taken.values():
            assert sum(one.cpus for one in requests) <= CAPACITY.cpus
            assert sum(one.gpus for one in requests) <= CAPACITY.gpus
            assert len(requests) == 1 or not any(one.is_exclusive for one in requests)
        counts = sa.select(schema.placements.c.run_id, schema.placements.c.attempt, sa.func.count()).group_by(
            schema.placements.c.run_id, schema.placements.c.attempt
        )
        width = {
            row.run_id: row.node_count
            for row in connection.execute(sa.select(schema.queue.c.run_id, schema.queue.c.node_count))
        }
        assert all(count == width[run_id] for run_id, _, count in connection.execute(counts))


def summary(connection: Connection) -> list[Any]:
    """What is not over: runs of the queue, and places that are not freed."""
    waiting = connection.execute(
        sa.select(schema.queue.c.run_id, schema.queue.c.stage, schema.queue.c.waits_for).where(schema.queue.c.stage != "over")
    )
    held = connection.execute(sa.select(schema.placements).where(schema.placements.c.freed_ns.is_(None)))
    return [*waiting.all(), *held.all()]


@pytest.mark.parametrize("seed", [0])
def test_every_run_ends_once_none_is_lost_and_no_attempt_starts_beside_another(tmp_path: Path, seed: int) -> None:
    campaign = Campaign(seed)
    database = open_database("", tmp_path, lambda: None)
    try:
        with database.engine.begin() as connection:
            campaign.prepare(connection)
        submitted = 0
        while submitted < RUNS or campaign.step < 40:
            with database.engine.begin() as connection:
                for _ in range(campaign.random.randrange(4)):
                    if submitted < RUNS:
                        campaign.submit(connection, submitted)
                        submitted += 1
                campaign.turn(connection)
        for _ in range(600):
            with database.engine.begin() as connection:
                campaign.turn(connection, is_calm=True)
                left = summary(connection)
            if not left:
                break
        assert left == []
        assert len(campaign.final) == RUNS
        ended = set(campaign.final.values())
        assert ended == set(FINAL)
    finally:
        database.close()
