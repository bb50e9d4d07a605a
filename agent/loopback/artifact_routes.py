"""The files of the loopback server: what MLflow's clients put, get, list and delete."""

from __future__ import annotations

from pathlib import PurePosixPath

from aiohttp import web

from runyard.errors import InputError, SpoolError
from runyard.mlflow import answers, messages
from runyard.mlflow.errors import invalid
from runyard.tracking import records

from . import files, recording
from .asking import NOTHING, SERVER, NotOursError, Route, answer, asked_of, run_of
from .server import Server, no_room


def _owned(server: Server, place: files.Place) -> tuple[str, str]:
    """(owner in the book, owner in records) of a place."""
    if place.model_id:
        if place.model_id not in server.book.models:
            raise NotOursError(f"the model {place.model_id!r}")
        owner = files.owner_of_model(place.model_id)
        return owner, owner
    run = run_of(server, place.run)
    return run.run_id, run.word


async def put_artifact(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    place = files.place_of(request.match_info["path"])
    owner, word = _owned(server, place)
    if not place.path:
        raise invalid("Invalid path: it names no file")
    files.check_free(server.book.files.get(owner, {}), place.path)
    try:
        file = await server.blobs.take(request.content, request.content_length)
    except SpoolError as error:
        raise no_room(str(error)) from error
    except InputError as error:
        raise invalid(str(error)) from error
    server.record([records.Artifact(word, place.path, file.sha256, file.size_bytes, recording.now_ms())])
    return answer(NOTHING)


async def get_artifact(request: web.Request) -> web.StreamResponse:
    server = request.app[SERVER]
    place = files.place_of(request.match_info["path"])
    owner, _ = _owned(server, place)
    file = server.book.files.get(owner, {}).get(place.path)
    path = server.blobs.find(file) if file is not None else None
    if path is None:
        raise NotOursError(f"the artifact {place.path[:300]!r}")
    name = PurePosixPath(place.path).name.encode("ascii", "replace").decode().replace('"', "_")
    return web.FileResponse(path, headers={"Content-Disposition": f'attachment; filename="{name}"'})


async def delete_artifact(request: web.Request) -> web.Response:
    server = request.app[SERVER]
    place = files.place_of(request.match_info["path"])
    _, word = _owned(server, place)
    server.record([records.ArtifactGone(word, place.path)])
    return answer(NOTHING)


async def list_folder(request: web.Request) -> web.Response:
    """By the path below the root of all artifacts; the names alone are answered."""
    server = request.app[SERVER]
    asked = await asked_of(request, messages.ArtifactPath)
    place = files.place_of(asked.path)
    owner, _ = _owned(server, place)
    found = files.listed(server.book.files.get(owner, {}), place.path)
    return answer(answers.Files(files=[answers.FileInfo(_name(one.path), one.is_dir, one.file_size or None) for one in found]))


async def list_artifacts(request: web.Request) -> web.Response:
    """By run; the paths are those below its root."""
    server = request.app[SERVER]
    asked = await asked_of(request, messages.ListArtifacts)
    run = run_of(server, asked.run)
    folder = files.checked(asked.path)
    found = [one for one in files.listed(server.book.files.get(run.run_id, {}), folder) if one.path != folder]
    return answer(answers.Files(server.known.info(run).artifact_uri, found))


def _name(path: str) -> str:
    return PurePosixPath(path).name


_ARTIFACTS = "/mlflow-artifacts/artifacts"
ROUTES: list[Route] = [
    ("GET", "/mlflow/artifacts/list", list_artifacts),
    ("GET", _ARTIFACTS, list_folder),
    ("PUT", f"{_ARTIFACTS}/{{path:.+}}", put_artifact),
    ("GET", f"{_ARTIFACTS}/{{path:.+}}", get_artifact),
    ("DELETE", f"{_ARTIFACTS}/{{path:.+}}", delete_artifact),
]
