"""One keep-alive HTTP connection of a pretend node, for an event loop that holds hundreds of them.

Writes requests to the socket and reads answers from it, one at a time, as the shipper does. Costs a tenth of a client library:
what produces the load must not be what is measured.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any


class Unanswered(Exception):  # noqa: N818 - the shipper's "unreachable": connect anew
    """The connection broke, or no answer came in time."""


class Refused(Exception):  # noqa: N818
    """The collector answered with a problem."""

    def __init__(self, status: int, body: bytes, retry_after_s: float) -> None:
        super().__init__(f"{status} {body[:300]!r}")
        self.status = status
        self.body = body
        self.retry_after_s = retry_after_s


class Link(asyncio.Protocol):
    """Belongs to one task. `open` before the first request; after Unanswered, `open` again."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self.token = ""
        self._common = f"HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer ".encode()
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def open(self, timeout_s: float) -> None:
        """Connect."""
        self.close()
        self._received = b""
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_connection(lambda: self, *self._address)
        except OSError as error:  # TimeoutError is one
            raise Unanswered(str(error) or "no connection in time") from error

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    async def json(self, method: str, path: str, value: Any = None, *, timeout_s: float) -> Any:
        """The answer to a request whose body is JSON (None: no body)."""
        body = b"" if value is None else json.dumps(value).encode()
        return json.loads(await self.request(method, path, body, b"application/json", timeout_s=timeout_s))

    async def request(self, method: str, path: str, body: bytes, kind: bytes, *, timeout_s: float) -> bytes:
        """The body of the answer; raises Refused for a problem."""
        transport, loop = self._transport, asyncio.get_running_loop()
        if transport is None or transport.is_closing():
            raise Unanswered("the connection is closed")
        head = b"%b /api/v1%b %b%b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
        self._answer = loop.create_future()
        transport.write(head % (method.encode(), path.encode(), self._common, self.token.encode(), kind, len(body)) + body)
        what = path.partition("?")[0].rpartition("/")[2]
        self._timer = loop.call_later(timeout_s, self._fail, f"no answer to {method} {what} within {timeout_s:g} s")
        try:
            status, head, answer = await self._answer
        finally:
            self._timer.cancel()
            self._answer = None
        if status >= 400:
            raise Refused(status, answer, float(_header(head, b"retry-after") or 0))
        return answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(str(exc) if exc else "the collector closed the connection")

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        head, mark, rest = self._received.partition(b"\r\n\r\n")
        if mark and len(rest) >= int(_header(head, b"content-length") or 0):
            self._received = b""
            if self._answer is not None and not self._answer.done():
                self._answer.set_result((int(head[9:12]), head, rest))

    def _fail(self, why: str) -> None:
        self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Unanswered(why))


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""
