"""mpirun's remote-start agent and a node's daemon trust each other over the run's secret alone, and end with each other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from runyard.agent.mpi.link import ERR, EXIT, OUT, Link, LinkError

SECRET, OTHER = "11" * 16, "22" * 16


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
        return ours, theirs


def line_of(connection: socket.socket) -> bytes:
    """The next line, which has come or is about to."""
    with connection.makefile("rb", buffering=0) as file:
        return file.readline()


@contextmanager
def answered(secret: str) -> Iterator[tuple[socket.socket, list[Any]]]:
    """A connection whose other side answers as a node does; what it was asked, or why it refused."""
    ours, theirs = tcp_pair()
    heard: list[Any] = []

    def node() -> None:
        with theirs:
            link = Link(theirs, secret)
            try:
                heard.append(link.answer())
                link.tell(OUT, b"out")
                link.tell(ERR, b"x" * 200_000)
                link.tell(EXIT, b"7")
            except LinkError as error:
                heard.append(error)

    thread = threading.Thread(target=node)
    thread.start()
    try:
        with ours:
            yield ours, heard
    finally:
        thread.join(10)
        assert not thread.is_alive()


def test_who_knows_the_secret_is_heard_and_told() -> None:
    with answered(SECRET) as (connection, heard):
        link = Link(connection, SECRET)
        link.ask({"command": "orted"})
        assert list(link.frames()) == [(OUT, b"out"), (ERR, b"x" * 200_000), (EXIT, b"7")]
    assert heard == [{"command": "orted"}]


def test_neither_side_talks_to_who_does_not_know_the_secret() -> None:
    with answered(SECRET) as (connection, heard), pytest.raises(LinkError, match="does not know this run's secret"):
        Link(connection, OTHER).ask({"command": "orted"})
    assert isinstance(heard[0], LinkError)


def test_a_command_that_was_changed_on_the_way_is_refused() -> None:
    head, between = tcp_pair()
    with head, between, answered(SECRET) as (connection, heard):
        asking = threading.Thread(target=Link(head, SECRET).ask, args=({"command": "orted"},))
        asking.start()
        connection.sendall(line_of(between))
        between.sendall(line_of(connection))
        connection.sendall(line_of(between).replace(b"orted", b"other"))
        asking.join(10)
        assert connection.recv(1) == b""
    assert isinstance(heard[0], LinkError)


@pytest.mark.parametrize(
    "noise",
    [b"GET / HTTP/1.1\r\n\r\n", b"[1, 2]\n", bytes(range(128, 192)) + b"\n", b""],
    ids=["http", "list", "bytes", "nothing"],
)
def test_noise_is_refused(noise: bytes) -> None:
    with answered(SECRET) as (connection, heard):
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    assert isinstance(heard[0], LinkError)
