"""The routes of what a run is asked to be, before it is submitted, and afterwards to submit it again.

Each reads a checked request and answers; nothing is changed here.
"""

from __future__ import annotations

from typing import Annotated, Any

import sqlalchemy as sa
from aiohttp import web
from msgspec import Meta
from sqlalchemy.engine import Connection

from runyard import spec as specs
from runyard.collector import catalog
from runyard.collector.messages import Body
from runyard.collector.problems import Problem, invalid
from runyard.collector.route import Call, json_response
from runyard.collector.schema import queue
from runyard.errors import InputError
from runyard.spec_secrets import looks_secret, secret_variables

from . import described, submitting
from .messages import Order, Request


class Describe(Body, frozen=True, kw_only=True):
    """The text of a run.toml."""

    toml: Annotated[str, Meta(max_length=1 << 20)]


class Described(Body, frozen=True, kw_only=True):
    """What it describes: runyard/spec.py's to_json, and what it asks of each node."""

    spec: dict[str, Any]
    request: Request
    node_count: int


class Checked(Body, frozen=True, kw_only=True):
    """Why a run could not be submitted so; empty where it could."""

    why: str


class OrderOfRun(Body, frozen=True, kw_only=True):
    """What was submitted. `withheld`: variables whose values may be secrets, and are empty here."""

    cluster: str
    order: Order
    node_count: int
    request: Request
    priority: int
    max_queue_s: float
    retries: int
    withheld: list[str]


async def describe(call: Call) -> web.Response:
    """POST /descriptions"""
    try:
        spec = described.read(call.body.toml)
        request = described.request_of(spec.resources)
    except InputError as error:
        raise invalid(str(error)) from error
    return json_response(Described(spec=spec.to_json(), request=request, node_count=spec.distribution.node_count))


async def check_run(call: Call) -> web.Response:
    """POST /clusters/{cluster}/checks"""
    cluster = call.request.match_info["cluster"]
    return json_response(Checked(why=await call.parts.database.read(submitting.why_not, cluster, call.body, call.who)))


async def show_order(call: Call) -> web.Response:
    """GET /runs/{run_id}/order"""
    return json_response(await call.parts.database.read(_order, call.run_id))


def _order(connection: Connection, run_id: str) -> OrderOfRun:
    catalog.require_run(connection, run_id)
    row = connection.execute(sa.select(queue).where(queue.c.run_id == run_id)).first()
    if row is None:
        why = f"run {run_id} was not put into a queue: what it was asked to be, and its code, lie where it was started"
        raise Problem(404, "no-order", why)
    names = ("cluster", "node_count", "request", "priority", "max_queue_s", "retries")
    spec = dict(row.order.spec)
    env = spec.get("env")
    env = env if isinstance(env, dict) else {}
    withheld = sorted(_secret_names(spec | {"env": env}) & set(env))
    spec["env"] = {name: "" if name in withheld else value for name, value in env.items()}
    order = Order(spec=spec, snapshot=row.order.snapshot, user=row.order.user)
    return OrderOfRun(order=order, withheld=withheld, **{name: getattr(row, name) for name in names})


def _secret_names(spec: dict[str, Any]) -> set[str]:
    """The variables that are, or may be, secrets; all of them where the description is another version's."""
    env = set(spec["env"])
    try:
        named = secret_variables(specs.from_json(spec))
    except (TypeError, ValueError, AttributeError):
        return env
    return named | {name for name in env if looks_secret(name)}
