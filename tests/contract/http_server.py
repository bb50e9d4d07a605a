"""A small real HTTP server for the tests of the client: each connection gets the answer that is next."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from runyard.client import CollectorClient

TOKEN = "s3cr3t-t0ken"
Answer = Callable[[socket.socket, bytes], None]


@contextmanager
def server(*answers: Answer) -> Iterator[tuple[CollectorClient, list[bytes]]]:
    """A server on a real port: each answer serves one connection's one request; then the next connection is taken."""
    requests: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                request = read_request(connection)
                requests.append(request)
                answer(connection, request)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    client = CollectorClient(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN, timeout_s=5)
    try:
        yield client, requests
        thread.join(5)
    finally:
        client.close()
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    while lengths and len(body) < int(lengths[0]):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def says(status: int, body: bytes = b"{}", headers: str = "") -> Answer:
    def answer(connection: socket.socket, _: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        connection.sendall(head.encode() + body)

    return answer


def sends(data: bytes) -> Answer:
    return lambda connection, _: connection.sendall(data)


def waits(event: threading.Event) -> None:
    event.wait(5)


def problem(status: int, **members: object) -> Answer:
    return says(status, json.dumps(members).encode(), "Retry-After: 7\r\n")
