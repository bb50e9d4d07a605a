"""What an image is built from, as one hash: Containerfile, files of the context, build arguments, the kind of machine.

Reads the context, but for what .containerignore (or .dockerignore) leaves out. Times and owners count for nothing, as in a
builder's own cache. What a base image's tag points to is not looked at.
"""

from __future__ import annotations

import hashlib
import os
import platform
import posixpath
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pathspec

from runyard.errors import PhaseError

_IGNORE_FILES = (".containerignore", ".dockerignore")
_CHUNK_BYTES = 1 << 20


def of(containerfile: Path, context: Path, build_args: Mapping[str, str]) -> str:
    """The hash, 64 hex digits. Raises PhaseError where there is no such file or folder, OSError for what cannot be read."""
    if not containerfile.is_file():
        raise PhaseError(f"environment.containerfile: {containerfile} does not exist on this node or is no file")
    if not context.is_dir():
        raise PhaseError(f"environment.context: {context} does not exist on this node or is no folder")
    digest = hashlib.sha256()
    _add(digest, platform.machine().encode(), containerfile.read_bytes())
    for name, value in sorted(build_args.items()):
        _add(digest, name.encode(), value.encode())
    for path, name in _files(context, _ignored(context)):
        _add_file(digest, path, name)
    return digest.hexdigest()


def _add(digest: hashlib._Hash, *parts: bytes) -> None:
    for part in parts:  # with its length: two lists of parts never come to the same bytes
        digest.update(b"%d:" % len(part) + part)


def _add_file(digest: hashlib._Hash, path: Path, name: str) -> None:
    state = path.lstat()
    _add(digest, os.fsencode(name), b"%o" % state.st_mode)
    if stat.S_ISLNK(state.st_mode):
        _add(digest, os.fsencode(path.readlink()))
    elif stat.S_ISREG(state.st_mode):
        content = hashlib.sha256()
        with path.open("rb") as file:
            while data := file.read(_CHUNK_BYTES):
                content.update(data)
        _add(digest, content.digest())


def _files(context: Path, ignored: pathspec.PathSpec[Any] | None) -> Iterator[tuple[Path, str]]:
    """All that is in the context as (path, name in it), in a fixed order."""
    may_come_back = ignored is not None and any(pattern.include is False for pattern in ignored.patterns)
    queue = [""]
    while queue:
        folder = queue.pop()
        for entry in sorted(os.scandir(context / folder), key=lambda entry: entry.name):
            name = posixpath.join(folder, entry.name)
            is_out = ignored is not None and ignored.match_file(name)
            if entry.is_dir(follow_symlinks=False) and (not is_out or may_come_back):
                queue.append(name)
            if not is_out:
                yield context / name, name


def _ignored(context: Path) -> pathspec.PathSpec[Any] | None:
    for name in _IGNORE_FILES:
        if (context / name).is_file():
            lines = (context / name).read_text(errors="surrogateescape").splitlines()
            return pathspec.PathSpec.from_lines("gitignore", filter(None, map(_as_git, lines)))
    return None


def _as_git(line: str) -> str:
    """A pattern of an ignore file for images, which starts at the context's root, as git writes it; empty where it is none."""
    line = line.strip()
    if not line or line.startswith("#"):
        return ""
    exception = "!" if line.startswith("!") else ""
    path = posixpath.normpath(line.removeprefix("!").strip().lstrip("/") or ".")
    return "" if path == "." else f"{exception}/{path}"
