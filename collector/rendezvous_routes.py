"""The route at which the nodes of a run meet. What is decided is decided in rendezvous.py."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from . import rendezvous
from .answers import RendezvousAnswer
from .messages import Rendezvous
from .problems import Problem
from .rendezvous import Meeting
from .route import Call, json_response


async def meet(call: Call) -> web.Response:
    """POST /runs/{run_id}/rendezvous"""
    mine: Rendezvous = call.body
    call.who.require_node(mine.node_id)
    parts, run_id = call.parts, call.run_id
    meeting = await parts.database.write(rendezvous.meet, run_id, mine)
    parts.pulse.beat(run_id, mine.node_id)
    if meeting.is_whole:
        parts.meetings.changed(run_id)
    elif not meeting.trouble and call.query.wait_s:
        meeting = await _wait(call, mine)
        parts.pulse.beat(run_id, mine.node_id)
    return json_response(_answer(meeting))


async def _wait(call: Call, mine: Rendezvous) -> Meeting:
    meetings, database = call.parts.meetings, call.parts.database
    changed = meetings.event(call.run_id)  # before the look: what comes in between must not be missed
    meeting = await database.read(rendezvous.look, call.run_id, mine.attempt)
    if meeting.is_whole or meeting.trouble or meetings.is_closing:
        return meeting
    with suppress(TimeoutError):
        async with asyncio.timeout(call.query.wait_s):
            await changed.wait()
    return await database.read(rendezvous.look, call.run_id, mine.attempt)


def _answer(meeting: Meeting) -> RendezvousAnswer:
    if meeting.trouble:
        raise Problem(409, "run-failed", meeting.trouble)
    return RendezvousAnswer(members=meeting.members, is_whole=meeting.is_whole, secret=meeting.secret)
