"""The routes of MLflow's tracking API, each once; they are there under the paths of its clients and of its web pages alike.

Reads requests; has a function of this package do them in a transaction of the database; writes answers. Its errors become
answers in app.py, by edge.py.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler

from runyard.collector.auth import ADMIN, RUN, USER
from runyard.collector.catalog import RunRow
from runyard.collector.route import Parts, raw_tail
from runyard.collector.run_routes import shown_status
from runyard.collector.tracking.telling import tell
from runyard.mlflow import answers, messages
from runyard.mlflow.answers import SERVER_INFO, VERSION

from . import experiments, files, history, models, recording, runs
from .access import Ask
from .edge import PREFIXES, authorization_of

_KINDS = frozenset({ADMIN, USER, RUN})
T = TypeVar("T", bound=messages.Request)
Work = Callable[..., answers.Answer]


@dataclass(frozen=True, slots=True)
class _Route:
    """A route: `work(connection, ask, request, *parts of the path)` answers it in one transaction."""

    methods: str
    path: str
    kind: type[messages.Request]
    work: Work
    is_write: bool = True


def _reads(methods: str, path: str, kind: type[messages.Request], work: Work) -> _Route:
    return _Route(methods, path, kind, work, is_write=False)


_ROUTES: tuple[_Route, ...] = (
    _Route("POST", "experiments/create", messages.CreateExperiment, experiments.create),
    _reads("GET POST", "experiments/get", messages.ExperimentRequest, experiments.get),
    _reads("GET POST", "experiments/get-by-name", messages.ExperimentName, experiments.get_by_name),
    _reads("GET POST", "experiments/search", messages.SearchExperiments, experiments.find),
    _reads("POST", "experiments/search-datasets", messages.SearchDatasets, experiments.datasets),
    _Route("POST", "experiments/update", messages.UpdateExperiment, experiments.update),
    _Route("POST", "experiments/delete", messages.ExperimentRequest, experiments.delete),
    _Route("POST", "experiments/restore", messages.ExperimentRequest, experiments.restore),
    _Route("POST", "experiments/set-experiment-tag", messages.ExperimentTag, experiments.set_tag),
    _Route("POST", "experiments/delete-experiment-tag", messages.ExperimentTag, experiments.delete_tag),
    _Route("POST", "runs/create", messages.CreateRun, runs.create),
    _reads("GET POST", "runs/get", messages.RunRequest, runs.get),
    _Route("POST", "runs/update", messages.UpdateRun, runs.update),
    _Route("POST", "runs/delete", messages.RunRequest, runs.delete),
    _Route("POST", "runs/restore", messages.RunRequest, runs.restore),
    _reads("GET POST", "runs/search", messages.SearchRuns, runs.find),
    _Route("POST", "runs/log-metric", messages.LogMetric, recording.log_metric),
    _Route("POST", "runs/log-parameter", messages.LogParam, recording.log_param),
    _Route("POST", "runs/set-tag", messages.LogParam, recording.set_tag),
    _Route("POST DELETE", "runs/delete-tag", messages.LogParam, recording.delete_tag),
    _Route("POST", "runs/log-batch", messages.Batch, recording.log_batch),
    _Route("POST", "runs/log-inputs", messages.LogInputs, recording.log_inputs),
    _Route("POST", "runs/outputs", messages.LogOutputs, recording.log_outputs),
    _Route("POST", "runs/log-model", messages.LogModel, recording.log_model),
    _reads("GET POST", "metrics/get-history", messages.History, history.show),
    _reads("GET POST", "metrics/get-history-bulk", messages.HistoryBulk, history.bulk),
    _reads("GET POST", "metrics/get-history-bulk-interval", messages.HistoryInterval, history.interval),
    _Route("POST", "logged-models", messages.CreateModel, models.create),
    _reads("POST", "logged-models/search", messages.SearchModels, models.find),
    _reads("GET", "logged-models/{model_id}", messages.ModelQuery, models.get),
    _Route("PATCH", "logged-models/{model_id}", messages.FinalizeModel, models.finalize),
    _Route("DELETE", "logged-models/{model_id}", messages.Request, models.delete),
    _Route("POST", "logged-models/{model_id}/params", messages.ModelChange, models.log_params),
    _Route("PATCH", "logged-models/{model_id}/tags", messages.ModelChange, models.set_tags),
    _Route("DELETE", "logged-models/{model_id}/tags/{key}", messages.Request, models.delete_tag),
)

# Those that read files: work(parts, ask, request, *parts of the path).
_LISTS: tuple[tuple[str, type[messages.Request], Callable[..., Awaitable[answers.Answer]]], ...] = (
    ("mlflow/artifacts/list", messages.ListArtifacts, files.list_of_run),
    ("mlflow/logged-models/{model_id}/artifacts/directories", messages.ModelArtifacts, files.list_of_model),
    ("mlflow-artifacts/artifacts", messages.ArtifactPath, files.list_rooted),
)
_FILES = (
    ("PUT", "artifacts/", files.upload),
    ("GET", "artifacts/", files.download),
    ("HEAD", "artifacts/", files.download),
    ("DELETE", "artifacts/", files.remove),
    ("*", "mpu/", files.refuse_parts),
    ("*", "presigned/", files.refuse_parts),
)


def add_routes(app: web.Application, parts: Parts) -> None:
    """Registers MLflow's routes, answered with `parts`."""
    router = app.router
    for route in _ROUTES:
        handler = _entry(route, parts)
        for method in route.methods.split():
            for prefix in PREFIXES[:2]:
                router.add_route(method, prefix + route.path, handler)
    for base in ("/api/2.0/", "/ajax-api/2.0/"):
        for path, kind, work in _LISTS:
            router.add_route("GET", base + path, _list_entry(kind, work, parts))
        for method, path, serve in _FILES:
            router.add_route(method, f"{base}mlflow-artifacts/{path}{{path:[\\s\\S]*}}", _file_entry(serve, parts))
        shown = f"{base}mlflow/logged-models/{{model_id}}/artifacts/files"
        router.add_route("GET", shown, _model_file_entry(parts))
    for path in ("/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"):
        router.add_get(path, _show_server_info)
    router.add_get("/health", _show_health)
    router.add_get("/version", _show_version)


