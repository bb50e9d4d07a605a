"""A run that has nothing to complain about arrives at the collector byte for byte, sealed, in its final state."""

from __future__ import annotations

import os
import random
from pathlib import Path

from runyard import names
from runyard.atomic import write_json
from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .spool_builder import LOG, SpoolRun, copies, copy_is, run_json, ship, shipping, start_ship, verify


def hostile_bytes(count: int) -> bytes:
    """NULs, invalid UTF-8, carriage returns, frame headers and one very long line."""
    source = random.Random(7)
    pieces = [bytes(100), b"\xff\xfe\x80", b"\r\r\n", b"RY\x01\x01" * 9, b"\n", source.randbytes(997), b"x" * 100_000]
    data = bytearray()
    while len(data) < count:
        data += source.choice(pieces)
    return bytes(data[:count])


def test_ten_megabytes_of_hostile_bytes_arrive_as_they_are(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    data = hostile_bytes(10_000_000)
    run.write(LOG, data)
    run.write(names.index_of(LOG), b"i" * 64)
    run.write("logs/my own/ünï.log", b"hello")
    run.write("logs/empty", b"")
    run.end()
    ship(run, collector)
    assert copies(collector) == {
        LOG: data,
        names.index_of(LOG): b"i" * 64,
        "logs/my own/ünï.log": b"hello",
        "logs/empty": b"",
    }
    assert set(verify(collector).values()) == {"ok"}
    shipped = run.shipped()
    assert shipped is not None
    assert shipped["streams"] == 4
    assert shipped["unsealed"] == {}


def test_what_grows_is_seen_while_the_run_lives(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    with shipping(run, collector) as shipper:
        text = b""
        for number in range(20):
            line = b"step %d\n" % number
            text += line
            run.append(LOG, line)
            copy_is(collector, LOG, text)
        wait_for(lambda: run_json(collector)["status"] == "Running", "the state")
        run.append("logs/deep/er/new.txt", b"new folder")
        copy_is(collector, "logs/deep/er/new.txt", b"new folder")
        shipper.durable()
        assert shipper.said == []


def test_outputs_come_at_the_end_and_only_then_is_the_run_complete(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write("outputs/model/weights.bin", b"half")
    run.write(LOG, b"log")
    with shipping(run, collector) as shipper:
        copy_is(collector, LOG, b"log")
        shipper.durable()
        assert list(copies(collector)) == [LOG]
        assert not run_json(collector)["is_complete"]
        run.write("outputs/model/weights.bin", b"whole")
        run.end("Failed")
        shipper.done()
    assert copies(collector) == {LOG: b"log", "outputs/model/weights.bin": b"whole"}
    answer = run_json(collector)
    assert (answer["status"], answer["is_complete"], answer["exit_code"]) == ("Failed", True, 0)


def test_a_final_state_waits_for_the_captured_log(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"a")
    run._tell(status="Completed", ended_ns=2, exit_code=0)
    with shipping(run, collector) as shipper:
        wait_for(lambda: shipper.shipper.progress_bytes and run_json(collector)["status"] == "Finalizing", "the state")
        run.append(LOG, b"b")
        copy_is(collector, LOG, b"ab")
        run.end()
        shipper.done()
    assert run_json(collector)["status"] == "Completed"


def test_thousands_of_files_arrive_with_few_kept_open(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    expected = {f"logs/{number % 50}/{number}.log": b"%d\n" % number * (number % 90) for number in range(3000)}
    expected |= {f"logs/large/{number}": os.urandom(100_000) for number in range(100)}
    for name, data in expected.items():
        run.write(name, data)
    run.start()
    watcher = start_ship(collector, tmp_path / "spool", "--watch", before="ulimit -n 100")
    try:
        copy_is(collector, "logs/large/99", expected["logs/large/99"])
        for name in list(expected)[::100]:
            run.append(name, b"more")
            expected[name] += b"more"
        run.end()
        wait_for(run.shipped, "all shipped", limit_s=100)
        assert watcher.poll() is None
    finally:
        watcher.kill()
        _, err = watcher.communicate()
    assert copies(collector) == expected
    assert '"warning"' not in err, err


def test_what_is_no_plain_file_or_has_no_good_name_is_passed_over(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_bytes(b"secret")
    run.path("logs/link").symlink_to(secret / "key")
    run.path("logs/folder").symlink_to(secret)
    os.mkfifo(run.path("logs/fifo"))
    Path(os.fsdecode(os.fsencode(run.path("logs")) + b"/caf\xe9.log")).write_bytes(b"latin")
    run.write("logs/good", b"good")
    run.end()
    shipper = ship(run, collector)
    assert copies(collector) == {"logs/good": b"good"}
    assert [sentence for sentence in shipper.said if "is not UTF-8" in sentence] == shipper.said
    assert len(shipper.said) == 1
    shipped = run.shipped()
    assert shipped is not None
    assert len(shipped["not_sent"]) == 1


def test_a_folder_that_took_a_files_name_does_not_stop_the_others(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write("logs/x", b"file")
    run.write(LOG, b"log")
    with shipping(run, collector) as shipper:
        copy_is(collector, "logs/x", b"file")
        run.path("logs/x").unlink()
        run.write("logs/x/y", b"in a folder")
        run.append(LOG, b" goes on")
        copy_is(collector, LOG, b"log goes on")
        run.write("logs/later", b"a new one")
        copy_is(collector, "logs/later", b"a new one")
        run.end()
        shipper.done()
    assert copies(collector) == {LOG: b"log goes on", "logs/later": b"a new one", "logs/x": b"file"}
    collector.restart()
    assert set(verify(collector).values()) == {"ok", "unsealed"}


def test_heartbeats_keep_a_silent_run_in_contact(tmp_path: Path, collector: CollectorProcess) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"then silence")
    with shipping(run, collector) as shipper:
        shipper.durable()
        first = wait_for(lambda: run_json(collector)["heard_ns"], "the first sign")
        wait_for(lambda: run_json(collector)["heard_ns"] > first + 10**9, "another sign of life")
        second = run_json(collector)["heard_ns"]
        wait_for(lambda: run_json(collector)["heard_ns"] > second + 10**9, "and another")


def test_a_state_that_the_collector_refuses_holds_up_no_byte(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    write_json(str(run.path(names.STATE_FILE)), {"status": "Dancing", "processes": []})
    run.write(LOG, b"bytes")
    with shipping(run, collector) as shipper:
        copy_is(collector, LOG, b"bytes")
        wait_for(lambda: any("does not take the run's state" in said for said in shipper.said), "the sentence")
        run.append(LOG, b" go on")
        copy_is(collector, LOG, b"bytes go on")
