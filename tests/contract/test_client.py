"""The client against a small real HTTP server: what it sends, what it raises, and that no message holds the token."""

from __future__ import annotations

import io
import json
import socket
import threading
from pathlib import Path

import pytest

from runyard.client import LONGEST_RETRY_AFTER_S, UPLOAD_PIECE_BYTES, CollectorClient, path_segments
from runyard.errors import (
    CollectorBusy,
    CollectorError,
    CollectorRefused,
    CollectorUnreachable,
    InputError,
    ProtocolError,
    RunyardError,
)
from tests.contract.http_server import TOKEN, problem, says, sends, server, waits


def test_a_request_carries_token_body_and_query() -> None:
    with server(says(200, b'{"a": 1}')) as (client, requests):
        assert client.json("POST", "/runs", {"x": "ü"}, params={"tag": ["a=1", "b=2"], "none": None}) == {"a": 1}
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /api/v1/runs?tag=a%3D1&tag=b%3D2 HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}".encode() in head
    assert json.loads(body) == {"x": "ü"}


def test_an_empty_answer_is_none() -> None:
    with server(says(204, b"")) as (client, _):
        assert client.json("DELETE", "/tokens/1") is None


def test_a_kept_connection_that_the_collector_has_closed_is_opened_again_once() -> None:
    with server(says(200), says(200, b"[2]")) as (client, requests):
        assert client.json("GET", "/runs") == {}
        assert client.json("GET", "/runs") == [2]
    assert len(requests) == 2


def test_a_fresh_connection_that_breaks_is_not_tried_again() -> None:
    with server(sends(b"")) as (client, requests), pytest.raises(CollectorUnreachable):
        client.json("GET", "/runs")
    assert len(requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413])
def test_a_4xx_is_refused_with_the_collectors_sentence(status: int) -> None:
    answer = problem(status, detail="It is so.", code="why", expected=3)
    with server(answer) as (client, _), pytest.raises(CollectorRefused, match="It is so") as caught:
        client.json("GET", "/runs")
    assert (caught.value.status, caught.value.code, caught.value.problem["expected"]) == (status, "why", 3)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 507])
def test_overload_and_5xx_are_busy_with_the_time_to_wait(status: int) -> None:
    with (
        server(problem(status, detail="Later.", code="busy")) as (client, _),
        pytest.raises(CollectorBusy, match="Later") as caught,
    ):
        client.json("GET", "/runs")
    assert (caught.value.status, caught.value.retry_after_s, caught.value.exit_code) == (status, 7.0, 1)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("nan", 1.0), ("inf", LONGEST_RETRY_AFTER_S), ("-3", 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("0.5", 0.5)],
)
def test_an_odd_retry_after_is_still_a_time_to_wait(text: str, seconds: float) -> None:
    with server(says(503, b"", f"Retry-After: {text}\r\n")) as (client, _), pytest.raises(CollectorBusy) as caught:
        client.json("GET", "/runs")
    assert caught.value.retry_after_s == seconds


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'"text"', b"\xff"])
def test_an_error_without_a_problem_document_still_has_a_sentence(body: bytes) -> None:
    with server(says(404, body)) as (client, _), pytest.raises(CollectorRefused, match="404"):
        client.json("GET", "/runs")


def test_a_redirect_is_refused_not_followed_and_not_taken_for_an_answer() -> None:
    answer = says(302, b"<html>", "Location: http://elsewhere/\r\n")
    with server(answer) as (client, _), pytest.raises(CollectorRefused, match="302"):
        client.json("GET", "/runs")


def test_a_server_that_is_no_collector_is_told_in_one_sentence() -> None:
    with (
        server(says(200, b"<html>hello</html>")) as (client, _),
        pytest.raises(ProtocolError, match="not answer as a collector"),
    ):
        client.json("GET", "/runs")


@pytest.mark.parametrize(
    "data", [b"", b"SSH-2.0-hello\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", b"HTTP/1.1 200"]
)
def test_whatever_comes_over_the_connection_is_one_of_our_errors(data: bytes) -> None:
    with server(sends(data)) as (client, _), pytest.raises(RunyardError) as caught:
        client.json("GET", "/runs")
    assert "\n" not in str(caught.value)


def test_a_refused_port_is_unreachable_and_says_where() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    client = CollectorClient(f"http://127.0.0.1:{port}/", TOKEN)
    with pytest.raises(CollectorUnreachable, match=f"http://127.0.0.1:{port} cannot be reached: Connection refused"):
        client.json("GET", "/runs")
    with pytest.raises(CollectorUnreachable), client.stream("GET", "/runs"):
        pass


def test_silence_is_unreachable_after_the_timeout() -> None:
    done = threading.Event()
    with server(lambda *_: waits(done)) as (client, _):
        with pytest.raises(CollectorUnreachable, match="timed out"):
            client.json("GET", "/runs", timeout_s=0.05)
        done.set()


def test_a_streamed_body_is_read_as_it_comes() -> None:
    went_on = threading.Event()

    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        went_on.wait(5)
        connection.sendall(b"3\r\ntwo\r\n0\r\n\r\n")

    with server(answer) as (client, _), client.stream("GET", "/runs/r/follow") as response:
        assert client.read(response, 100) == b"one"
        went_on.set()
        assert client.read(response, 100) == b"two"
        assert client.read(response, 100) == b""


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 10\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "Transfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    ],
)
def test_a_streamed_body_that_breaks_off_is_no_end(head: str) -> None:
    with server(sends(f"HTTP/1.1 200 OK\r\n{head}".encode())) as (client, _), client.stream("GET", "/x") as response:
        assert client.read(response, 100) == b"half"
        with pytest.raises(CollectorUnreachable, match="middle of an answer"):
            client.read(response, 100)


