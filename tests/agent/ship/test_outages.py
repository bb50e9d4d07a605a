"""Whoever dies in the middle, shipper or collector, and however: afterwards the collector holds what the node wrote, once."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runyard import settings
from tests.collector_process import CollectorProcess, running_collector
from tests.waiting import wait_for

from .spool_builder import LOG, QUICK, Shipping, SpoolRun, copies, copy_is, ship, shipping, start_ship, verify


def has_grown(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size >= size


def test_a_shipper_killed_in_the_middle_loses_and_doubles_nothing(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    data = random.Random(1).randbytes(80_000_000)
    run.write(LOG, data)
    run.end()
    copy = collector.data_dir / "runs/e/r/127.0.0.1" / LOG
    killed_at = []
    for part in (1, 3, 6):
        process = start_ship(collector, tmp_path / "spool")
        wait_for(lambda: has_grown(copy, part * 10_000_000) or process.poll() is not None, "a part")  # noqa: B023
        process.kill()
        process.communicate()
        killed_at.append(copy.stat().st_size)
    ship(run, collector)
    assert killed_at[0] < len(data), "the first one was killed before it was through"
    assert copies(collector) == {LOG: data}
    assert verify(collector) == {LOG: "ok"}


def test_a_collector_killed_in_the_middle_gets_the_rest_when_it_is_back(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    data = random.Random(2).randbytes(60_000_000)
    run.write(LOG, data)
    for number in range(200):
        run.write(f"logs/{number}", b"%d" % number)
    run.end()
    copy = collector.data_dir / "runs/e/r/127.0.0.1" / LOG
    with shipping(run, collector) as shipper:
        for part in (1, 20_000_000, 40_000_000):
            wait_for(lambda: has_grown(copy, part) or shipper.shipper.is_done, "a part")  # noqa: B023
            collector.kill()
            collector.restart()
        shipper.done()
    assert copies(collector)[LOG] == data
    assert set(verify(collector).values()) == {"ok"}


def test_a_collector_that_is_away_at_the_start_is_found_later(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"early")
    collector.kill()
    with shipping(run, collector) as shipper:
        wait_for(lambda: shipper.shipper.trouble, "the trouble")
        assert "cannot be reached" in shipper.shipper.trouble
        assert shipper.said == [shipper.shipper.trouble]
        assert shipper.shipper.unsent_bytes() == 5
        run.append(LOG, b" and late")
        collector.restart()
        copy_is(collector, LOG, b"early and late")
        wait_for(lambda: not shipper.shipper.trouble, "no trouble any more")
        run.end()
        shipper.done()


def test_a_collector_that_hangs_is_left_and_stopping_does_not_wait_for_it(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.write(LOG, bytes(50_000_000))
    run.end()
    os.kill(collector.pid, signal.SIGSTOP)
    try:
        shipper = Shipping(run, collector.url, collector.token)
        wait_for(lambda: shipper.shipper._transfer is not None, "it has begun")
        begun = time.monotonic()
        shipper.stop()
        assert time.monotonic() - begun < 5
        assert not shipper.shipper.is_done
    finally:
        os.kill(collector.pid, signal.SIGCONT)
    ship(run, collector)
    assert verify(collector) == {LOG: "ok"}


def test_a_collector_that_lost_its_last_bytes_gets_them_again(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"0123456789" * 1000)
    with shipping(run, collector) as shipper:
        copy_is(collector, LOG, b"0123456789" * 1000)
        # What a power cut may take: bytes that were written and not synced yet.
        collector.kill()
        os.truncate(collector.data_dir / "runs/e/r/127.0.0.1" / LOG, 4321)
        collector.restart()
        copy_is(collector, LOG, b"0123456789" * 1000)
        run.end()
        shipper.done()
    assert verify(collector) == {LOG: "ok"}


def test_a_wrong_token_is_said_once_and_the_spool_stays(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.write(LOG, b"kept")
    run.end()
    shipper = Shipping(run, collector.url, "no such token")
    try:
        wait_for(lambda: shipper.said, "a sentence")
        done = time.monotonic() + 1.0
        wait_for(lambda: time.monotonic() > done, "several more tries")
        assert len(shipper.said) == 1
        assert shipper.said[0] == shipper.shipper.trouble
        assert "token" in shipper.said[0]
        assert shipper.is_running
    finally:
        shipper.stop()
    assert run.path(LOG).read_bytes() == b"kept"
    ship(run, collector)


def test_a_creators_token_is_not_needed_for_a_run_that_is_known(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"known")
    with shipping(run, collector) as shipper:
        shipper.durable()
    run.end()
    later = Shipping(run, collector.url, "")
    later.done()
    later.stop()
    assert later.said == []


def test_a_taken_run_id_is_final(collector: CollectorProcess, tmp_path: Path) -> None:
    first = SpoolRun(tmp_path / "spool", key="a" * 32)
    first.write(LOG, b"mine")
    first.end()
    ship(first, collector)
    second = SpoolRun(tmp_path / "other", key="b" * 32)
    second.write(LOG, b"another run of that name")
    second.end()
    shipper = Shipping(second, collector.url, collector.token)
    wait_for(lambda: not shipper.is_running, "it gives up")
    shipper.stop()
    assert shipper.shipper.is_refused
    assert not shipper.shipper.is_done
    assert "r" in shipper.said[0]
    assert len(shipper.said) == 1
    assert copies(collector) == {LOG: b"mine"}


def test_batches_are_halved_until_the_collector_takes_them(tmp_path: Path) -> None:
    with running_collector(tmp_path, environ={"RUNYARD_COLLECTOR__MAX_BATCH_BYTES": "300000"}) as collector:
        run = SpoolRun(tmp_path / "spool")
        data = random.Random(3).randbytes(5_000_000)
        run.write(LOG, data)
        run.end()
        ship(run, collector)
        assert copies(collector) == {LOG: data}


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 20 MB."""
    folder = Path(tempfile.mkdtemp(prefix="runyard-small-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(folder)], capture_output=True, check=False)
    if mounted.returncode:
        shutil.rmtree(folder)
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


@pytest.mark.needs_system("mount")
def test_a_full_disk_at_the_collector_skips_nothing(small_disk: Path, tmp_path: Path) -> None:
    filler = small_disk / "filler"
    with running_collector(small_disk) as collector:
        filler.write_bytes(bytes(12_000_000))
        run = SpoolRun(tmp_path / "spool")
        data = random.Random(4).randbytes(10_000_000)
        run.write(LOG, data)
        run.end()
        with shipping(run, collector) as shipper:
            wait_for(lambda: shipper.shipper.trouble, "the trouble", limit_s=20)
            assert "full" in shipper.shipper.trouble or "space" in shipper.shipper.trouble
            filler.unlink()
            shipper.done()
        assert copies(collector) == {LOG: data}
        assert verify(collector) == {LOG: "ok"}


def test_what_is_no_collector_is_said_to_be_none(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def greet() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n\r\n")

    threading.Thread(target=greet, daemon=True).start()
    run = SpoolRun(tmp_path / "spool")
    run.end()
    shipper = Shipping(run, f"http://127.0.0.1:{server.getsockname()[1]}", "t")
    wait_for(lambda: "does not speak HTTP" in shipper.shipper.trouble, "the sentence")
    shipper.stop()
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_a_run_whose_folder_is_broken_says_so(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.path(".runyard/run.json").write_text('{"run_id": "r"}')
    shipper = Shipping(run, collector.url, collector.token, settings.Ship(backoff_max_s=QUICK.backoff_max_s))
    wait_for(lambda: "is not whole" in shipper.shipper.trouble, "the sentence")
    shipper.stop()
