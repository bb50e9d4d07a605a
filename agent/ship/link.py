"""The one connection of a shipper: HTTP/1.1 written by hand, so that a file goes from the page cache to the socket.

Reads from the descriptors it is given and from the socket; writes to the socket. Plain connections are blocking sockets whose
kernel timeouts are one `TURN_S` long; between two turns it looks whether it has been asked to stop, whether the time
limit has passed, and whether the collector has answered before the request's end. TLS has no sendfile: it reads and writes
pieces. Foreign errors become CollectorUnreachable here.
"""

from __future__ import annotations

import errno
import http.client
import os
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from runyard.client import CollectorClient
from runyard.errors import CollectorUnreachable

TURN_S = 0.5
# Most bytes in one sendfile call: between two of them an early answer is seen.
SENDFILE_BYTES = 8 << 20
COPIED_BYTES = 256 << 10
# An answer names at most the streams of one batch; a longer one is no answer of ours.
MAX_ANSWER_BYTES = 64 << 20

_TIMEVAL = struct.pack("@ll", 0, int(TURN_S * 1e6))
# TimeoutError is how a TLS socket says that a turn is over.
_TRY_AGAIN = (BlockingIOError, InterruptedError, TimeoutError)
# The file system has no sendfile, or the disk fails, which a read then tells apart from a failing network.
_NOT_BY_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EIO)


class Stopped(Exception):  # noqa: N818 - no error: it leads from inside a request to the end of the loop
    """The shipper was asked to stop in the middle of a request."""


class FileShrank(Exception):  # noqa: N818
    """A file has not the bytes that the request had announced (or the disk does not give them): the connection is of no use."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.fd = fd


class AnsweredEarly(Exception):  # noqa: N818
    """The collector has answered or hung up in the middle of the request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def keeps_open(self) -> bool:
        """Whether the connection can take the next request."""
        return self.headers.get("connection", "").lower() != "close"

    def message(self) -> http.client.HTTPMessage:
        """The headers as http.client gives them; a copy."""
        result = http.client.HTTPMessage()
        for name, value in self.headers.items():
            result[name] = value
        return result


