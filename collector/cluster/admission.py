"""A node that was given a run of a queue makes itself known there with a token of its own; nobody else may, and it only once.

Reads from and writes to the tables `placements`, `tokens`, `members` and `runs`; reads from `nodes`.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import auth, rendezvous
from runyard.collector.auth import Principal
from runyard.collector.messages import CreateRun
from runyard.collector.problems import Problem
from runyard.collector.schema import nodes, placements, runs
from runyard.collector.standing import Standing

from .changes import NOTHING, Changes
from .queue import free


def admit(connection: Connection, place: Standing, wanted: CreateRun, who: Principal) -> Changes:
    """Adds the node's token of the run. Raises a 409 where this attempt was not given to this node, or not any more.

    A node that has executed it already and knows nothing of that has lost its disk: no attempt is executed twice, so that the
    part is lost, which is what the changes are.
    """
    node_id = who.subject if who.kind == auth.NODE else wanted.node_id
    given = (placements.c.run_id == wanted.run_id) & (placements.c.attempt == wanted.attempt) & placements.c.freed_ns.is_(None)
    given &= placements.c.node_id == node_id
    row = connection.execute(sa.select(placements).where(given)).first()
    if who.kind not in (auth.NODE, auth.ADMIN) or row is None or wanted.attempt != place.attempt:
        detail = f"run {wanted.run_id!r} comes from a queue, and its attempt {wanted.attempt} is not this node's to start"
        raise Problem(409, "not-placed", detail)
    if row.admitted_ns is not None and _has_told(connection, row):
        return free(connection, [row])
    auth.require_new(connection, wanted.run_token_sha256)
    rendezvous.take_seat(connection, wanted)
    auth.insert(connection, secrets.token_hex(8), wanted.run_token_sha256, auth.RUN, wanted.run_id)
    connection.execute(sa.update(placements).where(given).values(admitted_ns=time.time_ns()))
    if row.node_rank == 0:
        told = {"hostname": wanted.hostname, "cwd": wanted.cwd}
        connection.execute(sa.update(runs).where(runs.c.run_id == wanted.run_id).values(told))
    return NOTHING


def _has_told(connection: Connection, row: Any) -> bool:
    """Whether the node was heard from as one of the attempt's: it registers there when its part is in its spool."""
    told = (nodes.c.run_id == row.run_id) & (nodes.c.node_id == row.node_id) & (nodes.c.attempt == row.attempt)
    return connection.execute(sa.select(nodes.c.node_id).where(told)).first() is not None
