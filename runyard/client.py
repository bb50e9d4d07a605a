"""A blocking HTTP client for the collector's API, on the standard library: it starts fast and runs anywhere.

One `CollectorClient` holds at most one connection and belongs to one thread. A connection that the collector has closed in
the meantime is opened again once; other failures raise: CollectorUnreachable, CollectorBusy or CollectorRefused.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from . import __version__
from .errors import CollectorBusy, CollectorError, CollectorRefused, CollectorUnreachable, InputError, ProtocolError

API_PREFIX = "/api/v1"

# A collector (or a proxy before it) that names a longer wait is asked again after this one.
LONGEST_RETRY_AFTER_S = 3600.0
# What is uploaded goes in such pieces: between two of them an early answer is seen.
UPLOAD_PIECE_BYTES = 256 << 10
# The collector answers an upload when its disk has it and has given it back; one that is slower is not waited for.
SLOWEST_DISK_BYTES_PER_S = 20e6


def path_segment(text: str) -> str:
    """`text` quoted as one segment of a URL's path."""
    return quote(text, safe="")


def path_segments(text: str) -> str:
    """A relative path quoted for a URL, its slashes kept; a name that is not UTF-8 on the node's disk goes byte by byte."""
    return quote(text, safe="/", errors="surrogateescape")


class CollectorClient:
    """Talks to one collector. `url` is its root (http://host:port); `token` goes into the Authorization header only."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 10.0) -> None:
        if not token.isascii() or not all(" " < character <= "~" for character in token):
            # http.client would refuse it, too, with an error that quotes the header and so the token.
            raise InputError("the token holds a space, a control character or one that is not ASCII; set it again, whole")
        parts, port = _split_url(url)
        self.url = url.rstrip("/")
        self.host = parts.hostname or ""
        self.is_tls = parts.scheme == "https"
        self.port = port or (443 if self.is_tls else 80)
        self.prefix = parts.path.rstrip("/")
        self.timeout_s = timeout_s
        self._token = token
        self._connection: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"CollectorClient({self.url!r})"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that each request carries; a new dict each time."""
        return {"Authorization": f"Bearer {self._token}", "User-Agent": f"runyard/{__version__}"}

    def connect(self) -> http.client.HTTPConnection:
        """A new connection that the caller owns; raises CollectorUnreachable."""
        connection: http.client.HTTPConnection
        if self.is_tls:
            connection = http.client.HTTPSConnection(
                self.host, self.port, timeout=self.timeout_s, context=ssl.create_default_context()
            )
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout_s)
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that IDNA does not know how to write
            raise self._unreachable(error) from error
        return connection

    def json(
        self,
        method: str,
        path: str,
        payload: object = None,
        *,
        params: Mapping[str, object] | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """One request below /api/v1 with a JSON body and a JSON answer (None where the answer is empty)."""
        body = None if payload is None else json.dumps(payload, separators=(",", ":")).encode()
        headers = self.headers | ({} if body is None else {"Content-Type": "application/json"})
        return self._decoded(*self._exchange(method, self._target(path, params), body, headers, timeout_s))

    def send(
        self, method: str, path: str, data: bytes, content_type: str, *, params: Mapping[str, object] | None = None
    ) -> Any:
        """One request below /api/v1 with `data` as its body, and its JSON answer."""
        headers = self.headers | {"Content-Type": content_type}
        return self._decoded(*self._exchange(method, self._target(path, params), data, headers, None))

    def upload(
        self, path: str, file: IO[bytes], length_bytes: int, *, content_type: str, whole_bytes: int | None = None
    ) -> Any:
        """One PUT below /api/v1 of the next `length_bytes` of `file`, read as they are sent; the JSON answer. Blocks.

        An answer that comes before everything is sent is taken, and the rest is not sent. On a connection of its own.
        `whole_bytes`: so many does the collector read again before it answers, where it has the beginning already.
        """
        headers = self.headers | {"Content-Type": content_type, "Content-Length": str(length_bytes)}
        timeout_s = self.timeout_s + (whole_bytes or length_bytes) / SLOWEST_DISK_BYTES_PER_S
        connection = self.connect()
        try:
            connection.sock.settimeout(timeout_s)
            connection.request("PUT", self._target(path, None), headers=headers)
            _send_body(connection, file, length_bytes, timeout_s)
            response = connection.getresponse()
            status, answer_headers, data = response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        return self._decoded(status, answer_headers, data)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        """A response whose body is read as it comes, on a connection of its own; closed at the end of the block."""
        connection = self.connect()
        try:
            try:
                if timeout_s is not None and connection.sock is not None:
                    connection.sock.settimeout(timeout_s)
                connection.request(method, self._target(path, params), headers=self.headers | dict(headers or {}))
                response = connection.getresponse()
                if response.status >= 300:
                    raise self.error(response.status, response.headers, response.read())
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error
            try:
                yield response
            finally:
                response.close()  # where the server ends the body by closing, the connection has handed its socket over
        finally:
            connection.close()

    def read(self, response: IO[bytes], size: int) -> bytes:
        """Up to `size` bytes of a streamed response, as soon as there are any; b"" at its end."""
        try:
            data: bytes = response.read1(size)  # type: ignore[attr-defined]
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        if not data and size and getattr(response, "length", 0):
            # read1 gives an end for a broken connection as for a whole body; only the length tells them apart.
            raise self._unreachable(http.client.IncompleteRead(b"", getattr(response, "length", 0)))
        return data

    def close(self) -> None:
        """Close the kept connection; the client can be used again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def error(self, status: int, headers: http.client.HTTPMessage, data: bytes) -> CollectorError:
        """The exception for an answer of 400 and more; the sentence is the problem document's `detail`."""
        try:
            problem = json.loads(data)
        except ValueError:
            problem = {}
        if not isinstance(problem, dict):
            problem = {}
        message = str(problem.get("detail") or problem.get("title") or f"the collector answered {status}")
        code = str(problem.get("code", ""))
        if status in (408, 429) or status >= 500:
            return CollectorBusy(message, status=status, code=code, retry_after_s=_retry_after_s(headers))
        return CollectorRefused(message, status=status, code=code, problem=problem)

    def _decoded(self, status: int, headers: http.client.HTTPMessage, data: bytes) -> Any:
        if status >= 300:
            raise self.error(status, headers, data)
        if not data and (status == 204 or "Content-Length" in headers):
            return None
        try:
            return json.loads(data)
        except ValueError as error:
            raise ProtocolError(f"the server at {self.url} does not answer as a collector does: no JSON came") from error

    def _target(self, path: str, params: Mapping[str, object] | None) -> str:
        query = urlencode({key: value for key, value in (params or {}).items() if value is not None}, doseq=True)
        return f"{self.prefix}{API_PREFIX}{path}" + (f"?{query}" if query else "")

    def _exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], timeout_s: float | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        for is_fresh in (False, True):
            connection = self._connection
            if connection is None or is_fresh:
                is_fresh = True
                connection = self._connection = self.connect()
            try:
                if connection.sock is not None:
                    connection.sock.settimeout(timeout_s or self.timeout_s)
                connection.request(method, target, body=body, headers=headers)
                response = connection.getresponse()
                return response.status, response.headers, response.read()
            except (ConnectionError, ssl.SSLEOFError) as error:
                self.close()
                if is_fresh:
                    raise self._unreachable(error) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise self._unreachable(error) from error
        raise AssertionError("a fresh connection either answers or raises")

    def _unreachable(self, error: Exception) -> CollectorUnreachable:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, http.client.IncompleteRead):
            reason = "the connection broke in the middle of an answer"
        reason = "".join(character if character.isprintable() else " " for character in reason).strip()
        return CollectorUnreachable(f"the collector at {self.url} cannot be reached: {reason}")


