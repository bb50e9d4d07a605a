"""A run's files as a zip that is made while it is sent: in any state of the run, of any size, under names that harm nobody."""

from __future__ import annotations

import http.client
import io
import random
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.collector.artifacts.archive import safe_names
from tests.collector.node import LOG, Node, call
from tests.collector_process import CollectorProcess, running_collector

from .uploads import archive, get_file, kept, put_file, record, ship, unzipped

SPARSE_BYTES = 300 << 20
# What the collector may take beyond what it has: the bytes of a file are 300 MB.
MOST_GROWN_BYTES = 40e6


@contextmanager
def begun(node: Node) -> Iterator[http.client.HTTPResponse]:
    """An archive's answer whose body nobody has read; little of it waits on this side."""
    connection = http.client.HTTPConnection(node.collector.url.removeprefix("http://"), timeout=60)
    with closing(connection):
        connection.connect()
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        headers = {"Authorization": f"Bearer {node.collector.token}"}
        connection.request("GET", f"/api/v1/runs/{node.run_id}/archive", headers=headers)
        response = connection.getresponse()
        assert response.status == 200
        yield response


@pytest.mark.row("C7")
def test_all_files_of_all_nodes_come_while_the_run_lives(collector: CollectorProcess) -> None:
    first = Node(collector, ip="10.77.0.11", node_count=2)
    second = Node(collector, run_id=first.run_id, ip="10.77.0.12", create=False)
    second.run_token = first.run_token
    ship(first, LOG, b"one\n" * 1000)
    ship(second, LOG, b"two\n")
    ship(second, "outputs/empty", b"")
    put_file(first, "outputs/model.bin", random.Random(1).randbytes(100_000))
    found = unzipped(archive(first).data)
    expected = {
        f"10.77.0.11/{LOG}": b"one\n" * 1000,
        f"10.77.0.12/{LOG}": b"two\n",
        "10.77.0.12/outputs/empty": b"",
        "outputs/model.bin": random.Random(1).randbytes(100_000),
    }
    assert {name: found[name] for name in expected} == expected
    assert all(name in expected or not name.startswith("10.") for name in found)  # beside them the run-level files alone


def test_a_part_of_the_files_is_asked_for_by_prefix_or_by_name(collector: CollectorProcess) -> None:
    node = Node(collector)
    for name in ("a/1", "a/2", "b"):
        put_file(node, name, name.encode())
    assert unzipped(archive(node, prefix="a/").data) == {"a/1": b"a/1", "a/2": b"a/2"}
    assert unzipped(archive(node, path=["b", "a/2"]).data) == {"a/2": b"a/2", "b": b"b"}
    for answer in (archive(node, prefix="nix"), archive(node, path=["a/1", "a/3"])):
        assert (answer.status, answer.json["code"]) == (404, "no-such-file")
    assert unzipped(archive(Node(collector)).data) == {}


def test_text_is_compressed_and_noise_is_not(collector: CollectorProcess) -> None:
    node = Node(collector)
    put_file(node, "text", b"step 1\n" * 10_000)
    put_file(node, "noise", random.randbytes(70_000))
    answer = archive(node)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as found:
        kinds = {info.filename: info.compress_type for info in found.infolist()}
    assert kinds == {"text": zipfile.ZIP_DEFLATED, "noise": zipfile.ZIP_STORED}
    assert len(answer.data) < 80_000
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{node.run_id}.zip"'


def test_a_file_that_grows_meanwhile_is_cut_where_it_was(collector: CollectorProcess) -> None:
    node = Node(collector)
    noise = random.randbytes(16 << 20)  # more than all buffers on the way
    put_file(node, "a.bin", noise)
    stream = ship(node, "z.log", b"before\n")
    with begun(node) as response:
        head = response.read(1000)
        node.send(stream, 7, b"after\n")
        found = unzipped(head + response.read())
    assert found == {"a.bin": noise, "z.log": b"before\n"}
    assert get_file(node, "z.log").data == b"before\nafter\n"


def test_what_has_not_come_whole_is_left_out_and_named(collector: CollectorProcess) -> None:
    node = Node(collector)
    ship(node, LOG, b"a line\n")
    record(node, kept("", "outputs/m.bin", b"on the node"))
    found = unzipped(archive(node).data)
    assert found[LOG] == b"a line\n"
    assert found["not_included.txt"] == b"outputs/m.bin: 0 of 11 bytes have come\n"


