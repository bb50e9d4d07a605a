"""The routes of artifacts and their blobs, as collector/api.py has all routes."""

from __future__ import annotations

from runyard.collector.auth import ADMIN, NODE, RUN, USER
from runyard.collector.route import BYTES_TYPE, Answer, Route

from . import archive, messages, routes

_ANYBODY = frozenset({ADMIN, USER, NODE, RUN})
_READERS = _WRITERS = frozenset({ADMIN, USER, RUN})

_DOWNLOAD_HEADERS = ("Range", "If-Range", "If-None-Match")
_ANSWERED_HEADERS = ("ETag", "Accept-Ranges", "X-Content-Type-Options")
_TYPES = ("text/plain; charset=utf-8", BYTES_TYPE, "image/png", "image/jpeg", "image/gif", "image/webp")
_FILE_ANSWERS = (*(Answer(status, None, kind, _ANSWERED_HEADERS) for status in (200, 206) for kind in _TYPES), Answer(304))


def make_routes(v1: str) -> tuple[Route, ...]:
    """The routes below `v1`."""
    run = f"{v1}/runs/{{run_id}}"
    return (
        Route(
            "PUT", f"{v1}/blobs/{{sha256}}", routes.put_blob, "Send a blob, or the rest of it", _ANYBODY,
            tuple(Answer(status, messages.Blob) for status in (201, 200, 202)), (409, 413, 507),
            query=messages.PutBlobQuery, body_type=BYTES_TYPE,
        ),
        Route(
            "HEAD", f"{v1}/blobs/{{sha256}}", routes.head_blob, "How much of a blob has come", _ANYBODY,
            (Answer(204, headers=("Upload-Offset", "Upload-Complete")),),
        ),
        Route(
            "POST", f"{run}/artifacts", routes.put_artifact, "Give a blob a path in a run", _WRITERS,
            (Answer(201, messages.ArtifactFile),), (404, 409, 410, 507), body=messages.PutArtifact,
        ),
        Route(
            "GET", f"{run}/artifacts", routes.list_artifacts, "List a folder of a run's files", _READERS,
            (Answer(200, messages.ArtifactFolder),), (404, 410), query=messages.ListQuery,
        ),
        Route(
            "GET", f"{run}/artifacts/{{path}}", routes.get_artifact, "A file's bytes", _READERS,
            _FILE_ANSWERS, (404, 410, 416), headers=_DOWNLOAD_HEADERS,
        ),
        Route(
            "HEAD", f"{run}/artifacts/{{path}}", routes.get_artifact, "A file's size", _READERS,
            _FILE_ANSWERS, (404, 410, 416), headers=_DOWNLOAD_HEADERS,
        ),
        Route(
            "DELETE", f"{run}/artifacts/{{path}}", routes.delete_artifact, "Take away what was uploaded", _WRITERS,
            (Answer(204),), (404, 410, 507),
        ),
        Route(
            "GET", f"{run}/archive", routes.get_archive, "A run's files as a zip", _READERS,
            (Answer(content_type=archive.CONTENT_TYPE),), (404, 410), query=messages.ArchiveQuery,
        ),
    )  # fmt: skip
