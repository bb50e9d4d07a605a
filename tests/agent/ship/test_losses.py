"""Bytes that the node's disk could not keep are marked where they were; bytes that it gave back are still proven at the end."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

from runyard import names
from runyard.agent.driver_log import DriverLog
from runyard.agent.reclaim import punch_hole
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .spool_builder import LOG, SpoolRun, copies, copy_is, environment, run_ship, ship, shipping, verify

BLOCK = 4096


def drop(run: SpoolRun, start: int, end: int) -> None:
    """As the shepherd drops bytes at the quota: noted first, then punched."""
    line = json.dumps({"name": LOG, "start": start, "end": end}).encode() + b"\n"
    with run.path(names.GAPS_FILE).open("ab") as file:
        file.write(line)
    with run.path(LOG).open("r+b") as file:
        assert punch_hole(file.fileno(), start, end - start)


def gaps(collector: CollectorProcess) -> list[list[int]]:
    answer = collector.client().json("GET", "/runs/r/files", params={"prefix": LOG})
    found: list[list[int]] = answer["files"][0]["gaps"]
    return found


def blanked(data: bytes, start: int, end: int) -> bytes:
    return data[:start] + bytes(end - start) + data[end:]


def used_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_bytes_dropped_before_they_were_sent_are_a_marked_gap(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    data = random.Random(1).randbytes(10 * BLOCK)
    run.write(LOG, data)
    drop(run, 0, 2 * BLOCK)
    drop(run, 2 * BLOCK, 3 * BLOCK)
    run.end()
    ship(run, collector)
    assert copies(collector) == {LOG: blanked(data, 0, 3 * BLOCK)}
    assert gaps(collector) == [[0, 3 * BLOCK]]
    assert verify(collector) == {LOG: "gaps"}


def test_bytes_dropped_after_they_were_sent_are_marked_as_well(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    data = random.Random(2).randbytes(10 * BLOCK)
    run.write(LOG, data)
    with shipping(run, collector) as shipper:
        copy_is(collector, LOG, data)
        drop(run, 0, 4 * BLOCK)
        copy_is(collector, LOG, blanked(data, 0, 4 * BLOCK))
        run.append(LOG, b"goes on")
        run.end()
        shipper.done()
    assert copies(collector) == {LOG: blanked(data, 0, 4 * BLOCK) + b"goes on"}
    assert gaps(collector) == [[0, 4 * BLOCK]]
    assert verify(collector) == {LOG: "gaps"}


def test_gaps_are_told_after_an_outage_and_no_dropped_byte_is_sent(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    data = random.Random(3).randbytes(20 * BLOCK)
    run.write(LOG, data[: 10 * BLOCK])
    with shipping(run, collector) as shipper:
        copy_is(collector, LOG, data[: 10 * BLOCK])
        shipper.durable()
        collector.kill()
        run.append(LOG, data[10 * BLOCK :])
        drop(run, 8 * BLOCK, 12 * BLOCK)
        drop(run, 14 * BLOCK, 15 * BLOCK)
        collector.restart()
        run.end()
        shipper.done()
    expected = blanked(blanked(data, 8 * BLOCK, 12 * BLOCK), 14 * BLOCK, 15 * BLOCK)
    assert copies(collector) == {LOG: expected}
    assert gaps(collector) == [[8 * BLOCK, 12 * BLOCK], [14 * BLOCK, 15 * BLOCK]]


def test_acknowledged_bytes_are_given_back_and_the_seal_still_holds(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool", quota_bytes=4_000_000)
    run.start()
    source, data = random.Random(4), b""
    with shipping(run, collector) as shipper:
        for _ in range(8):
            piece = source.randbytes(1_500_000)
            data += piece
            run.append(LOG, piece)
            wait_for(lambda: used_bytes(run.path(LOG)) <= 2_000_000, "room in the spool", limit_s=20)
        run.end()
        shipper.done()
    assert copies(collector) == {LOG: data}
    assert verify(collector) == {LOG: "ok"}
    assert gaps(collector) == []
    assert run.path(LOG).stat().st_size == len(data)


def test_what_was_given_back_is_still_sealed_by_the_next_shipper(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool", quota_bytes=2_000_000)
    run.start()
    data = random.Random(5).randbytes(3_000_000)
    run.write(LOG, data)
    with shipping(run, collector):
        wait_for(lambda: used_bytes(run.path(LOG)) <= 1_000_000, "room in the spool", limit_s=20)
    with run.path(names.RECLAIMED_FILE).open("ab") as file:
        file.write(b'{"name": "azureml-logs/70_dr')  # cut by a death
    run.append(LOG, b"the end")
    run.end()
    ship(run, collector)
    assert copies(collector) == {LOG: data + b"the end"}
    assert verify(collector) == {LOG: "ok"}


def test_bytes_that_were_given_back_and_then_lost_by_the_collector_are_a_gap(
    tmp_path: Path, collector: CollectorProcess
) -> None:
    run = SpoolRun(tmp_path / "spool", quota_bytes=2_000_000)
    run.start()
    run.write(LOG, random.Random(6).randbytes(3_000_000))
    with shipping(run, collector):
        wait_for(lambda: used_bytes(run.path(LOG)) <= 1_000_000, "room in the spool", limit_s=20)
    collector.kill()
    os.truncate(collector.data_dir / "runs/e/r/127.0.0.1" / LOG, 0)
    collector.restart()
    run.end()
    shipper = ship(run, collector)
    assert any("has lost bytes" in sentence for sentence in shipper.said)
    assert copies(collector) == {LOG: run.path(LOG).read_bytes()}
    assert gaps(collector)[0][0] == 0
    shipped = run.shipped()
    assert shipped is not None
    assert list(shipped["unsealed"]) == [LOG]


def test_what_was_dropped_before_a_truncation_is_no_gap_after_it(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    capture = DriverLog(str(run.run_dir), LOG, 0, is_split=False)
    os.write(capture.driver_out, random.Random(7).randbytes(3_000_000))
    capture.tick()
    drop(run, 0, 500 * BLOCK)
    os.truncate(run.path(LOG), 0)
    data = random.Random(8).randbytes(500_000)
    os.write(capture.driver_out, data)
    capture.tick()
    run.end()
    ship(run, collector)
    assert copies(collector)[LOG] == data
    assert gaps(collector) == []
    assert verify(collector)[LOG] == "ok"


def test_bytes_dropped_after_a_truncation_that_was_seen_are_marked(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    capture = DriverLog(str(run.run_dir), LOG, 0, is_split=False)
    old = random.Random(9).randbytes(20 * BLOCK)
    os.write(capture.driver_out, old)
    capture.tick()
    with shipping(run, collector) as shipper:
        drop(run, 0, 4 * BLOCK)
        copy_is(collector, LOG, blanked(old, 0, 4 * BLOCK))
        os.truncate(run.path(LOG), 0)
        capture.tick()
        data = random.Random(10).randbytes(10 * BLOCK)
        os.write(capture.driver_out, data)
        capture.tick()
        copy_is(collector, LOG, data)
        drop(run, 0, 2 * BLOCK)
        copy_is(collector, LOG, blanked(data, 0, 2 * BLOCK))
        run.end()
        shipper.done()
    assert gaps(collector) == [[0, 2 * BLOCK]]
    assert verify(collector)[LOG] == "gaps"


def test_ship_and_download_say_how_many_bytes_were_dropped(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.write(LOG, random.Random(11).randbytes(10 * BLOCK))
    drop(run, 0, 3 * BLOCK)
    run.end()
    sent = run_ship(collector, tmp_path / "spool")
    assert sent.returncode == 0
    assert f"{3 * BLOCK} bytes were dropped" in sent.stdout
    command = [sys.executable, "-m", "runyard", "download", "r", "--to", str(tmp_path / "got")]
    got = subprocess.run(command, env=environment(collector, tmp_path), capture_output=True, text=True, check=False)
    assert got.returncode == 1, got
    assert f"{3 * BLOCK} of its bytes were dropped" in got.stderr
    assert "as sealed" not in got.stdout


def test_ship_names_what_stayed_unsealed(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write("logs/x", b"soon gone")
    with shipping(run, collector):
        copy_is(collector, "logs/x", b"soon gone")
    run.path("logs/x").unlink()
    run.end()
    sent = run_ship(collector, tmp_path / "spool", "-o", "json")
    (result,) = json.loads(sent.stdout)["runs"]
    assert (result["result"], list(result["unsealed"]), result["dropped_bytes"]) == ("complete", ["logs/x"], 0)