class Link:
    """Belongs to one thread. `is_stopping` is asked between two turns of waiting."""

    def __init__(self, client: CollectorClient, is_stopping: Callable[[], bool], *, timeout_s: float) -> None:
        self._client = client
        self._is_stopping = is_stopping
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._rest = b""
        self._deadline = 0.0
        self._poll = select.poll()
        host = client.host if ":" not in client.host else f"[{client.host}]"
        self._host = f"{host}:{client.port}"

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self) -> None:
        """Connect; raises CollectorUnreachable."""
        self.close()
        try:
            connection = socket.create_connection((self._client.host, self._client.port), timeout=self._timeout_s)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._client.is_tls:
                context = ssl.create_default_context()
                connection = context.wrap_socket(connection, server_hostname=self._client.host)
                connection.settimeout(TURN_S)
            else:
                # Kernel timeouts instead of Python's: those would make the socket non-blocking, and sendfile a loop of polls.
                connection.settimeout(None)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEVAL)
        except (OSError, UnicodeError) as error:
            raise self._unreachable(error) from error
        self._socket = connection
        self._rest = b""
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def head(self, method: str, target: str, headers: dict[str, str]) -> bytes:
        """A request's head as it goes over the wire, without the blank line at its end."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", *(f"{key}: {value}" for key, value in headers.items())]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n"

    def begin(self, timeout_s: float = 0.0) -> None:
        """A request starts: from here its time limit counts."""
        self._deadline = time.monotonic() + (timeout_s or self._timeout_s)

    def send(self, data: bytes, *, is_more: bool = False) -> None:
        """Send all of `data`; with `is_more` the kernel may wait for what follows before it sends a packet."""
        view = memoryview(data)
        flags = socket.MSG_MORE if is_more and not self._client.is_tls else 0
        while view:
            try:
                view = view[self._connected().send(view, flags) :]
            except _TRY_AGAIN:
                self._next_turn()
            except (BrokenPipeError, ConnectionResetError) as error:
                raise AnsweredEarly from error
            except OSError as error:
                raise self._unreachable(error) from error

    def send_file(self, fd: int, start: int, end: int) -> None:
        """Send the bytes [start, end) of a file; FileShrank where it has fewer, AnsweredEarly where nobody reads them."""
        send = self._send_copied if self._client.is_tls else self._send_piece
        while start < end:
            # Under TLS there may be something to read that is no answer.
            if not self._client.is_tls and self._poll.poll(0):
                raise AnsweredEarly
            count = send(fd, start, end)
            if count == 0:
                raise FileShrank(fd)
            if count > 0:
                start += count
                # Time counts from the last byte that moved: a slow link is no broken one.
                self._deadline = max(self._deadline, time.monotonic() + self._timeout_s)

    def _send_piece(self, fd: int, start: int, end: int) -> int:
        """Bytes sent; 0 at the file's end; -1 where nothing moved in this turn."""
        try:
            return os.sendfile(self._connected().fileno(), fd, start, min(end - start, SENDFILE_BYTES))
        except _TRY_AGAIN:
            self._next_turn()
            return -1
        except (BrokenPipeError, ConnectionResetError) as error:
            raise AnsweredEarly from error
        except OSError as error:
            if error.errno in _NOT_BY_SENDFILE:
                return self._send_copied(fd, start, end)
            raise self._unreachable(error) from error

    def _send_copied(self, fd: int, start: int, end: int) -> int:
        try:
            data = os.pread(fd, min(end - start, COPIED_BYTES), start)
        except OSError as error:
            raise FileShrank(fd) from error
        self.send(data)
        self._next_turn()
        return len(data)

    def receive(self) -> Answer:
        """Read the answer to the request; the connection is closed where it cannot be used again."""
        try:
            answer = self._read_answer()
        except BaseException:  # whatever happened, the rest of this answer must not become the start of the next
            self.close()
            raise
        if not answer.keeps_open:
            self.close()
        return answer

    def _read_answer(self) -> Answer:
        while b"\r\n\r\n" not in self._rest:
            self._receive_more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        status, headers = _parse_head(head)
        if status == 100:
            return self._read_answer()
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return Answer(status, headers, self._read_chunks())
        length = headers.get("content-length", "0" if status in (204, 304) else "")
        if not length.isdigit() or int(length) > MAX_ANSWER_BYTES:
            raise CollectorUnreachable(f"the server at {self._client.url} does not answer as a collector does")
        return Answer(status, headers, self._read_bytes(int(length)))

    def _read_bytes(self, count: int) -> bytes:
        pieces, missing = [self._rest], count - len(self._rest)
        while missing > 0:
            self._rest = b""
            self._receive_more()
            pieces.append(self._rest)
            missing -= len(self._rest)
        data = b"".join(pieces)
        self._rest = data[count:]
        return data[:count]

    def _read_chunks(self) -> bytes:
        # Ours never answers so, but a proxy between us may.
        pieces: list[bytes] = []
        while True:
            line = self._read_line()
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise CollectorUnreachable(f"the server at {self._client.url} does not answer as a collector does") from None
            if size == 0:
                while self._read_line():
                    pass
                return b"".join(pieces)
            if size + sum(map(len, pieces)) > MAX_ANSWER_BYTES:
                raise CollectorUnreachable(f"the server at {self._client.url} does not answer as a collector does")
            pieces.append(self._read_bytes(size + 2)[:-2])

    def _read_line(self) -> bytes:
        while b"\r\n" not in self._rest:
            self._receive_more()
        line, _, self._rest = self._rest.partition(b"\r\n")
        return line

    def _receive_more(self) -> None:
        while True:
            try:
                data = self._connected().recv(1 << 16)
                break
            except _TRY_AGAIN:
                self._next_turn()
            except OSError as error:
                raise self._unreachable(error) from error
        if not data:
            raise CollectorUnreachable(f"the collector at {self._client.url} cannot be reached: it closed the connection")
        if len(self._rest) > MAX_ANSWER_BYTES:
            raise CollectorUnreachable(f"the server at {self._client.url} does not answer as a collector does")
        self._rest += data

    def _next_turn(self) -> None:
        if self._is_stopping():
            raise Stopped
        if time.monotonic() > self._deadline:
            raise CollectorUnreachable(f"the collector at {self._client.url} cannot be reached: it does not answer in time")

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise CollectorUnreachable(f"the collector at {self._client.url} cannot be reached: it closed the connection")
        return self._socket

    def _unreachable(self, error: Exception) -> CollectorUnreachable:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return CollectorUnreachable(f"the collector at {self._client.url} cannot be reached: {reason}")


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        raise CollectorUnreachable("what listens there does not speak HTTP")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if words[0] == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return int(words[1]), headers
