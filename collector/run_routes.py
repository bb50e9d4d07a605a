"""The routes of runs, nodes and tokens.

Each reads a checked request, asks the catalog, and answers; what is decided is decided there.
"""

from __future__ import annotations

import asyncio
import time

import msgspec
from aiohttp import web

from . import auth, catalog, listing, progress, standing, state
from .answers import Node, RegisteredNode, Run, RunInFull, RunList, StacksAnswer, StateAnswer
from .catalog import RunRow
from .hub import Hub
from .messages import CreateRun
from .problems import Problem, not_allowed
from .pulse import Pulse
from .report import NodeState, Transition
from .route import Call, json_response
from .tracking import client_runs, labels

# What a node that waits for this one has to know.
ENDING = state.FINAL | {"CancelRequested"}
# Silent nodes that a cause names.
MOST_NAMED = 20


def shown_status(row: RunRow, pulse: Pulse) -> str:
    """The status as it is shown: a run does not respond while one of its nodes, or those who speak for it, are silent."""
    run_id: str = row.row.run_id
    if not row.state.is_final and pulse.is_lost(run_id, row.silent_if):
        return listing.NOT_RESPONDING
    if client_runs.is_silent(row.row, time.time()):
        return listing.NOT_RESPONDING
    return row.state.status


def run_answer(row: RunRow, pulse: Pulse, hub: Hub) -> Run:
    """A run in an answer."""
    values = {field: getattr(row.row, field) for field in Run.__struct_fields__ if hasattr(row.row, field)}
    heard = [pulse.heard_ns(row.row.run_id, node_id) or heard_ns for node_id, heard_ns in row.heard.items()]
    if row.row.is_client_run and row.row.said_ms is not None:
        heard.append(row.row.said_ms * 10**6)
    values |= {"is_complete": row.is_complete, "pending": _pending(row, hub), "experiment": row.experiment}
    values["cluster"] = "" if row.in_queue is None else row.in_queue.cluster
    values["heard_ns"] = max((heard_ns for heard_ns in heard if heard_ns is not None), default=None)
    values |= {"tags": row.tags, "command": msgspec.json.decode(row.row.command), "status": shown_status(row, pulse)}
    if values["status"] == listing.NOT_RESPONDING and row.row.node_count > 1:
        values["cause"] = _who_is_silent(row, pulse)
    return Run(**values)


def _pending(row: RunRow, hub: Hub) -> str:
    """What a run waits for: for nodes, or, where everything of it has come, to be complete."""
    if row.in_queue is not None and row.in_queue.stage == standing.QUEUED:
        return row.in_queue.waits_for or "its turn in the queue"
    if row.is_complete or not row.row.is_complete:
        return ""
    if row.is_merged:
        return "its records are being applied"
    trouble = hub.trouble_of(row.row.run_id)
    if trouble:
        return f"its overall logs cannot be finished, which is tried again: {trouble}"
    return "its overall logs are being merged"


def _who_is_silent(row: RunRow, pulse: Pulse) -> str:
    """Which nodes keep a run from being heard: they have not failed, and end nobody."""
    silent = [row.folders[node_id] for node_id in row.silent_if if node_id and pulse.is_lost(row.row.run_id, [node_id])]
    if silent:
        return f"not heard from for {pulse.lost_contact_s:g} s: node {', '.join(sorted(silent)[:MOST_NAMED])}"
    return f"only {len(row.folders)} of its {row.row.node_count} nodes were ever heard from"


async def create_run(call: Call) -> web.Response:
    """POST /runs"""
    wanted: CreateRun = call.body
    created = await call.parts.database.write(catalog.create_run, wanted, call.who)
    call.parts.repeats.forget(wanted.run_id)
    if created.lost:
        await call.parts.dispatch.applied(created.lost)
        was = f"attempt {wanted.attempt} of run {wanted.run_id!r} was executed on this node before"
        detail = f"{was}, which has nothing of it any more"
        raise Problem(409, "not-placed", detail)
    if created.is_new:
        call.parts.pulse.beat(wanted.run_id, catalog.NO_NODE)
    row = await call.parts.database.read(catalog.run, wanted.run_id)
    return json_response(run_answer(row, call.parts.pulse, call.parts.hub), 201 if created.is_new else 200)


async def list_runs(call: Call) -> web.Response:
    """GET /runs"""
    if call.who.kind == auth.RUN and call.query.parent is None:
        raise not_allowed("a run's token lists the children of its run only: name the parent")
    if call.query.parent is not None:
        await call.parts.gate.require_run(call.who, call.query.parent)
    pulse = call.parts.pulse
    page = await call.parts.database.read(listing.list_runs, call.query, lambda row: shown_status(row, pulse))
    runs = [run_answer(row, pulse, call.parts.hub) for row in page.runs]
    return json_response(RunList(runs=runs, next_page_token=page.next_page_token or msgspec.UNSET))


