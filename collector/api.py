"""The route table: every route of the collector, once. It registers them (app.py) and describes them (openapi.py)."""

from __future__ import annotations

from functools import cache

from aiohttp import web

from . import (
    answers,
    file_routes,
    health,
    messages,
    metrics,
    openapi,
    rendezvous_routes,
    report,
    run_routes,
    snapshot_routes,
    stream_routes,
)
from .artifacts import api as artifact_routes
from .auth import ADMIN, JOIN, NODE, RUN, USER
from .cluster import answers as cluster_answers
from .cluster import messages as cluster_messages
from .cluster import node_routes, order_api, queue_routes
from .route import FRAMES_TYPE, TAR_TYPE, Answer, Call, Route
from .search import api as search_routes
from .studio import api as studio_routes
from .tracking import api as tracking_routes
from .tracking import child_api
from .verdict import answer as verdict_answer
from .verdict import routes as verdict_routes

V1 = "/api/v1"

_ANYBODY = frozenset({ADMIN, USER, NODE, RUN})
_READERS = frozenset({ADMIN, USER, RUN})
_WRITERS = frozenset({ADMIN, NODE, RUN})
_PEOPLE = frozenset({ADMIN, USER})
_ADMINS = frozenset({ADMIN})
_NODES = frozenset({NODE})
_JOINING = frozenset({JOIN})

_DOWNLOAD_HEADERS = ("Range", "If-Range", "If-None-Match")


def _download(*content_types: str) -> tuple[Answer, ...]:
    headers = ("ETag", "Accept-Ranges", "X-Content-Type-Options")
    return (*(Answer(status, None, kind, headers) for status in (200, 206) for kind in content_types), Answer(304))


_FILE_ANSWERS = _download("text/plain; charset=utf-8", "application/octet-stream")


async def _document(call: Call) -> web.Response:
    """GET /openapi.json"""
    return web.Response(body=_described(), content_type="application/json")


@cache
def _described() -> bytes:
    return openapi.as_json(ROUTES)


def _answers(kind: type[object], *statuses: int) -> tuple[Answer, ...]:
    return tuple(Answer(status, kind) for status in statuses or (200,))