def _send_body(connection: http.client.HTTPConnection, file: IO[bytes], length_bytes: int, timeout_s: float) -> None:
    """Sends all, or as much as is taken before the answer comes."""
    poll = select.poll()
    # Under TLS there may be something to read that is no answer.
    is_tls = isinstance(connection, http.client.HTTPSConnection)
    poll.register(connection.sock, select.POLLOUT if is_tls else select.POLLOUT | select.POLLIN)
    piece = memoryview(b"")
    while length_bytes > 0:
        piece = piece or memoryview(_read_piece(file, length_bytes))
        events = poll.poll(timeout_s * 1000)
        if not events:
            raise TimeoutError("timed out")
        if events[0][1] != select.POLLOUT:
            return
        try:
            count = connection.sock.send(piece)
        except (ConnectionError, ssl.SSLEOFError):
            return  # the answer may have come before the other side hung up: whoever reads it will see
        piece, length_bytes = piece[count:], length_bytes - count


def _read_piece(file: IO[bytes], length_bytes: int) -> bytes:
    name = getattr(file, "name", "the file")
    try:
        piece = file.read(min(length_bytes, UPLOAD_PIECE_BYTES))
    except OSError as error:
        raise InputError(f"{name} cannot be read to be sent: {error.strerror}") from error
    if not piece:
        raise InputError(f"{name} became shorter while it was sent: its last {length_bytes} bytes are not there")
    return piece


def _split_url(url: str) -> tuple[SplitResult, int | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.username is not None or parts.password is not None:
        # The address stands in messages and logs, so it must not carry a secret.
        raise InputError("the collector's address holds a user name or password; set the token by RUNYARD_TOKEN instead")
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise InputError(f"the collector's address {url!r} is no URL; it looks like http://127.0.0.1:8750")
    return parts, port


def _retry_after_s(headers: http.client.HTTPMessage) -> float:
    try:
        seconds = float(headers.get("Retry-After", "1"))
    except ValueError:
        return 1.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S) if seconds == seconds else 1.0