async def show_run(call: Call) -> web.Response:
    """GET /runs/{run_id}"""
    database, pulse = call.parts.database, call.parts.pulse
    row = await database.read(catalog.run, call.run_id)
    nodes = await database.read(catalog.nodes_of, call.run_id)
    processes = await database.read(catalog.processes_of, call.run_id)
    recorded = await database.read(labels.of_run, call.run_id)
    # A node of an earlier version has gone through statuses without telling when: what the others tell is shown.
    current = nodes if row.in_queue is None else [node for node in nodes if node.attempt == row.row.attempt]
    told = [node.transitions for node in current if node.transitions or node.status == "NotStarted"]
    if row.row.node_count > len(current) and not row.state.is_final:
        told.append([])  # of those that have not come yet
    whole = msgspec.structs.asdict(run_answer(row, pulse, call.parts.hub)) | {
        "transitions": _said(row) or _with_queue(row, await asyncio.to_thread(state.transitions_of_run, told)),
        "nodes": [_with_pulse(node, call.run_id, pulse) for node in nodes],
        "processes": processes,
        **{name: getattr(row.row, name) for name in ("goal", "best_run_id", "best_value", "hint")},
        "params": recorded.params,
        "properties": recorded.properties,
        "warnings": recorded.warnings,
    }
    return json_response(RunInFull(**whole))


def _said(row: RunRow) -> list[Transition]:
    """Those of a client run: nobody but its clients has told of it."""
    if not row.row.is_client_run:
        return []
    moments = [("NotStarted", row.row.created_ns), ("Running", row.row.started_ns)]
    if row.state.is_final:
        moments.append((row.state.status, row.row.ended_ns))
    return [Transition(status=status, wall_ns=at_ns) for status, at_ns in moments if at_ns is not None]  # type: ignore[arg-type]


def _with_queue(row: RunRow, told: list[Transition]) -> list[Transition]:
    """The transitions with those that the collector knows of: the run was queued, given to nodes, and settled."""
    known = row.in_queue
    if known is None:
        return told
    first = [Transition(status="Queued", wall_ns=known.submitted_ns)]
    first += [Transition(status="Starting", wall_ns=known.placed_ns)] if known.placed_ns is not None else []
    settled = row.row.settled
    if settled is not None and settled.attempt == row.row.attempt:
        told = [moment for moment in told if moment.status not in state.FINAL]
        told.append(Transition(status=settled.status, phase=row.state.phase, wall_ns=settled.ended_ns))  # type: ignore[arg-type]
    return [*first, *(moment for moment in told if (moment.status, moment.phase) != ("Starting", ""))]


def _with_pulse(node: Node, run_id: str, pulse: Pulse) -> Node:
    return msgspec.structs.replace(node, heard_ns=pulse.heard_ns(run_id, node.node_id) or node.heard_ns)


async def register_node(call: Call) -> web.Response:
    """POST /runs/{run_id}/nodes"""
    call.who.require_node(call.body.node_id)
    folder = await call.parts.database.write(catalog.register_node, call.run_id, call.body)
    call.parts.pulse.beat(call.run_id, call.body.node_id)
    call.parts.repeats.forget(call.run_id)
    row = await call.parts.database.read(catalog.run, call.run_id)
    call.parts.hub.told(call.run_id, row.state, row.silent_if)
    return json_response(RegisteredNode(node_id=call.body.node_id, folder=folder))


async def put_state(call: Call) -> web.Response:
    """PUT /runs/{run_id}/nodes/{node_id}/state"""
    begun_ns = time.monotonic_ns()
    node_id = call.request.match_info["node_id"]
    call.who.require_node(node_id)
    told: NodeState = call.body
    said = call.parts.repeats.of(call.run_id)
    if said.is_repeated(node_id, told):
        heard = catalog.NOTHING_NEW
    else:
        heard = await call.parts.database.write(catalog.put_state, call.run_id, node_id, told)
        if heard.is_calm:
            said.keep(node_id, told)
    call.parts.pulse.beat(call.run_id, node_id)
    if heard.row is not None:
        call.parts.repeats.forget(call.run_id)
        call.parts.hub.told(call.run_id, heard.row.state, heard.row.silent_if)
        if heard.row.row.failed_ns is not None or told.status in ENDING:
            call.parts.meetings.changed(call.run_id)
    took_ns = time.monotonic_ns() - begun_ns
    watched = heard.watched
    return json_response(
        StateAnswer(
            stop=heard.stop, now_ns=time.time_ns(), took_ns=took_ns, want_stacks=watched.want_stacks, front=watched.front
        )
    )


async def want_stacks(call: Call) -> web.Response:
    """POST /runs/{run_id}/stacks"""
    row = await call.parts.database.read(catalog.run, call.run_id)
    if row.state.is_final:
        raise Problem(409, "ended", f"run {call.run_id} has ended; its stacks are those that were taken before")
    return json_response(StacksAnswer(number=await call.parts.database.write(progress.want_stacks, call.run_id)))


async def make_token(call: Call) -> web.Response:
    """POST /tokens"""
    return json_response(await call.parts.gate.make(call.body.kind, call.body.subject), 201)


async def revoke_token(call: Call) -> web.Response:
    """DELETE /tokens/{token_id}"""
    await call.parts.gate.revoke(call.request.match_info["token_id"])
    return web.Response(status=204)
