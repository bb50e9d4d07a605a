"""A datastore behind http or https: through fsspec's session, with our own reading of listings and answers.

The listing is the server's page of links (as nginx, Apache and Python's http.server write it); a folder ends with a slash.
fsspec's own reading of them neither decodes names nor tells whether a server gave the range that it was asked for.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit

import aiohttp

from runyard.errors import PhaseError

from .datastore_source import Content, Remote, version_from

# A server that is silent for a minute has gone. There is no limit for a whole file.
TIMEOUT = aiohttp.ClientTimeout(sock_connect=10.0, sock_read=60.0)
BUFFER_BYTES = 1 << 20
LISTINGS_AT_ONCE = 8
# No data set is nested so deep; a link that leads round in a circle is.
MOST_LEVELS = 50
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)\Z")


class HttpSource:
    """The files below a URL that ends with a slash, or the one file that it names. Without a listing it is always the first."""

    def __init__(self, fs: Any, url: str, *, has_listing: bool) -> None:
        self._fs = fs
        self._url = url if has_listing else url.rstrip("/") + "/"
        self.has_listing = has_listing

    async def files(self) -> list[Remote]:
        """All files that the server's pages lead to, without sizes."""
        url = self._url
        if not urlsplit(url).path.endswith("/"):
            async with await self._request("GET", url) as answer:
                _check(answer)
                # A server sends who asks for a folder without its slash there.
                if not answer.url.path.endswith("/"):
                    return [Remote(_path(url).rpartition("/")[2], url)]
                self._url = url = str(answer.url)
        found: dict[str, Remote] = {}
        folders, levels = {url}, 0
        while folders:
            levels += 1
            if levels > MOST_LEVELS:
                raise PhaseError(
                    f"the folders at {_bare(url)} are nested more than {MOST_LEVELS} deep; is there a link to itself?"
                )
            links = await self._links_of(sorted(folders))
            folders = {link for link in links if link.endswith("/")}
            found |= {link: Remote(self._name_of(link), link) for link in links - folders}
        return list(found.values())

    def named(self, name: str) -> Remote:
        """The file `name` below the URL."""
        return Remote(name, self._url + quote(name, errors="surrogateescape"))

    async def version_of(self, remote: Remote) -> str:
        """Asked for by HEAD; empty where the server does not answer that."""
        async with await self._request("HEAD", remote.place) as answer:
            return _version_of(answer, answer.content_length) if answer.status == 200 else ""

    @asynccontextmanager
    async def opened(self, remote: Remote, start: int, version: str) -> AsyncIterator[Content]:
        """Read it from `start` on where the answer is that part of that version; one that is not is never used."""
        if start:
            async with await self._request("GET", remote.place, {"Range": f"bytes={start}-"}) as answer:
                content = _part(answer, start, version) or (_whole(answer) if answer.status == 200 else None)
                if content is not None:
                    yield content
                    return
        async with await self._request("GET", remote.place) as answer:
            _check(answer)
            yield _whole(answer)

    async def close(self) -> None:
        """Close the connections."""
        await (await self._fs.set_session()).close()

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str] = MappingProxyType({})
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        session = await self._fs.set_session()
        options = dict(self._fs.kwargs)
        options["headers"] = {**options.get("headers", {}), "Accept-Encoding": "identity", **headers}
        options.setdefault("timeout", TIMEOUT)
        options.setdefault("allow_redirects", True)
        request = session.request(method, self._fs.encode_url(url), read_bufsize=BUFFER_BYTES, **options)
        return cast("AbstractAsyncContextManager[aiohttp.ClientResponse]", request)

    async def _links_of(self, urls: list[str]) -> set[str]:
        at_once = asyncio.Semaphore(LISTINGS_AT_ONCE)

        async def one(url: str) -> set[str]:
            async with at_once, await self._request("GET", url) as answer:
                _check(answer)
                if answer.content_type != "text/html":
                    raise PhaseError(f"{_bare(url)} gives no page of links; name the files by `checksums`")
                return _links(await answer.text(errors="replace"), url)

        return set().union(*await asyncio.gather(*map(one, urls)))

    def _name_of(self, link: str) -> str:
        return _path(link).removeprefix(_path(self._url))


def _check(answer: aiohttp.ClientResponse) -> None:
    if answer.status == 404:
        raise FileNotFoundError(answer.url)
    answer.raise_for_status()


def _part(answer: aiohttp.ClientResponse, start: int, version: str) -> Content | None:
    """The rest of a file from `start` on, if that is what came, and of that version."""
    found = _CONTENT_RANGE.match(answer.headers.get("Content-Range", ""))
    if found is None or answer.status != 206 or int(found[1]) != start:
        return None
    size_bytes = int(found[2])
    is_same = version and _version_of(answer, size_bytes) == version
    return Content(start, size_bytes, version, _blocks(answer)) if is_same else None


def _whole(answer: aiohttp.ClientResponse) -> Content:
    # Of what was packed for the way, the length tells nothing.
    is_plain = answer.headers.get("Content-Encoding", "identity") == "identity"
    size_bytes = answer.content_length if is_plain else None
    return Content(0, size_bytes, _version_of(answer, size_bytes) if is_plain else "", _blocks(answer))


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _links(page: str, url: str) -> set[str]:
    """The links of a folder's page that lead deeper; those to its parent, to itself in another order, and elsewhere do not."""
    anchors = _Anchors()
    anchors.feed(page)
    found = set()
    for target in anchors.targets:
        with suppress(ValueError):  # what is no address leads nowhere
            link = urldefrag(urljoin(url, target)).url
            if _is_below(link, url):
                found.add(link)
    return found


def _is_below(target: str, url: str) -> bool:
    there, here = urlsplit(target), urlsplit(url)
    is_here = (there.scheme, there.netloc) == (here.scheme, here.netloc) and not there.query
    return is_here and _path(target).startswith(_path(url)) and _path(target) != _path(url)


def _path(url: str) -> str:
    return unquote(urlsplit(url).path, errors="surrogateescape")


def _bare(url: str) -> str:
    """Without a query, which may be a signature."""
    return url.partition("?")[0]


def _version_of(answer: aiohttp.ClientResponse, size_bytes: int | None) -> str:
    return version_from(size_bytes, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))


async def _blocks(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    # Block by block as they lie in the buffer: the other ways to read copy them together first.
    while not answer.content.at_eof():
        data, _ = await answer.content.readchunk()
        if data:
            yield data