def _entry(route: _Route, parts: Parts) -> Handler:
    async def entry(request: web.Request) -> web.StreamResponse:
        ask = await _ask(request, parts)
        wanted = await _wanted(request, route.kind)
        run = parts.database.write if route.is_write else parts.database.read
        answer = await run(route.work, ask, wanted, *request.match_info.values())
        if isinstance(wanted, messages.UpdateRun):
            await tell(parts.database, parts.hub, [wanted.run])
        return _json(answer)

    return entry


def _list_entry(kind: type[T], work: Callable[..., Awaitable[answers.Answer]], parts: Parts) -> Handler:
    async def entry(request: web.Request) -> web.StreamResponse:
        ask = await _ask(request, parts)
        return _json(await work(parts, ask, await _wanted(request, kind), *request.match_info.values()))

    return entry


def _file_entry(serve: Callable[..., Awaitable[web.StreamResponse]], parts: Parts) -> Handler:
    async def entry(request: web.Request) -> web.StreamResponse:
        return await serve(request, parts, await _ask(request, parts), raw_tail(request, "path"))

    return entry


def _model_file_entry(parts: Parts) -> Handler:
    async def entry(request: web.Request) -> web.StreamResponse:
        return await files.show_file(request, parts, await _ask(request, parts), request.match_info["model_id"])

    return entry


async def _ask(request: web.Request, parts: Parts) -> Ask:
    """Who asks; raises a 401 or 403."""
    who = await parts.gate.principal(authorization_of(request.headers.get("Authorization")))
    who.require_kind(_KINDS)

    def shown(row: RunRow) -> str:
        return shown_status(row, parts.pulse)

    return Ask(who, time.time_ns() // 10**6, shown)


async def _wanted(request: web.Request, kind: type[T]) -> T:
    if request.method == "GET":
        query: dict[str, list[str]] = {}
        for name, value in request.query.items():
            query.setdefault(name, []).append(value)
        return messages.from_query(query, kind)
    return messages.decode(await request.read(), kind)


def _json(answer: Any) -> web.Response:
    return web.Response(body=answers.encode(answer), content_type="application/json")


async def _show_server_info(request: web.Request) -> web.Response:
    """What MLflow's clients ask before they log in."""
    return _json(SERVER_INFO)


async def _show_health(request: web.Request) -> web.Response:
    return web.Response(text="OK")


async def _show_version(request: web.Request) -> web.Response:
    return web.Response(text=VERSION)
