"""MLflow's logged models of the loopback server."""

from __future__ import annotations

from aiohttp import web

from runyard.mlflow import answers, limits, messages
from runyard.mlflow.errors import invalid, missing
from runyard.tracking import records

from . import files, recording
from .asking import NOTHING, SERVER, NotOursError, Route, answer, asked_of, run_of
from .book import KnownModel
from .server import Server


def model_of(server: Server, request: web.Request) -> KnownModel:
    model_id = request.match_info["model_id"]
    model = server.book.models.get(model_id)
    if model is None:
        raise NotOursError(f"the model {model_id[:300]!r}")
    return model


async def create_model(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.CreateModel)
    run = run_of(server, asked.source_run_id) if asked.source_run_id else None
    model = server.asked_again_for_model(asked, run.run_id if run else "")
    if model is None:
        model_id, new = recording.model(asked, run)
        server.record(new)
        model = server.book.models[model_id]
    return answer(answers.OneModel(server.known.model(model)))


async def get_model(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.ModelQuery)
    model = model_of(server, request)
    if model.is_deleted and not asked.allow_deleted:
        raise missing(f"Logged model with ID '{model.model_id}' not found.")
    return answer(answers.OneModel(server.known.model(model)))


async def finalize_model(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.FinalizeModel)
    model = model_of(server, request)
    if asked.status is None:
        raise invalid("Missing value for required parameter 'status'.")
    server.record(recording.change_model(model, status=messages.model_status_of(asked.status)))
    return answer(answers.OneModel(server.known.model(model)))


async def delete_model(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    server.record(recording.change_model(model_of(server, request), deleted_ms=recording.now_ms()))
    return answer(NOTHING)


async def model_params(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.ModelChange)
    model = model_of(server, request)
    server.record(recording.change_model(model, params={one.key: one.value for one in asked.params}))
    return answer(NOTHING)


async def model_tags(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.ModelChange)
    model = model_of(server, request)
    server.record(recording.change_model(model, tags={one.key: one.value for one in asked.tags}))
    return answer(answers.OneModel(server.known.model(model)))


async def model_untag(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    model, key = model_of(server, request), request.match_info["key"]
    tags = dict(model.document.get("tags") or {})
    if tags.pop(key, None) is None:
        raise missing(f"Tag '{key}' not found for model with ID '{model.model_id}'.")
    server.record([records.Model(model.model_id, model.word, {"tags": tags}, recording.now_ms())])
    return answer(NOTHING)


async def search_models(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    asked = await asked_of(request, messages.SearchModels)
    limits.check_max_results(asked.max_results)
    return answer(server.known.models(asked))


async def list_model(request: web.Request) -> web.Response:
    """The same of a model."""
    server = request.app[SERVER]
    asked = await asked_of(request, messages.ModelArtifacts)
    model = model_of(server, request)
    folder = files.checked(asked.artifact_directory_path)
    owner = files.owner_of_model(model.model_id)
    found = [one for one in files.listed(server.book.files.get(owner, {}), folder) if one.path != folder]
    return answer(answers.Files(server.known.model(model).info.artifact_uri, found))


_MODELS = "/mlflow/logged-models"
_MODEL = f"{_MODELS}/{{model_id}}"
ROUTES: list[Route] = [
    ("POST", _MODELS, create_model),
    ("POST", f"{_MODELS}/search", search_models),
    ("GET", _MODEL, get_model),
    ("PATCH", _MODEL, finalize_model),
    ("DELETE", _MODEL, delete_model),
    ("POST", f"{_MODEL}/params", model_params),
    ("PATCH", f"{_MODEL}/tags", model_tags),
    ("DELETE", f"{_MODEL}/tags/{{key}}", model_untag),
    ("GET", f"{_MODEL}/artifacts/directories", list_model),
]
