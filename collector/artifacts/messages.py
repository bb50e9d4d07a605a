"""What the routes of artifacts take and answer. Pure."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from runyard.collector.messages import Body, Count, Flag, PageSize, Sha256, StreamName, Text


class PutBlobQuery(Body, frozen=True, kw_only=True):
    """Where the body goes on, and how long the whole blob is; without `size_bytes` the body's end is its end."""

    offset: Count = 0
    size_bytes: Count | None = None


class PutArtifact(Body, frozen=True, kw_only=True):
    """A blob that was uploaded is the file at `path` from now on."""

    path: StreamName
    sha256: Sha256
    size_bytes: Count


class ListQuery(Body, frozen=True, kw_only=True):
    """Which folder is listed (empty: the uppermost); with `recursive`, all files below it."""

    path: Text = ""
    recursive: Flag = 0
    page_size: PageSize = 100
    page_token: Text | None = None


class ArchiveQuery(Body, frozen=True, kw_only=True):
    """Which files are in the archive: those whose path starts with `prefix`, and of these, if any are named, the named ones."""

    prefix: Text = ""
    path: Annotated[list[Text], Meta(max_length=1000)] = []


class Blob(Body, frozen=True, kw_only=True):
    """How much of a blob is here; `is_whole`: all of it, and its digest is right."""

    sha256: str
    bytes: int
    is_whole: bool


class ArtifactFile(Body, frozen=True, kw_only=True):
    """A file of a run. `come_bytes` of its `size_bytes` are here; `node_id` is empty of what was uploaded."""

    path: str
    size_bytes: int
    come_bytes: int
    sha256: str | None
    modified_ms: int
    node_id: str


class ArtifactFolder(Body, frozen=True, kw_only=True):
    """A page of what lies right in one folder: paths of folders, and files."""

    path: str
    folders: list[str]
    files: list[ArtifactFile]
    next_page_token: str | UnsetType = UNSET
