"""MLflow's routes of artifacts: files of runs and of models, streamed both ways.

Clients know a file by its path below the root of all artifacts, `<experiment>/<run>/artifacts/<path>` or
`<experiment>/models/<model>/artifacts/<path>`; what stands before the run's or model's id tells nothing here. Reads from and
writes to artifacts/files.py. Of what a node has shipped, `outputs/` is among a run's artifacts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiohttp import web

from runyard.collector.artifacts.files import Entry
from runyard.collector.artifacts.routes import send
from runyard.collector.artifacts.rows import owner_of_model
from runyard.collector.route import Parts
from runyard.mlflow import answers, messages
from runyard.mlflow.errors import MlflowError, invalid, missing

from . import models
from .access import Ask, model_of, run_of
from .rows import infos_of

_ROOTED = re.compile(r"(?:.*?/)??(?P<models>models/)?(?P<id>[^/]+)/artifacts(?:/(?P<path>.*))?", re.DOTALL)
_SHIPPED = "outputs/"


@dataclass(frozen=True, slots=True)
class _Target:
    """Whose files are meant, and which: empty, all of them."""

    owner: str
    path: str


def _safe(path: str) -> str:
    """The path as files are kept under; raises where it leads elsewhere."""
    if path.startswith("/") or ".." in path.split("/") or "#" in path:
        raise invalid("Invalid path: it has to be relative, without '..' and '#'")
    return "/".join(part for part in path.split("/") if part not in ("", "."))


async def _target(parts: Parts, ask: Ask, rooted: str) -> _Target | None:
    """What a path below the root means; None where it lies above the files of one run or model."""
    match = _ROOTED.fullmatch(_safe(rooted))
    if match is None:
        return None
    if match["models"]:
        await parts.database.read(model_of, ask, match["id"], is_deleted_too=True)
        return _Target(owner_of_model(match["id"]), match["path"] or "")
    await parts.database.read(run_of, ask, match["id"])
    return _Target(match["id"], match["path"] or "")


async def _needed(parts: Parts, ask: Ask, rooted: str) -> _Target:
    target = await _target(parts, ask, rooted)
    if target is None or not target.path:
        raise invalid("Invalid path: the files of a run lie below <experiment>/<run>/artifacts/")
    return target


async def upload(request: web.Request, parts: Parts, ask: Ask, rooted: str) -> web.StreamResponse:
    """PUT mlflow-artifacts/artifacts/{path}"""
    target = await _needed(parts, ask, rooted)
    await parts.artifacts.write(ask.who, target.owner, target.path, request.content, request.content_length)
    return _json(answers.Answer())


async def download(request: web.Request, parts: Parts, ask: Ask, rooted: str) -> web.StreamResponse:
    """GET and HEAD mlflow-artifacts/artifacts/{path}"""
    target = await _needed(parts, ask, rooted)
    return await send(request, await parts.artifacts.find(target.owner, target.path))


async def remove(request: web.Request, parts: Parts, ask: Ask, rooted: str) -> web.StreamResponse:
    """DELETE mlflow-artifacts/artifacts/{path}: a file, a folder, or all files of a run or model"""
    target = await _target(parts, ask, rooted)
    if target is None:
        raise invalid("Invalid path: the files of a run lie below <experiment>/<run>/artifacts/")
    await parts.artifacts.remove(target.owner, target.path)
    return _json(answers.Answer())


async def list_rooted(parts: Parts, ask: Ask, request: messages.ArtifactPath) -> answers.Answer:
    """GET mlflow-artifacts/artifacts: what lies right in a folder, by its last name"""
    target = await _target(parts, ask, request.path)
    if target is None:
        return answers.Files()
    return answers.Files(files=_in_folder(await _entries(parts, target), target.path, is_whole_path=False))


async def list_of_run(parts: Parts, ask: Ask, request: messages.ListArtifacts) -> answers.Answer:
    """GET artifacts/list"""
    row = await parts.database.read(run_of, ask, request.run)
    info = (await parts.database.read(infos_of, ask, [row]))[0]
    target = _Target(row.run_id, _safe(request.path))
    files = _in_folder(await _entries(parts, target), target.path, is_whole_path=True)
    return answers.Files(info.artifact_uri, files)


async def list_of_model(parts: Parts, ask: Ask, request: messages.ModelArtifacts, model_id: str) -> answers.Answer:
    """GET logged-models/{model_id}/artifacts/directories"""
    root = (await parts.database.read(models.one, ask, model_id)).info.artifact_uri
    target = _Target(owner_of_model(model_id), _safe(request.artifact_directory_path))
    return answers.Files(root, _in_folder(await _entries(parts, target), target.path, is_whole_path=True))


async def _entries(parts: Parts, target: _Target) -> list[Entry]:
    found = await parts.artifacts.list(target.owner, target.path)
    return [entry for entry in found if not entry.node_id or entry.path.startswith(_SHIPPED)]


def _in_folder(entries: list[Entry], folder: str, *, is_whole_path: bool) -> list[answers.FileInfo]:
    start = len(folder) + 1 if folder else 0
    found: dict[str, answers.FileInfo] = {}
    for entry in entries:
        name, slash, _ = entry.path[start:].partition("/")
        shown = entry.path[:start] + name if is_whole_path else name
        found[name] = answers.FileInfo(shown, is_dir=bool(slash), file_size=None if slash else entry.size_bytes or None)
    return [found[name] for name in sorted(found)]


def _json(answer: answers.Answer) -> web.Response:
    return web.Response(body=answers.encode(answer), content_type="application/json")


async def refuse_parts(request: web.Request, parts: Parts, ask: Ask, rooted: str) -> web.StreamResponse:
    """mlflow-artifacts/mpu, presigned: what MLflow's own server does not have for files of its own, either"""
    raise MlflowError(
        "NOT_IMPLEMENTED", "files are sent and fetched whole: there are no multipart uploads and no presigned URLs"
    )


async def show_file(request: web.Request, parts: Parts, ask: Ask, model_id: str) -> web.StreamResponse:
    """GET logged-models/{model_id}/artifacts/files"""
    path = request.query.get("artifact_file_path", "")
    if not path:
        raise missing('Request must include the "artifact_file_path" query parameter.')
    await parts.database.read(model_of, ask, model_id)
    return await send(request, await parts.artifacts.find(owner_of_model(model_id), _safe(path)))
