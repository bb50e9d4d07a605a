"""The routes of clusters and their nodes.

Each reads a checked request, asks the registry or the dispatch, and answers; what is decided is decided there.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import msgspec
from aiohttp import web

from runyard.collector import auth
from runyard.collector.problems import invalid
from runyard.collector.route import Call, json_response
from runyard.collector.standing import PLACED, QUEUED

from . import registry, samples, use
from .answers import Cluster, ClusterList, ClusterNode, HeartbeatAnswer, Joined, JoinToken, NodeList, Samples
from .changes import Changes
from .dispatch import Dispatch
from .messages import Capacity, ClusterName, ClusterNodeStatus, Heartbeat, JoinCluster

# A clock that is further off than this is told of.
CLOCK_OFF_NS = 60 * 1_000_000_000


def _cluster(call: Call) -> str:
    """The cluster in the path."""
    return call.request.match_info["cluster"]


def _node_id(call: Call) -> str:
    """The node in the path."""
    return call.request.match_info["node_id"]


async def make_join_token(call: Call) -> web.Response:
    """POST /clusters/{cluster}/join-tokens"""
    try:
        cluster = msgspec.convert(_cluster(call), ClusterName)
    except msgspec.ValidationError:
        rule = "has to be 1 to 64 letters, digits, '.', '_' and '-', with a letter or a digit at both ends"
        raise invalid(f"the name of a cluster {rule}, not {_cluster(call)[:64]!r}") from None
    token, new = auth.new_token()
    expires_ns = time.time_ns() + int(call.body.valid_s * 1e9)
    await call.parts.database.write(registry.make_join_token, cluster, new, call.body.uses, expires_ns)
    made = JoinToken(token_id=new.token_id, token=token, cluster=cluster, uses=call.body.uses, expires_ns=expires_ns)
    return json_response(made, 201)


async def join_cluster(call: Call) -> web.Response:
    """POST /nodes"""
    wanted: JoinCluster = call.body
    dispatch, cluster = call.parts.dispatch, call.who.subject
    token, new = auth.new_token()
    is_silent = dispatch.contact.is_silent(wanted.node_id)
    void = await call.parts.database.write(registry.join, cluster, call.who.token_sha256, wanted, new, is_silent=is_silent)
    call.parts.gate.forget(void)
    dispatch.joined(wanted.node_id)
    return json_response(Joined(cluster=cluster, token_id=new.token_id, token=token), 201)


async def renew_token(call: Call) -> web.Response:
    """POST /nodes/{node_id}/token"""
    call.who.require_node(_node_id(call))
    token, new = auth.new_token()
    cluster = await call.parts.database.write(registry.renew, _node_id(call), new)
    return json_response(Joined(cluster=cluster, token_id=new.token_id, token=token), 201)


async def heartbeat(call: Call) -> web.Response:
    """PUT /nodes/{node_id}/heartbeat"""
    call.who.require_node(_node_id(call))
    told: Heartbeat = call.body
    clock_off_ns = told.now_ns - time.time_ns()
    work = await call.parts.dispatch.hear(_node_id(call), told, clock_off_ns)
    return json_response(HeartbeatAnswer(version=work.version, now_ns=time.time_ns(), clock_off_ns=clock_off_ns))


async def await_work(call: Call) -> web.Response:
    """GET /nodes/{node_id}/work"""
    call.who.require_node(_node_id(call))
    dispatch = call.parts.dispatch
    dispatch.contact.beat(_node_id(call))
    work = await dispatch.awaited(_node_id(call), call.query.seen, call.query.wait_s)
    dispatch.contact.beat(_node_id(call))
    return json_response(work)


async def list_nodes(call: Call) -> web.Response:
    """GET /nodes"""
    rows = await call.parts.database.read(registry.nodes, call.query.cluster)
    return json_response(NodeList(nodes=[node_answer(row, call.parts.dispatch) for row in rows]))


async def show_node(call: Call) -> web.Response:
    """GET /nodes/{node_id}"""
    row = await call.parts.database.read(registry.one, _node_id(call))
    return json_response(node_answer(row, call.parts.dispatch))


def node_answer(row: Any, dispatch: Dispatch) -> ClusterNode:
    """A node of a cluster in an answer, from its row and from what is known of it in memory."""
    fields = (field for field in ClusterNode.__struct_fields__ if hasattr(row, field))
    values = {field: getattr(row, field) for field in fields}
    values["heard_ns"] = dispatch.contact.heard_ns(row.node_id) or row.heard_ns
    values |= {"status": shown_status(row, dispatch), "reason": _reason(row), "sample": dispatch.newest.of(row.node_id)}
    return ClusterNode(**values)


def shown_status(row: Any, dispatch: Dispatch) -> ClusterNodeStatus:
    """The status as it is shown: silence is lost contact, but of a node that has said good-bye and has nothing left."""
    has_left = row.status == "Leaving" and all(run.is_over for run in row.runs)
    if dispatch.contact.is_silent(row.node_id) and not has_left:
        return "LostContact"
    status: ClusterNodeStatus = row.status
    return status


def _reason(row: Any) -> str:
    if abs(row.clock_off_ns) < CLOCK_OFF_NS:
        return str(row.reason)
    way = "ahead of" if row.clock_off_ns > 0 else "behind"
    clock = f"its clock is {abs(row.clock_off_ns) / 1e9:.0f} s {way} the collector's"
    return f"{row.reason}; {clock}" if row.reason else clock


async def show_samples(call: Call) -> web.Response:
    """GET /nodes/{node_id}/samples"""
    await call.parts.database.read(registry.one, _node_id(call))
    found = await call.parts.database.read(samples.read, _node_id(call), call.query.since_ns)
    return json_response(Samples(samples=found))


async def drain_node(call: Call) -> web.Response:
    """POST /nodes/{node_id}/drain"""
    return await _set_drained(call, is_drained=True, reason=call.body.reason)


async def resume_node(call: Call) -> web.Response:
    """POST /nodes/{node_id}/resume"""
    return await _set_drained(call, is_drained=False, reason="")


async def _set_drained(call: Call, *, is_drained: bool, reason: str) -> web.Response:
    changes = await call.parts.database.write(registry.drain, _node_id(call), is_drained=is_drained, reason=reason)
    await call.parts.dispatch.applied(changes)
    return await show_node(call)


async def remove_node(call: Call) -> web.Response:
    """DELETE /nodes/{node_id}"""
    void, is_forgotten = await call.parts.database.write(registry.remove, _node_id(call))
    call.parts.gate.forget(void)
    if is_forgotten:
        call.parts.dispatch.forget(_node_id(call))
    else:
        await call.parts.dispatch.applied(Changes(nodes=frozenset({_node_id(call)})))
    return web.Response(status=204)


async def list_clusters(call: Call) -> web.Response:
    """GET /clusters"""
    names = await call.parts.database.read(registry.names)
    return json_response(ClusterList(clusters=await _clusters(call, names)))


async def show_cluster(call: Call) -> web.Response:
    """GET /clusters/{cluster}"""
    await call.parts.database.read(registry.require_cluster, _cluster(call))
    return json_response((await _clusters(call, [_cluster(call)]))[0])


async def _clusters(call: Call, names: list[str]) -> list[Cluster]:
    rows = await call.parts.database.read(registry.nodes)
    counts = await call.parts.database.read(registry.runs_by_stage)
    taken = await call.parts.database.read(use.gpus_taken)
    return [
        Cluster(
            cluster=name,
            nodes=dict(Counter(shown_status(row, call.parts.dispatch) for row in rows if row.cluster == name)),
            capacity=together([row.capacity for row in rows if row.cluster == name]),
            gpus_taken=taken.get(name, 0),
            queued=counts.get((name, QUEUED), 0),
            active=counts.get((name, PLACED), 0),
        )
        for name in names
    ]


def together(capacities: list[Capacity]) -> Capacity:
    """What several nodes have, as one."""
    return Capacity(
        cpus=sum(one.cpus for one in capacities),
        memory_bytes=sum(one.memory_bytes for one in capacities),
        gpus=sum(one.gpus for one in capacities),
        gpu_name=", ".join(sorted({one.gpu_name for one in capacities if one.gpu_name})),
    )
