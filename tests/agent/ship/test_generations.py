"""Files that people truncate, rotate, replace and remove are mirrored: what was sent stays, what there is now is complete."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.collector_process import CollectorProcess
from tests.waiting import wait_for

from .spool_builder import LOG, SpoolRun, copies, copy_is, ship, shipping, verify

X = "logs/x.log"


def test_a_truncated_file_starts_anew_and_its_earlier_bytes_stay(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(X, b"first life, quite long")
    with shipping(run, collector) as shipper:
        copy_is(collector, X, b"first life, quite long")
        run.write(X, b"second")
        copy_is(collector, X, b"second")
        run.append(X, b" life")
        copy_is(collector, X, b"second life")
        run.end()
        shipper.done()
    assert copies(collector) == {X: b"second life", f"{X}.~0~": b"first life, quite long"}
    assert verify(collector)[X] == "ok"


def test_a_rotated_log_is_found_whole_under_both_names(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(X, b"day one\n")
    with shipping(run, collector) as shipper:
        copy_is(collector, X, b"day one\n")
        # The last line comes just before the rotation: nobody has sent it yet when the name changes.
        run.append(X, b"midnight\n")
        run.path(X).rename(run.path(f"{X}.1"))
        run.write(X, b"day two\n")
        copy_is(collector, X, b"day two\n")
        copy_is(collector, f"{X}.1", b"day one\nmidnight\n")
        run.end()
        shipper.done()
    assert copies(collector) == {
        X: b"day two\n",
        f"{X}.~0~": b"day one\nmidnight\n",
        f"{X}.1": b"day one\nmidnight\n",
    }


def test_a_cascade_of_rotations_ends_with_what_the_node_has(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    with shipping(run, collector) as shipper:
        for day in range(12):
            for number in (2, 1):
                if run.path(f"{X}.{number}").exists():
                    run.path(f"{X}.{number}").rename(run.path(f"{X}.{number + 1}"))
            if run.path(X).exists():
                run.path(X).rename(run.path(f"{X}.1"))
            run.write(X, b"day %d\n" % day * (day + 1))
        run.end()
        shipper.done()
    held = copies(collector)
    for name in (X, f"{X}.1", f"{X}.2", f"{X}.3"):
        assert held[name] == run.path(name).read_bytes()
    assert {verify(collector)[name] for name in (X, f"{X}.1", f"{X}.2", f"{X}.3")} == {"ok"}


def test_a_file_replaced_by_rename_is_the_next_generation(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(X, b"old")
    with shipping(run, collector) as shipper:
        copy_is(collector, X, b"old")
        run.replace(X, b"a longer new one")
        copy_is(collector, X, b"a longer new one")
        run.end()
        shipper.done()
    assert copies(collector) == {X: b"a longer new one", f"{X}.~0~": b"old"}


def test_a_removed_file_keeps_what_was_sent_and_is_named_as_unsealed(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(X, b"soon gone")
    run.write(LOG, b"stays")
    with shipping(run, collector) as shipper:
        copy_is(collector, X, b"soon gone")
        run.append(X, b", last words")
        run.path(X).unlink()
        copy_is(collector, X, b"soon gone, last words")
        run.end()
        shipper.done()
    assert verify(collector) == {X: "unsealed", LOG: "ok"}
    shipped = run.shipped()
    assert shipped is not None
    assert list(shipped["unsealed"]) == [X]


def test_a_name_that_comes_back_is_the_next_generation(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(X, b"one")
    with shipping(run, collector) as shipper:
        copy_is(collector, X, b"one")
        run.path(X).rename(run.path("outputs/kept"))
        wait_for(lambda: shipper.shipper._transfer and shipper.shipper._transfer.files.by_name[X].is_gone, "seen as gone")
        run.write(X, b"two, another")
        copy_is(collector, X, b"two, another")
        run.end()
        shipper.done()
    assert copies(collector)[f"{X}.~0~"] == b"one"


def test_a_file_rewritten_to_a_larger_one_between_two_looks_is_found_by_its_seal(
    collector: CollectorProcess, tmp_path: Path
) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(X, b"aaaa")
    with shipping(run, collector) as shipper:
        copy_is(collector, X, b"aaaa")
        shipper.durable()
    run.write(X, b"bbbbbbbb")  # the same inode, and longer: at the next look it seems to have grown
    run.end()
    ship(run, collector)
    assert copies(collector) == {X: b"bbbbbbbb", f"{X}.~0~": b"aaaabbbb"}
    assert verify(collector)[X] == "ok"


def test_a_file_that_changes_on_and_on_ends_unsealed_and_the_run_complete(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.write(LOG, b"log")
    run.write(X, bytes(30_000_000))
    run.end()
    stop = threading.Event()

    def scribble() -> None:
        with run.path(X).open("r+b") as file:
            number = 0
            while not stop.is_set():
                number += 1
                for position in range(0, 30_000_000, 500_000):
                    os.pwrite(file.fileno(), b"%d" % number, position)

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        shipper = ship(run, collector)
    finally:
        stop.set()
        writer.join()
    assert verify(collector)[LOG] == "ok"
    shipped = run.shipped()
    assert shipped is not None
    assert "again and again" in shipped["unsealed"][X]
    assert any("not sealed" in sentence for sentence in shipper.said)


def test_a_file_shrinking_while_it_is_sent_is_sent_again(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.start()
    run.write(LOG, b"log")
    stop = threading.Event()

    def breathe() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with run.path(X).open("wb") as file:
                for _ in range(8):
                    file.write(bytes([number % 256]) * 1_000_000)

    run.write(X, b"")
    writer = threading.Thread(target=breathe)
    writer.start()
    try:
        with shipping(run, collector) as shipper:
            # Many generations pass by; meanwhile another log of the run is still sent.
            for number in range(5):
                run.append(LOG, b"%d" % number)
                copy_is(collector, LOG, run.path(LOG).read_bytes())
            stop.set()
            writer.join()
            run.end()
            shipper.done()
    finally:
        stop.set()
        writer.join()
    assert copies(collector)[X] == run.path(X).read_bytes()
    assert verify(collector)[X] == "ok"
