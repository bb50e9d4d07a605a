"""Blobs on the node: whole or not there, once, never changed; shipped by their digest, and nothing else of their folder is."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import names
from runyard.errors import InputError, SpoolError
from runyard.tracking.blobs import Kept, keep
from tests.collector.node import sha256
from tests.collector.small_disk import fill, mounted
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .spool_builder import LOG, SpoolRun, copies, copy_is, ship, shipping, verify


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    with mounted(tmp_path / "disk") as place:
        yield place


def test_a_path_bytes_and_a_stream_are_kept_under_their_digest(tmp_path: Path) -> None:
    data = random.randbytes(3_000_000)
    (tmp_path / "f").write_bytes(data)
    folder = tmp_path / "new" / "blobs"
    with (tmp_path / "f").open("rb") as file:
        file.seek(1_000_000)
        assert keep(file, str(folder)) == Kept(sha256(data[1_000_000:]), 2_000_000)
    for source in (tmp_path / "f", str(tmp_path / "f"), data, memoryview(data), io.BytesIO(data)):
        assert keep(source, str(folder)) == Kept(sha256(data), len(data))
    assert keep(b"", str(folder)) == Kept(sha256(b""), 0)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        sha256(data): data,
        sha256(data[1_000_000:]): data[1_000_000:],
        sha256(b""): b"",
    }


def test_the_same_bytes_again_leave_the_blob_as_it_is(tmp_path: Path) -> None:
    keep(b"same", str(tmp_path))
    (blob,) = tmp_path.iterdir()
    before = blob.stat()
    keep(io.BytesIO(b"same"), str(tmp_path))
    after = blob.stat()
    assert (after.st_ino, after.st_mtime_ns, after.st_nlink) == (before.st_ino, before.st_mtime_ns, 1)
    assert [path.name for path in tmp_path.iterdir()] == [sha256(b"same")]
    assert after.st_mode & 0o777 == 0o400


def test_many_at_once_keep_one_blob(tmp_path: Path) -> None:
    data, inodes = random.randbytes(500_000), set()
    threads = [threading.Thread(target=keep, args=(data, str(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    is_over = False
    while not is_over:
        is_over = not any(thread.is_alive() for thread in threads)  # and then one look more
        inodes |= {path.stat().st_ino for path in tmp_path.glob("[0-9a-f]" * 64)}
    assert len(inodes) == 1
    assert [path.name for path in tmp_path.iterdir()] == [sha256(data)]


def test_holes_stay_holes(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"middle")
    kept = keep(tmp_path / "f", str(tmp_path / "blobs"))
    blob = tmp_path / "blobs" / kept.sha256
    assert blob.stat().st_blocks * 512 < 4 << 20
    assert blob.read_bytes() == (tmp_path / "f").read_bytes()


def test_what_is_no_file_is_told_in_a_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "text").write_text("x")
    for source in (tmp_path / "nix", tmp_path, tmp_path / "pipe"):
        with pytest.raises(InputError, match=str(source)):
            keep(source, str(blobs))
    with (tmp_path / "text").open() as text, pytest.raises(InputError, match="mode 'rb'"):
        keep(text, str(blobs))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="int"):
        keep(7, str(blobs))  # type: ignore[arg-type]
    assert list(blobs.iterdir()) == []
    with pytest.raises(SpoolError, match="Not a directory"):
        keep(b"x", str(tmp_path / "text" / "blobs"))


@pytest.mark.needs_system("mount")
def test_a_full_disk_is_one_clear_error_and_leaves_nothing(small_disk: Path) -> None:
    blobs = small_disk / "blobs"
    keep(b"before", str(blobs))
    ballast = fill(small_disk)
    with ballast.open("r+b") as file:
        file.truncate(ballast.stat().st_size - (1 << 20))
    with pytest.raises(SpoolError, match="is full"):
        keep(random.randbytes(4 << 20), str(blobs))
    assert [path.name for path in blobs.iterdir()] == [sha256(b"before")]
    keep(random.randbytes(1 << 19), str(blobs))


def test_a_kill_in_the_middle_leaves_no_blob(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    code = (
        "import sys\nfrom runyard.tracking.blobs import keep\n"
        "class Slow:\n"
        "    def read(self, size):\n        return sys.stdin.buffer.read1(size)\n"
        "keep(Slow(), sys.argv[1])\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(blobs)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"half")
    process.stdin.flush()
    wait_for(lambda: blobs.is_dir() and any(path.stat().st_size for path in blobs.iterdir()), "half is written")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdin.close()
    assert [path.suffix for path in blobs.iterdir()] == [".part"]
    keep(b"half", str(blobs))
    assert (blobs / sha256(b"half")).read_bytes() == b"half"


def test_whole_blobs_are_shipped_and_nothing_else_of_their_folder(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    folder, data = run.path(names.BLOBS_DIR), random.randbytes(5_000_000)
    with shipping(run, collector):
        run.append(LOG, b"a line\n")
        run.write(f"{names.BLOBS_DIR}/0011223344556677.part", data[:1000])
        kept = keep(data, str(folder))
        keep(data, str(folder))
        run.write(f"{names.BLOBS_DIR}/notes.txt", b"no blob")
        run.write(f"{names.BLOBS_DIR}/deeper/{kept.sha256}", b"no blob")
        copy_is(collector, f"{names.BLOBS_DIR}/{kept.sha256}", data)  # while the run lives
        run.append(LOG, b"another\n")
        copy_is(collector, LOG, b"a line\nanother\n")
        run.end()
        wait_for(run.shipped, "the run is shipped")
    assert copies(collector) == {LOG: b"a line\nanother\n", f"{names.BLOBS_DIR}/{kept.sha256}": data}
    assert set(verify(collector).values()) == {"ok"}
    shipped = run.shipped()
    assert shipped is not None
    assert (shipped["unsealed"], shipped["not_sent"]) == ({}, [])


def test_a_blob_is_sent_once_however_often_its_file_is_uploaded(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    data = random.randbytes(1_000_000)
    for _ in range(3):
        keep(data, str(run.path(names.BLOBS_DIR)))
    run.end()
    ship(run, collector)
    assert copies(collector) == {f"{names.BLOBS_DIR}/{sha256(data)}": data}  # no second generation beside it
