"""Where a datastore's files come from: what every source offers, and the one that works with any of fsspec's file systems.

Reads from the datastore; all of it runs on fsspec's own event loop. datastore_http.py is the source for http and https.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem

from runyard.errors import PhaseError

# One request for so much; as many of them are in memory as files are under way.
REQUEST_BYTES = 8 << 20
ETAGS = ("ETag", "etag", "md5", "md5Hash", "content_md5", "checksum")
TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "timeModified")


class BrokenOffError(Exception):
    """Fewer bytes came than were promised, or others: trying again may help."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of the datastore: `name` relative to its root, `place` for the source alone."""

    name: str
    place: str
    size_bytes: int | None = None  # None: not known before it is opened
    version: str = ""  # changes with the content; empty: not known


@dataclass(frozen=True, slots=True)
class Content:
    """A file that is being read, from `start` on."""

    start: int
    size_bytes: int | None  # of the whole file; None: not known before its end
    version: str
    blocks: AsyncIterator[bytes]


class Source(Protocol):
    """A datastore, seen from the node."""

    has_listing: bool

    async def files(self) -> list[Remote]:
        """All files, in no order; PhaseError where there is no listing."""

    def named(self, name: str) -> Remote:
        """The file `name`, whether it is there or not."""

    async def version_of(self, remote: Remote) -> str:
        """Its version now; empty where it cannot be told."""

    def opened(self, remote: Remote, start: int, version: str) -> AbstractAsyncContextManager[Content]:
        """Read it from `start` on, if it still has that version and the server can; otherwise from its beginning."""

    async def close(self) -> None:
        """Close the connections."""


def version_from(size_bytes: int | None, etag: object, modified: object) -> str:
    """A short name of a file's state; empty where neither a tag nor a time tells one from the next."""
    if not etag and not modified:
        return ""
    return hashlib.sha256(repr((size_bytes, str(etag or ""), str(modified or ""))).encode()).hexdigest()[:16]


class AnySource:
    """Any of fsspec's file systems that lists its files with their sizes."""

    has_listing = True

    def __init__(self, fs: Any, root: str, executor: Executor) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self._executor = executor
        # Most file systems without coroutines have one connection, which only one thread may use.
        is_shared = isinstance(fs, AsyncFileSystem | LocalFileSystem)
        self._lock = None if is_shared else asyncio.Lock()

    async def files(self) -> list[Remote]:
        """All files, with sizes and versions."""
        has_own_find = type(self._fs).find is not fsspec.AbstractFileSystem.find
        if isinstance(self._fs, AsyncFileSystem):
            has_own_find = type(self._fs)._find is not AsyncFileSystem._find
        # The common way to walk a tree leaves out what it cannot read unless it is told otherwise.
        keywords = {} if has_own_find else {"on_error": "raise"}
        found = await self._call("find", self._root, detail=True, **keywords)
        remotes = [await self._remote(place, info) for place, info in found.items()]
        if not found and not await self._call("exists", self._root):
            raise FileNotFoundError(self._root)
        return [remote for remote in remotes if remote is not None]

    def named(self, name: str) -> Remote:
        """The file `name`, whether it is there or not."""
        return Remote(name, f"{self._root}/{name}")

    async def version_of(self, remote: Remote) -> str:
        """That of the listing, which is new enough."""
        return remote.version

    @asynccontextmanager
    async def opened(self, remote: Remote, start: int, version: str) -> AsyncIterator[Content]:
        """Read it in blocks of REQUEST_BYTES, each by a request of its own."""
        if remote.size_bytes is None:
            info = await self._call("info", remote.place)
            remote = Remote(remote.name, remote.place, info.get("size"), _version_of(info))
        start = start if version and version == remote.version else 0
        yield Content(start, remote.size_bytes, remote.version, self._blocks(remote, start))

    async def close(self) -> None:
        """Nothing to do: fsspec closes with the file system's object."""

    async def _blocks(self, remote: Remote, at: int) -> AsyncIterator[bytes]:
        if remote.size_bytes is None:
            yield await self._call("cat_file", remote.place)
            return
        requests = 0
        while at < remote.size_bytes:
            end = min(at + REQUEST_BYTES, remote.size_bytes)
            data = await self._call("cat_file", remote.place, start=at, end=end)
            if len(data) != end - at:
                raise BrokenOffError(f"{len(data)} bytes came in place of {end - at}")
            yield data
            at, requests = end, requests + 1
        if requests > 1 and remote.version and _version_of(await self._call("info", remote.place)) != remote.version:
            raise BrokenOffError("it was changed at the datastore while it was read")

    async def _remote(self, place: str, info: Mapping[str, Any]) -> Remote | None:
        if info.get("type") == "directory" or place.endswith("/"):
            return None
        name = place.removeprefix(f"{self._root}/") if place != self._root else place.rpartition("/")[2]
        if info.get("type") != "file" and not await self._call("isfile", place):
            if not await self._call("isdir", place):
                return None  # a socket or the like
            raise PhaseError(
                f"{name!r} in {self._root} is a link to a folder, and such links are not followed;"
                " make that folder a datastore of its own"
            )
        return Remote(name, place, info.get("size"), _version_of(info))

    async def _call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(self._fs, AsyncFileSystem):
            coroutine: Callable[..., Awaitable[Any]] = getattr(self._fs, f"_{method}")
            return await coroutine(*arguments, **keywords)
        if self._lock is None:
            return await self._in_thread(method, arguments, keywords)
        async with self._lock:
            return await self._in_thread(method, arguments, keywords)

    async def _in_thread(self, method: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: getattr(self._fs, method)(*arguments, **keywords))


def _version_of(info: Mapping[str, Any]) -> str:
    etag = next((info[key] for key in ETAGS if info.get(key)), "")
    modified = next((info[key] for key in TIMES if info.get(key)), "")
    # With a tag, the time adds nothing but different ways of writing it.
    return version_from(info.get("size"), etag, "" if etag else modified)
