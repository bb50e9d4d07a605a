"""The route that makes a run which no node has: a sweep, or whatever has children and runs nowhere itself.

Reads from and writes to the tables `runs`, `tags` and `experiments`.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

import sqlalchemy as sa
from aiohttp import web
from msgspec import Meta
from sqlalchemy.engine import Connection

from runyard.collector import auth, catalog
from runyard.collector.auth import Principal
from runyard.collector.messages import Body, Count, RunId, Text, check_run_id
from runyard.collector.problems import Problem, not_allowed
from runyard.collector.route import Call, json_response
from runyard.collector.run_routes import run_answer
from runyard.collector.schema import runs, tags

from . import client_runs, experiments
from .client_runs import NewClientRun


class CreateClientRun(Body, frozen=True, kw_only=True):
    """Describes a new run that no node has; `created_ms` is Unix time, by default now."""

    run_id: RunId
    experiment: RunId
    kind: Annotated[str, Meta(min_length=1, max_length=32, pattern=r"^[^\x00]*$")]
    name: Text = ""
    user: Text = ""
    tags: dict[Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")], Text] = {}
    created_ms: Count | None = None
    parent_run_id: RunId | None = None

    def __post_init__(self) -> None:
        check_run_id("run_id", self.run_id)
        check_run_id("experiment", self.experiment)
        if self.created_ms is not None and self.created_ms > 2**63 // 10**6:
            raise ValueError(f"created_ms {self.created_ms} is no time in milliseconds")


async def create(call: Call) -> web.Response:
    """POST /client-runs"""
    wanted: CreateClientRun = call.body
    is_new = await call.parts.database.write(_create, wanted, call.who)
    row = await call.parts.database.read(catalog.run, wanted.run_id)
    return json_response(run_answer(row, call.parts.pulse, call.parts.hub), 201 if is_new else 200)


def _create(connection: Connection, wanted: CreateClientRun, who: Principal) -> bool:
    """Whether it was made now; the very same again is harmless. Raises a 409 where the id is another run's, a 404 where there
    is no such parent, and a 403 where a run makes what is no child of its own, or in another experiment."""
    user = _user(connection, wanted, who)
    folder: str = experiments.enter(connection, wanted.experiment)["experiment"]
    query = sa.select(runs.c.is_client_run, runs.c.experiment, runs.c.kind, runs.c.parent_run_id)
    known: Any = connection.execute(query.where(runs.c.run_id == wanted.run_id)).first()
    if known is not None:
        asked = (True, folder, wanted.kind, wanted.parent_run_id)
        if (known.is_client_run, known.experiment, known.kind, known.parent_run_id) == asked:
            return False
        raise Problem(409, "run-taken", f"the id {wanted.run_id} is that of another run; choose another one")
    created_ms = time.time_ns() // 10**6 if wanted.created_ms is None else wanted.created_ms
    new = NewClientRun(
        wanted.run_id, folder, wanted.name, user, wanted.kind, created_ms, wanted.parent_run_id, status="Running"
    )
    client_runs.add(connection, new)
    rows = [{"run_id": wanted.run_id, "key": key, "value": value} for key, value in wanted.tags.items()]
    if rows:
        connection.execute(sa.insert(tags), rows)
    return True


def _user(connection: Connection, wanted: CreateClientRun, who: Principal) -> str:
    """Whose run it is: what is asked for, else who asks; of what a run makes, its parent's."""
    auth.require_parent(connection, who, wanted.parent_run_id)
    if wanted.parent_run_id is None:
        return wanted.user or who.subject
    catalog.require_run(connection, wanted.parent_run_id)
    query = sa.select(runs.c.user, runs.c.experiment).where(runs.c.run_id == wanted.parent_run_id)
    parent: Any = connection.execute(query).one()
    if who.kind != auth.RUN:
        return wanted.user or who.subject
    if parent.experiment != wanted.experiment:
        raise not_allowed(f"a run's token makes runs in its own experiment, {parent.experiment}", "not-yours")
    return str(parent.user)
