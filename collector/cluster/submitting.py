"""Submitting a run to a cluster's queue: what is wrong with it is said at once, with what there is.

Reads from the tables `clusters` and `cluster_nodes`; writes to `runs`, `tags` and `queue`.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from runyard import distribution, spec_check
from runyard import spec as specs
from runyard.collector import auth, catalog, rendezvous, standing
from runyard.collector.auth import Principal
from runyard.collector.messages import CreateRun
from runyard.collector.problems import Problem, invalid, not_allowed
from runyard.collector.schema import cluster_nodes, queue, runs, snapshots
from runyard.collector.standing import QUEUED
from runyard.errors import InputError

from . import registry
from .messages import SubmitRun
from .placing import shortage

_ASKED = ("order", "node_count", "request", "priority", "max_queue_s", "retries")


def submit(connection: Connection, cluster: str, wanted: SubmitRun, who: Principal) -> bool:
    """Adds the run to the queue; False where the very same was submitted before. Raises a 404 for a cluster that is none, a 409
    where the run id is taken, and a 400 where the run cannot be or the cluster can never hold it."""
    registry.require_cluster(connection, cluster)
    wanted = _as_own_user(connection, wanted, who)
    parent = _parent(connection, wanted, who)
    known = connection.execute(sa.select(runs.c.creator).where(runs.c.run_id == wanted.run_id)).first()
    if known is not None:
        _require_same(connection, cluster, wanted, is_own=known.creator == rendezvous.name_of(who))
        return False
    described = _described(wanted, who.subject if parent is None or who.kind != auth.RUN else parent.user)
    _require_room(connection, cluster, wanted)
    catalog.add_run(connection, described, rendezvous.name_of(who), "")
    now_ns = time.time_ns()
    values: dict[str, Any] = {name: getattr(wanted, name) for name in _ASKED}
    values |= {"run_id": wanted.run_id, "cluster": cluster, "submitted_ns": now_ns, "queued_ns": now_ns}
    values |= {"attempt": 0, "stage": QUEUED, "placed_ns": None, "waits_for": ""}
    connection.execute(sa.insert(queue).values(values))
    standing.refresh(connection, wanted.run_id)
    return True


def why_not(connection: Connection, cluster: str, wanted: SubmitRun, who: Principal) -> str:
    """Why the run could not be submitted so, or could not start on any node; empty where it could. Writes nothing."""
    try:
        registry.require_cluster(connection, cluster)
        _parent(connection, _as_own_user(connection, wanted, who), who)
        if connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == wanted.run_id)).first() is not None:
            return f"there is a run {wanted.run_id!r} already; choose another run id"
        if not wanted.order.spec.get("command"):
            return "there is no command yet; write it as in: python train.py"
        _described(wanted, who.subject)
        _require_room(connection, cluster, wanted)
    except Problem as problem:
        return str(problem)
    return _why_no_code(connection, wanted)


def _why_no_code(connection: Connection, wanted: SubmitRun) -> str:
    spec = specs.from_json(wanted.order.spec)
    if spec.code and not wanted.order.snapshot:
        return f"the run's code {spec.code} was not sent to the collector; submit it with its snapshot"
    snapshot_id = str((wanted.order.snapshot or {}).get("id", ""))
    known = sa.select(snapshots.c.id).where(snapshots.c.id == snapshot_id)
    if snapshot_id and connection.execute(known).first() is None:
        return f"the code snapshot {snapshot_id[:16]} is not at the collector any more; submit the run with its code again"
    return ""


def _require_room(connection: Connection, cluster: str, wanted: SubmitRun) -> None:
    nodes = connection.execute(sa.select(cluster_nodes.c.capacity).where(cluster_nodes.c.cluster == cluster))
    short = shortage(cluster, wanted.node_count, wanted.request, list(nodes.scalars()))
    if short:
        raise Problem(400, "too-large-for-cluster", short)


def _parent(connection: Connection, wanted: SubmitRun, who: Principal) -> Any:
    """The row of the run that this one is a child of; None: of none. Raises a 404 where it is not there, and a 403 where a run
    submits what is no child of its own."""
    auth.require_parent(connection, who, wanted.parent_run_id)
    if wanted.parent_run_id is None:
        return None
    catalog.require_run(connection, wanted.parent_run_id)
    return connection.execute(sa.select(runs.c.user).where(runs.c.run_id == wanted.parent_run_id)).one()


def _as_own_user(connection: Connection, wanted: SubmitRun, who: Principal) -> SubmitRun:
    """What a run submits, for whichever of its descendants, runs as the user that it runs as itself; a 403 for another."""
    if who.kind != auth.RUN:
        return wanted
    order = connection.execute(sa.select(queue.c.order).where(queue.c.run_id == who.subject)).scalar()
    own = "" if order is None else order.user
    if wanted.order.user not in ("", own):
        raise not_allowed(f"a run submits runs as its own user alone, {own!r}; {wanted.order.user!r} was given", "not-yours")
    return msgspec.structs.replace(wanted, order=msgspec.structs.replace(wanted.order, user=own))


def _require_same(connection: Connection, cluster: str, wanted: SubmitRun, *, is_own: bool) -> None:
    known = connection.execute(sa.select(queue).where(queue.c.run_id == wanted.run_id)).first()
    asked = ("order", "node_count", "request", "priority", "max_queue_s")  # retries are used up meanwhile
    is_same = known is not None and known.cluster == cluster and is_own
    if not is_same or any(getattr(known, name) != getattr(wanted, name) for name in asked):
        raise Problem(409, "run-id-taken", f"there is another run {wanted.run_id!r}; choose another run id")


def _described(wanted: SubmitRun, user: str) -> CreateRun:
    """The run as the catalog has it, from its spec; raises a 400 where that is none."""
    try:
        spec = specs.from_json(wanted.order.spec)
        spread = spec.distribution
        wrong = distribution.why_wrong(spread)
        if not spec.command or isinstance(wanted.order.spec["command"], str):
            raise ValueError("command has to be a list of words, the program first")
        # The code's folder was the submitter's: where there is a snapshot of it, nothing is to be found here.
        spec_check.check(replace(spec, code="", cwd="" if spec.code else spec.cwd), is_elsewhere=True)
        values: dict[str, Any] = {"command": list(spec.command), "experiment": spec.experiment or "default", "name": spec.name}
        values |= {"tags": spec.tags, "cwd": spec.cwd, "timeout_s": spec.limits.driver_s or None}
        values |= {"on_failure": spread.on_failure, "failure_grace_s": spread.failure_grace_s}
        values |= {"world_size": wanted.node_count * spread.processes_per_node}
    except (TypeError, ValueError, AttributeError, InputError) as error:
        raise invalid(f"order.spec cannot be used: {error}") from error
    if wrong:
        raise invalid(f"order.spec cannot be used: {wrong}")
    if spread.max_restarts:
        why = "of a run of a queue there is one attempt on its nodes; --retries gives it to others where one was lost"
        raise invalid(f"order.spec cannot be used: distribution.max_restarts is {spread.max_restarts}; {why}")
    fixed: dict[str, Any] = {
        "run_id": wanted.run_id,
        "node_count": wanted.node_count,
        "created_ns": time.time_ns(),
        "user": user,
        "parent_run_id": wanted.parent_run_id,
    }
    fixed |= {"key": secrets.token_hex(16), "run_token_sha256": "0" * 64}
    try:
        return msgspec.convert(values | fixed, CreateRun)
    except msgspec.ValidationError as error:
        raise invalid(f"order.spec cannot be used: {error}") from error