def test_a_streamed_error_has_the_collectors_sentence() -> None:
    answer = problem(404, detail="No such run.", code="no-such-run")
    with (
        server(answer) as (client, _),
        pytest.raises(CollectorRefused, match="No such run"),
        client.stream("GET", "/runs/x/follow"),
    ):
        pass


def test_an_upload_sends_the_file_from_where_it_stands() -> None:
    data = bytes(range(256)) * 4000
    file = io.BytesIO(b"head" + data + b"tail")
    file.seek(4)
    with server(says(201, b'{"id": "x"}')) as (client, requests):
        assert client.upload("/snapshots/x", file, len(data), content_type="application/x-tar") == {"id": "x"}
    head, _, body = requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /api/v1/snapshots/x HTTP/1.1\r\n")
    for line in (f"Authorization: Bearer {TOKEN}", "Content-Type: application/x-tar", f"Content-Length: {len(data)}"):
        assert line.encode() in head
    assert body == data
    assert file.read() == b"tail"


def test_an_empty_file_is_uploaded() -> None:
    with server(says(201)) as (client, requests):
        assert client.upload("/snapshots/x", io.BytesIO(b""), 0, content_type="text/plain") == {}
    assert b"Content-Length: 0\r\n" in requests[0]


class Endless(io.RawIOBase):
    """A file that is read for ever; counts what was read."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        self.given += size
        return bytes(size)


@pytest.mark.parametrize("hangs_up", [False, True], ids=["and reads no more", "and hangs up"])
@pytest.mark.parametrize(("status", "answer"), [(200, b'{"id": "x"}'), (413, b'{"detail": "Too large.", "code": "too-large"}')])
def test_an_answer_before_the_end_of_an_upload_is_taken(status: int, answer: bytes, hangs_up: bool) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    client = CollectorClient(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN, timeout_s=5)
    is_over = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n\r\n".encode() + answer)
            if not hangs_up:
                is_over.wait(5)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    file = Endless()
    try:
        if status == 200:
            assert client.upload("/snapshots/x", file, 1 << 40, content_type="text/plain") == {"id": "x"}  # type: ignore[arg-type]
        else:
            with pytest.raises(CollectorRefused, match="Too large"):
                client.upload("/snapshots/x", file, 1 << 40, content_type="text/plain")  # type: ignore[arg-type]
    finally:
        is_over.set()
        thread.join(5)
        listener.close()
    assert file.given < 256 * UPLOAD_PIECE_BYTES


def test_an_upload_is_refused_put_off_or_lost_as_any_request() -> None:
    def upload(client: CollectorClient) -> None:
        client.upload("/snapshots/x", io.BytesIO(b"abc"), 3, content_type="text/plain")

    with (
        server(problem(400, detail="Another digest.", code="mismatch")) as (client, _),
        pytest.raises(CollectorRefused, match="Another digest"),
    ):
        upload(client)
    with server(problem(507, detail="Full.", code="disk-full")) as (client, _), pytest.raises(CollectorBusy) as busy:
        upload(client)
    assert (busy.value.status, busy.value.retry_after_s) == (507, 7.0)
    with server(sends(b"")) as (client, _), pytest.raises(CollectorUnreachable):
        upload(client)
    with server(says(200, b"<html>")) as (client, _), pytest.raises(ProtocolError):
        upload(client)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(CollectorUnreachable):
        upload(CollectorClient(f"http://127.0.0.1:{port}", TOKEN))


def test_a_file_that_became_shorter_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "code.tar"
    path.write_bytes(b"abc")
    with socket.create_server(("127.0.0.1", 0)) as listener, path.open("rb") as file:
        client = CollectorClient(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN)
        with pytest.raises(InputError, match=r"code\.tar became shorter while it was sent: its last 7 bytes"):
            client.upload("/snapshots/x", file, 10, content_type="text/plain")


def test_an_upload_that_nobody_takes_is_unreachable_after_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = CollectorClient(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN, timeout_s=0.05)
        with pytest.raises(CollectorUnreachable, match="timed out"):
            client.upload("/snapshots/x", io.BytesIO(bytes(16 << 20)), 16 << 20, content_type="text/plain")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8750",
        "ftp://h",
        "http://",
        "http://h:port",
        "http://h:70000",
        "http://[::1",
        "http://h\n",
        "http://h/a b",
    ],
)
def test_an_address_that_is_none_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError, match="looks like http"):
        CollectorClient(url, TOKEN)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        CollectorClient("http://me:hidden@h:1", TOKEN)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("token", ["a b", "a\n", "a\r\nX-Evil: 1", "schlüssel", "\udcff"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(InputError, match="the token") as caught:
        CollectorClient("http://h:1", token)
    assert token not in str(caught.value)


@pytest.mark.parametrize("host", ["x" * 70, "a..b"])
def test_a_host_name_that_cannot_be_written_is_unreachable(host: str) -> None:
    with pytest.raises(CollectorUnreachable):
        CollectorClient(f"http://{host}:1", TOKEN).json("GET", "/runs")


def test_no_error_and_no_text_of_the_client_holds_the_token() -> None:
    answers = [problem(401, detail="unknown token"), says(500), sends(b""), says(200, b"<html>")]
    for answer in answers:
        with server(answer) as (client, _), pytest.raises((CollectorError, ProtocolError)) as caught:
            client.json("GET", "/runs")
        assert TOKEN not in f"{caught.value!r} {caught.value} {client!r}"


def test_paths_that_are_not_utf8_on_disk_go_byte_by_byte() -> None:
    assert path_segments("outputs/\udcff ü") == "outputs/%FF%20%C3%BC"
