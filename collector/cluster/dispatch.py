"""The part of the queue that lives in the event loop: it gives runs their nodes, and wakes the nodes that have new work.

Runs queue.turn when it is woken and every second while the queue has runs; tells followers, nodes and agents of what a
transaction has changed once that is committed. Every few seconds it writes down who was heard from and what was sampled.
What is kept here is what the catalog says; lost with the process, it is read again.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from runyard.collector import catalog, epoch, schema
from runyard.collector.database import Database, DatabaseError
from runyard.collector.hub import Hub
from runyard.collector.problems import Problem
from runyard.collector.pulse import Pulse
from runyard.collector.rendezvous import Meetings
from runyard.collector.repeats import Repeats
from runyard.collector.standing import GOING_ON
from runyard.settings import Collector as Settings

from . import cancel, planning, queue, registry, samples
from .answers import Work
from .changes import Changes
from .contact import Contact
from .messages import Heartbeat
from .samples import Newest

log = structlog.get_logger()

TURN_S = 1.0
# What wakes the queue within so short a time is looked at together.
PAUSE_S = 0.01
FLUSH_S = 5.0
SWEEP_S = 600.0


class Dispatch:
    """One for each collector. Belongs to the event loop's thread."""

    def __init__(
        self, database: Database, hub: Hub, meetings: Meetings, pulse: Pulse, repeats: Repeats, settings: Settings
    ) -> None:
        self.contact = Contact(settings.lost_contact_s)
        self.newest = Newest()
        self._settings = settings
        self._database, self._hub, self._meetings, self._pulse, self._repeats = database, hub, meetings, pulse, repeats
        self._works: dict[str, Work] = {}
        self._events: dict[str, asyncio.Event] = {}
        self._turn_of: dict[str, asyncio.Lock] = {}
        self._woken = asyncio.Event()
        self._is_closing = False
        self._flushed_s = self._swept_s = 0.0

    def wake(self) -> None:
        """Something has changed that may give a run its nodes, or take them: the next turn is now."""
        self._woken.set()

    async def current(self, node_id: str) -> Work:
        """All that the node is to have; raises a 404. From memory, unless something has changed."""
        known = self._works.get(node_id)
        while known is None:
            event = self._event(node_id)  # before the look: what is changed meanwhile must not be kept as it was
            work = await self._database.read(_work, node_id)
            if self._is_closing or not event.is_set():
                known = self._works[node_id] = work
        return known

    async def awaited(self, node_id: str, seen: int, wait_s: float) -> Work:
        """The node's work as soon as its version is not `seen`, or when the time is over. Waiting costs nothing."""
        deadline_s = time.monotonic() + wait_s
        while True:
            event = self._event(node_id)
            work = await self.current(node_id)
            left_s = deadline_s - time.monotonic()
            if work.version != seen or left_s <= 0 or self._is_closing:
                return work
            with suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await event.wait()

    def _event(self, node_id: str) -> asyncio.Event:
        """Set at the next change of the node's work."""
        return self._events.setdefault(node_id, asyncio.Event())

    def joined(self, node_id: str) -> None:
        """The node has joined, perhaps anew."""
        self.forget(node_id)
        self.contact.joined(node_id)
        self.wake()

    def forget(self, node_id: str) -> None:
        """The node is of no cluster any more."""
        self.contact.forget(node_id)
        self.newest.forget(node_id)
        self._turn_of.pop(node_id, None)
        self._changed(node_id)

    def _changed(self, node_id: str) -> None:
        self._works.pop(node_id, None)
        event = self._events.pop(node_id, None)
        if event is not None:
            event.set()

    async def applied(self, changes: Changes) -> None:
        """A transaction that has changed this is committed: whoever has to know is told."""
        for node_id in changes.nodes:
            self._changed(node_id)
        for run_id in changes.runs:
            self._repeats.forget(run_id)
            self._meetings.changed(run_id)
        if changes:
            self.wake()
        for run_id in changes.runs:
            with suppress(Problem):  # the run is gone
                row = await self._database.read(catalog.run, run_id)
                self._hub.told(run_id, row.state, row.silent_if)

    async def hear(self, node_id: str, told: Heartbeat, clock_off_ns: int) -> Work:
        """A node's word: written down where it says something new. What the node is to have."""
        # One after the other: a word that was given up as unanswered must not be written down behind the one after it.
        async with self._turn_of.setdefault(node_id, asyncio.Lock()):
            self.contact.beat(node_id)
            work = await self.current(node_id)
            self.newest.keep(node_id, told.sample)
            if self.contact.is_repeated(node_id, told, work.version, clock_off_ns):
                return work
            changes = await self._database.write(_hear, node_id, told, clock_off_ns)
            self.contact.keep(node_id, told, work.version, clock_off_ns)
            await self.applied(changes)
            self.wake()
            return await self.current(node_id)

    async def recover(self) -> None:
        """The nodes that have joined are known again; their silence counts from now on."""
        self.contact.know(row.node_id for row in await self._database.read(registry.nodes))

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._woken.clear()
            try:
                await self._turn()
                await self._flush_in_time()
            except DatabaseError as error:  # nothing has happened; the next turn tries again
                log.warning("the queue's database cannot be used", error=str(error))
            except Exception as error:  # whatever it is: the next turn must still come
                log.error("a turn of the queue has failed", exc_info=error)
            await asyncio.sleep(PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(TURN_S):  # wait_for loses a cancel that comes together with what it waits for
                    await self._woken.wait()

    async def _turn(self) -> None:
        if not await self._database.read(_has_runs):
            return
        silent = self.contact.silent_for(self._settings.lost_contact_s)
        given_up = self.contact.silent_for(self._settings.give_up_lost_s)
        untold = self.contact.untold()
        changes = await self._database.write(planning.turn, time.time_ns(), silent, given_up, self._settings, untold)
        await self.applied(changes)

    async def _flush_in_time(self) -> None:
        now_s = time.monotonic()
        if now_s - self._flushed_s >= FLUSH_S:
            self._flushed_s = now_s
            await self.flush()
            await self._compare()
            await self._end_canceled()
        if now_s - self._swept_s >= SWEEP_S or not self._swept_s:
            self._swept_s = now_s
            await self._sweep()

    async def flush(self) -> None:
        """Who was heard from and what was sampled is written down."""
        heard, taken = self.contact.take_unflushed(), self.newest.take_due()
        if not heard and not taken:
            return
        try:
            await self._database.write(_flush, heard, taken)
        except DatabaseError as error:  # the next sign of life is written again
            self.newest.take_back(taken)
            log.warning("signs of life of the clusters' nodes cannot be written down", error=str(error))

    async def _compare(self) -> None:
        """What is kept of the nodes' work is what the catalog says: nobody waits for ever for a change that was not told."""
        for node_id, version in await self._database.read(registry.versions):
            work = self._works.get(node_id)
            if work is not None and work.version < version:
                self._changed(node_id)

    async def _end_canceled(self) -> None:
        """Runs of no queue that were canceled, and whose nodes are gone for good, are over by the collector's word."""
        for row in await self._database.read(cancel.not_ended):
            if self._pulse.is_given_up(row.row.run_id, row.silent_if):
                await self.applied(await self._database.write(cancel.give_up, row, time.time_ns()))

    async def _sweep(self) -> None:
        oldest_ns = time.time_ns() - int(self._settings.keep_samples_s * 1e9)
        await self._database.write(samples.prune, oldest_ns)
        for node_id in await self._database.write(registry.forget_removed):
            self.forget(node_id)

    def close(self) -> None:
        """The collector stops: nobody is kept waiting."""
        self._is_closing = True
        for event in self._events.values():
            event.set()


def _work(connection: Connection, node_id: str) -> Work:
    row = registry.one(connection, node_id)
    assignments = queue.assignments(connection, node_id)
    known = epoch.current(connection)
    return Work(version=row.work_version, epoch=known, is_drained=row.is_drained, assignments=assignments)


def _hear(connection: Connection, node_id: str, told: Heartbeat, clock_off_ns: int) -> Changes:
    registry.note(connection, node_id, told, clock_off_ns)
    return queue.heard(connection, node_id, told.runs, told.refused)


def _has_runs(connection: Connection) -> bool:
    """Whether a run goes on, or a node still has something of one that is over, which a lost node never gives back."""
    goes_on = sa.select(schema.queue.c.run_id).where(schema.queue.c.stage.in_(GOING_ON))
    held = sa.select(schema.placements.c.run_id).where(schema.placements.c.freed_ns.is_(None))
    return any(connection.execute(query.limit(1)).first() is not None for query in (goes_on, held))


def _flush(connection: Connection, heard: dict[str, int], taken: list[samples.Taken]) -> None:
    registry.flush_heard(connection, heard)
    samples.write(connection, taken)