ROUTES: tuple[Route, ...] = (
    Route("GET", "/livez", health.livez, "Whether the process answers", None, _answers(answers.Alive)),
    Route(
        "GET", "/readyz", health.readyz, "Whether it can work", _ANYBODY, _answers(answers.Readiness, 200, 503)
    ),
    Route(
        "GET", "/metrics", health.show_metrics, "Numbers for Prometheus", _PEOPLE,
        (Answer(content_type=metrics.CONTENT_TYPE),),
    ),
    Route(
        "GET", f"{V1}/openapi.json", _document, "This description", _ANYBODY, (Answer(content_type="application/json"),)
    ),
    Route(
        "POST", f"{V1}/runs", run_routes.create_run, "Create a run", _ANYBODY,
        _answers(answers.Run, 201, 200), (409, 507), body=messages.CreateRun,
    ),
    Route(
        "GET", f"{V1}/runs", run_routes.list_runs, "List runs, newest first", _READERS,
        _answers(answers.RunList), query=messages.RunsQuery,
    ),
    Route(
        "GET", f"{V1}/runs/{{run_id}}", run_routes.show_run, "Show a run", _READERS,
        _answers(answers.RunInFull), (404,),
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/nodes", run_routes.register_node, "Register a node", _WRITERS,
        _answers(answers.RegisteredNode), (404, 507), body=messages.RegisterNode,
    ),
    Route(
        "PUT", f"{V1}/runs/{{run_id}}/nodes/{{node_id}}/state", run_routes.put_state, "Tell a node's state", _WRITERS,
        _answers(answers.StateAnswer), (404, 507), body=report.NodeState,
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/rendezvous", rendezvous_routes.meet, "Meet the run's other nodes", _WRITERS,
        _answers(answers.RendezvousAnswer), (404, 409, 507), query=messages.RendezvousQuery, body=messages.Rendezvous,
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/stacks", run_routes.want_stacks, "Want the stacks of all processes", _PEOPLE,
        _answers(answers.StacksAnswer), (404, 409, 507),
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/streams", stream_routes.open_streams, "Open streams", _WRITERS,
        _answers(answers.OpenedStreams), (404, 409, 410, 507), body=messages.OpenStreams,
    ),
    Route(
        "GET", f"{V1}/runs/{{run_id}}/streams", stream_routes.list_streams, "A node's streams", _WRITERS,
        _answers(answers.OpenedStreams), (404,), query=messages.NodeQuery,
    ),
    Route(
        "POST", f"{V1}/ingest", stream_routes.ingest, "Send frames", _WRITERS,
        _answers(answers.Acks), (404, 409, 410, 413, 507), query=messages.IngestQuery, body_type=FRAMES_TYPE,
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/seals", stream_routes.seal_streams, "Seal streams", _WRITERS,
        _answers(answers.SealResults), (404, 410, 507), body=messages.SealStreams,
    ),
    Route(
        "GET", f"{V1}/runs/{{run_id}}/files", file_routes.list_files, "List files", _READERS,
        _answers(answers.FileList), (404,), query=messages.FilesQuery,
    ),
    Route(
        "GET", f"{V1}/runs/{{run_id}}/files/{{path}}", file_routes.get_file, "A file's bytes", _READERS,
        _FILE_ANSWERS, (404, 410, 416), headers=_DOWNLOAD_HEADERS,
    ),
    Route(
        "HEAD", f"{V1}/runs/{{run_id}}/files/{{path}}", file_routes.get_file, "A file's size", _READERS,
        _FILE_ANSWERS, (404, 410, 416), headers=_DOWNLOAD_HEADERS,
    ),
    Route(
        "GET", f"{V1}/runs/{{run_id}}/follow", file_routes.follow, "Follow a run", _READERS,
        (Answer(content_type="text/event-stream"),), (404,), query=messages.FollowQuery, headers=("Last-Event-ID",),
    ),
    Route(
        "GET", f"{V1}/runs/{{run_id}}/verify", file_routes.verify, "Read every byte again", _READERS,
        _answers(answers.Verification), (404,),
    ),
    Route(
        "GET", f"{V1}/runs/{{run_id}}/verdict", verdict_routes.verdict, "Who failed first, and why", _READERS,
        _answers(verdict_answer.Verdict), (404,),
    ),
    Route(
        "PUT", f"{V1}/snapshots/{{snapshot_id}}", snapshot_routes.put_snapshot, "Keep a code snapshot", _ANYBODY,
        _answers(answers.Snapshot, 201, 200), (507,), body_type=TAR_TYPE,
    ),
    Route(
        "GET", f"{V1}/snapshots/{{snapshot_id}}", snapshot_routes.get_snapshot, "A snapshot's bytes", _ANYBODY,
        _download(TAR_TYPE), (404, 416), headers=_DOWNLOAD_HEADERS,
    ),
    Route(
        "HEAD", f"{V1}/snapshots/{{snapshot_id}}", snapshot_routes.get_snapshot, "Whether a snapshot is kept", _ANYBODY,
        _download(TAR_TYPE), (404, 416), headers=_DOWNLOAD_HEADERS,
    ),
    Route(
        "POST", f"{V1}/tokens", run_routes.make_token, "Make a token", _ADMINS,
        _answers(answers.Token, 201), (507,), body=messages.MakeToken,
    ),
    Route(
        "DELETE", f"{V1}/tokens/{{token_id}}", run_routes.revoke_token, "Revoke a token", _ADMINS,
        (Answer(204),), (404, 507),
    ),
    Route(
        "GET", f"{V1}/clusters", node_routes.list_clusters, "List clusters", _PEOPLE,
        _answers(cluster_answers.ClusterList),
    ),
    Route(
        "GET", f"{V1}/clusters/{{cluster}}", node_routes.show_cluster, "Show a cluster", _PEOPLE,
        _answers(cluster_answers.Cluster), (404,),
    ),
    Route(
        "POST", f"{V1}/clusters/{{cluster}}/join-tokens", node_routes.make_join_token, "Make a join token", _ADMINS,
        _answers(cluster_answers.JoinToken, 201), (507,), body=cluster_messages.MakeJoinToken,
    ),
    Route(
        "POST", f"{V1}/nodes", node_routes.join_cluster, "Join a cluster", _JOINING,
        _answers(cluster_answers.Joined, 201), (409, 507), body=cluster_messages.JoinCluster,
    ),
    Route(
        "GET", f"{V1}/nodes", node_routes.list_nodes, "List nodes", _PEOPLE,
        _answers(cluster_answers.NodeList), (404,), query=cluster_messages.NodesQuery,
    ),
    Route(
        "GET", f"{V1}/nodes/{{node_id}}", node_routes.show_node, "Show a node", _PEOPLE,
        _answers(cluster_answers.ClusterNode), (404,),
    ),
    Route(
        "DELETE", f"{V1}/nodes/{{node_id}}", node_routes.remove_node, "Remove a node", _ADMINS,
        (Answer(204),), (404, 507),
    ),
    Route(
        "POST", f"{V1}/nodes/{{node_id}}/token", node_routes.renew_token, "Renew a node's token", _NODES,
        _answers(cluster_answers.Joined, 201), (404, 507),
    ),
    Route(
        "PUT", f"{V1}/nodes/{{node_id}}/heartbeat", node_routes.heartbeat, "Tell how a node is", _NODES,
        _answers(cluster_answers.HeartbeatAnswer), (404, 507), body=cluster_messages.Heartbeat,
    ),
    Route(
        "GET", f"{V1}/nodes/{{node_id}}/work", node_routes.await_work, "What a node is to have", _NODES,
        _answers(cluster_answers.Work), (404,), query=cluster_messages.WorkQuery,
    ),
    Route(
        "GET", f"{V1}/nodes/{{node_id}}/samples", node_routes.show_samples, "A node's samples", _PEOPLE,
        _answers(cluster_answers.Samples), (404,), query=cluster_messages.SamplesQuery,
    ),
    Route(
        "POST", f"{V1}/nodes/{{node_id}}/drain", node_routes.drain_node, "Give a node no more runs", _PEOPLE,
        _answers(cluster_answers.ClusterNode), (404, 507), body=cluster_messages.DrainNode,
    ),
    Route(
        "POST", f"{V1}/nodes/{{node_id}}/resume", node_routes.resume_node, "Give a node runs again", _PEOPLE,
        _answers(cluster_answers.ClusterNode), (404, 507),
    ),
    Route(
        "POST", f"{V1}/clusters/{{cluster}}/runs", queue_routes.submit_run, "Submit a run to a cluster", _READERS,
        _answers(answers.Run, 201, 200), (404, 409, 507), body=cluster_messages.SubmitRun,
    ),
    Route(
        "GET", f"{V1}/clusters/{{cluster}}/runs", queue_routes.show_queue, "A cluster's queue", _PEOPLE,
        _answers(cluster_answers.Queue), (404,),
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/cancel", queue_routes.cancel_run, "Cancel a run", _READERS,
        _answers(answers.Run), (404, 409, 507), body=cluster_messages.CancelRun,
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/pin", queue_routes.pin_run, "Keep a run's files", _PEOPLE,
        _answers(answers.Run), (404, 507),
    ),
    Route(
        "POST", f"{V1}/runs/{{run_id}}/unpin", queue_routes.unpin_run, "Let a run's files go with the others", _PEOPLE,
        _answers(answers.Run), (404, 507),
    ),
    *artifact_routes.make_routes(V1),
    *child_api.make_routes(V1),
    *search_routes.make_routes(V1),
    *order_api.make_routes(V1),
    *studio_routes.make_routes(V1),
    *tracking_routes.make_routes(V1),
)  # fmt: skip
