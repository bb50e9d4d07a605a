"""A node that was given a run of a queue makes itself known there with a token of its own; nobody else may.

Reads from and writes to the tables `placements`, `tokens`, `members` and `runs`.
"""

from __future__ import annotations

import secrets
import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard.collector import auth, rendezvous
from runyard.collector.auth import Principal
from runyard.collector.messages import CreateRun
from runyard.collector.problems import Problem
from runyard.collector.schema import placements, runs
from runyard.collector.standing import Standing


def admit(connection: Connection, place: Standing, wanted: CreateRun, who: Principal) -> None:
    """Adds the node's token of the run. Raises a 409 where this attempt was not given to this node, or not any more."""
    node_id = who.subject if who.kind == auth.NODE else wanted.node_id
    given = (placements.c.run_id == wanted.run_id) & (placements.c.attempt == wanted.attempt) & placements.c.freed_ns.is_(None)
    given &= placements.c.node_id == node_id
    row = connection.execute(sa.select(placements.c.node_rank).where(given)).first()
    if who.kind not in (auth.NODE, auth.ADMIN) or row is None or wanted.attempt != place.attempt:
        detail = f"run {wanted.run_id!r} comes from a queue, and its attempt {wanted.attempt} is not this node's to start"
        raise Problem(409, "not-placed", detail)
    auth.require_new(connection, wanted.run_token_sha256)
    rendezvous.take_seat(connection, wanted)
    auth.insert(connection, secrets.token_hex(8), wanted.run_token_sha256, auth.RUN, wanted.run_id)
    connection.execute(sa.update(placements).where(given).values(admitted_ns=time.time_ns()))
    if row.node_rank == 0:
        told = {"hostname": wanted.hostname, "cwd": wanted.cwd}
        connection.execute(sa.update(runs).where(runs.c.run_id == wanted.run_id).values(told))