def test_a_file_that_goes_under_the_archive_breaks_it_off(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        node = Node(collector)
        put_file(node, "a.bin", random.randbytes(16 << 20))
        ship(node, "z.log", b"gone\n")
        with begun(node) as response:
            response.read(1000)
            Path(collector.data_dir, "runs", "exp", node.run_id, node.folder, "z.log").unlink()
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                response.read()
        assert "internal error" not in collector.log_text


def test_a_large_sparse_file_and_a_slow_client_cost_no_memory(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        node = Node(collector)
        ship(node, "outputs/sparse.bin", b"x")
        for number in range(50):
            ship(node, f"outputs/{number}", b"small\n" * 100)
        with (collector.data_dir / "runs" / "exp" / node.run_id / node.folder / "outputs" / "sparse.bin").open("r+b") as file:
            file.truncate(SPARSE_BYTES)
        collector.restart()  # the file's size is the stream's
        process = psutil.Process(collector.pid)
        archive(Node(collector))
        before = process.memory_info().rss
        peak, size = before, 0
        with begun(node) as response, (tmp_path / "out.zip").open("wb") as out:
            while piece := response.read(64 << 10):
                out.write(piece)
                size += len(piece)
                peak = max(peak, process.memory_info().rss)
        with zipfile.ZipFile(tmp_path / "out.zip") as found:
            assert found.getinfo("outputs/sparse.bin").file_size == SPARSE_BYTES
            assert len(found.namelist()) == 51
        assert size < 10e6
        assert peak - before < MOST_GROWN_BYTES, f"{(peak - before) / 1e6:.1f} MB"


def test_the_collector_answers_others_while_it_makes_archives(tmp_path: Path) -> None:
    with running_collector(tmp_path) as collector:
        node = Node(collector)
        noise = random.randbytes(32 << 20)
        put_file(node, "a.bin", noise)
        archive(Node(collector))
        before = psutil.Process(collector.pid).memory_info().rss
        with ExitStack() as slow:
            for _ in range(12):
                slow.enter_context(begun(node))
            assert call(collector, "GET", f"/api/v1/runs/{node.run_id}").status == 200
            assert unzipped(archive(node).data) == {"a.bin": noise}
            assert psutil.Process(collector.pid).memory_info().rss - before < MOST_GROWN_BYTES


def test_names_that_lead_elsewhere_stay_below_the_folder(collector: CollectorProcess, tmp_path: Path) -> None:
    node = Node(collector)
    bad = ["..\\..\\evil.txt", "C:\\x", "con", "logs/nul.txt", "a:b", "ends.", "ends ", "tab\there", "a<b>", "ü/日本"]
    for name in bad:
        put_file(node, name, name.encode())
    (tmp_path / "a.zip").write_bytes(archive(node).data)
    code = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.zip"), str(tmp_path / "out")], check=True)
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert len(found) == len(bad)
    assert {"ü/日本", "_con", "logs/_nul.txt", "a_b", "ends._", "ends _", ".._.._evil.txt"} <= found


_part = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=12).filter(
    lambda part: part not in (".", "..")
)
_odd = st.sampled_from(["a", "A", "a~", "con", "CON.txt", "..\\x", "c:", "x.", "x ", "\udc80", "nul", "a\nb", "...", "~"])


@given(st.lists(st.lists(_odd | _part, min_size=1, max_size=3).map("/".join), unique=True, max_size=12))
def test_no_name_is_unsafe_or_taken_or_anothers_folder(paths: list[str]) -> None:
    found = list(safe_names(paths))
    assert len(set(found)) == len(paths)
    folders = {name[:at] for name in found for at, letter in enumerate(name) if letter == "/"}
    assert not folders & set(found)
    for name in found:
        name.encode()
        for part in name.split("/"):
            assert part not in ("", ".", "..")
            assert not part.endswith((".", " "))
            assert not set(part) & set('\\:*?"<>|\0\n\t')
            assert part.partition(".")[0].lower().rstrip() not in {"con", "nul", "aux", "prn"}
