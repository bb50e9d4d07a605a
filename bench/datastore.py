"""A datastore of 1,000 files over loopback HTTP, brought by preparation's download, against a plain parallel download of them.

The anchor keeps no promise: eight threads with a connection each (http.client), no listing, no parts, no retries, no ledger.
Both are processes of their own, and their start counts. `verified` checks every file's SHA-256 on its way, too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .processes import Usage, run
from .result import Result, against_anchor

FILES = 1000
WALL_BAR = 1.5
CHECKSUMS = "SHA256SUMS"
SERVER = """
import sys
from aiohttp import web
app = web.Application()
app.router.add_static("/", sys.argv[1], show_index=True)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=None, print=lambda text: print("ready", flush=True))
"""
PLAIN = """
import http.client, pathlib, sys, threading
port, target, count = int(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
target.mkdir()
def work(numbers):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for number in numbers:
        connection.request("GET", f"/{number:04d}.bin")
        answer = connection.getresponse()
        with open(target / f"{number:04d}.bin", "wb", buffering=0) as file:
            while data := answer.read(1 << 18):
                file.write(data)
threads = [threading.Thread(target=work, args=(range(first, count, 8),)) for first in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
OURS = """
import pathlib, sys
from runyard.agent.phases.datastore import download
from runyard.spec import Datastore
store = Datastore(name="bench", url=f"http://127.0.0.1:{sys.argv[1]}/", checksums=sys.argv[3])
download(store, pathlib.Path(sys.argv[2]), say=lambda text: None, secrets={}, threads=8)
"""


def measure(folder: Path, size_bytes: int, rounds: int) -> Iterator[Result]:
    """Yields the wall time without and with checksums, and the peak of memory."""
    _write_files(folder / "files", size_bytes)
    target = folder / "target"
    plain, ours, verified = [], [], []
    with _server(folder / "files") as port:
        for _ in range(2 * rounds):
            plain.append(_timed([PLAIN, str(port), str(target), str(FILES)], target))
            ours.append(_timed([OURS, str(port), str(target), ""], target))
            verified.append(_timed([OURS, str(port), str(target), CHECKSUMS], target))
    anchors = [usage.wall_s for usage in plain]
    yield against_anchor("datastore.download_wall", [usage.wall_s for usage in ours], anchors, "s", WALL_BAR)
    yield against_anchor("datastore.verified_wall", [usage.wall_s for usage in verified], anchors, "s", None)
    yield against_anchor("datastore.download_cpu", [usage.cpu_s for usage in ours], [usage.cpu_s for usage in plain], "s", None)
    yield Result("datastore.peak_rss", max(float(usage.peak_rss_bytes) for usage in [*ours, *verified]), "bytes", None)


def _write_files(folder: Path, size_bytes: int) -> None:
    folder.mkdir()
    lines = []
    for number in range(FILES):
        data = os.urandom(size_bytes // FILES)
        (folder / f"{number:04d}.bin").write_bytes(data)
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {number:04d}.bin\n")
    (folder / CHECKSUMS).write_text("".join(lines))


def _timed(arguments: list[str], target: Path) -> Usage:
    # What the disk still has to write of the round before would be counted to this one.
    os.sync()
    usage = run([sys.executable, "-c", *arguments])
    assert usage.code == 0
    assert sum(1 for path in target.iterdir() if path.suffix == ".bin") == FILES
    shutil.rmtree(target)
    shutil.rmtree(target.with_name(f".{target.name}.download"), ignore_errors=True)
    return usage


@contextmanager
def _server(folder: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(folder), str(port)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield port
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
