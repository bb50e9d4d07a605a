"""Over TLS the same bytes arrive: there is no sendfile on that way."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.collector_process import CollectorProcess

from .spool_builder import LOG, SpoolRun, copies, run_ship, verify
from .test_shipping import hostile_bytes


@contextmanager
def tls_front(collector: CollectorProcess, folder: Path) -> Iterator[tuple[str, Path]]:
    """(url, certificate) of a proxy that speaks TLS for the collector."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    made = subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-out", str(certificate), "-keyout", str(key)),
        ],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("openssl makes no certificate here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                outer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=handle, args=(outer,), daemon=True).start()

    def handle(outer: socket.socket) -> None:
        host, _, port = collector.url.removeprefix("http://").partition(":")
        with (
            suppress(OSError),
            context.wrap_socket(outer, server_side=True) as client,
            socket.create_connection((host, int(port))) as inner,
        ):
            back = threading.Thread(target=pump, args=(inner, client), daemon=True)
            back.start()
            pump(client, inner)
            inner.shutdown(socket.SHUT_WR)
            back.join(10)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.getsockname()[1]}", certificate
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)


@pytest.mark.needs_system("openssl")
def test_a_run_arrives_over_tls_as_it_is(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    data = hostile_bytes(12_000_000)
    run.write(LOG, data)
    run.write("logs/small", b"small")
    run.end()
    with tls_front(collector, tmp_path) as (url, certificate):
        unknown = run_ship(collector, tmp_path / "spool", RUNYARD_COLLECTOR_URL=url)
        assert unknown.returncode == 1
        assert "certificate" in unknown.stdout
        result = run_ship(collector, tmp_path / "spool", RUNYARD_COLLECTOR_URL=url, SSL_CERT_FILE=str(certificate))
        assert result.returncode == 0, result
    assert copies(collector) == {LOG: data, "logs/small": b"small"}
    assert set(verify(collector).values()) == {"ok"}
