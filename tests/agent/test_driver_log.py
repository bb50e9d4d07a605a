"""A driver's log and its time index: every byte on its own stream, over any death in the middle of an append."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runyard.agent.driver_log import PAGE_BYTES, DriverLog, find_append
from runyard.agent.reclaim import punch_hole
from runyard.names import GAPS_FILE, RECLAIMED_FILE, index_of
from runyard.timeindex import RECORD_BYTES, STDERR, unpack

NAME = "azureml-logs/70_driver_log.txt"


class Driver:
    """Writes as a driver does, through O_APPEND descriptors of its own, and dies with nobody."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.log = DriverLog(str(run_dir), NAME, 0, is_split=True)
        self.out, self.err = os.dup(self.log.driver_out), os.dup(self.log.driver_err)
        self.written = {self.out: b"", self.err: b""}

    def write(self, target: int, data: bytes) -> None:
        os.write(target, data)
        self.written[target] += data

    def die_and_recover(self, lost_records: int) -> None:
        """The capture dies before its last `lost_records` index records were written, and another one takes over."""
        index = self.run_dir / index_of(NAME)
        size = index.stat().st_size
        if lost_records:
            os.truncate(index, max(0, size - lost_records * RECORD_BYTES + 7))
        self.log.close_driver_ends()
        self.log.close()
        self.log = DriverLog(str(self.run_dir), NAME, 0, is_split=True)

    def close(self) -> None:
        self.log.close_driver_ends()
        self.log.close()
        os.close(self.out)
        os.close(self.err)

    def split(self) -> tuple[bytes, bytes]:
        while not self.log.is_settled:
            self.log.tick()
        log = (self.run_dir / NAME).read_bytes()
        start, parts = 0, {False: b"", True: b""}
        for record in unpack((self.run_dir / index_of(NAME)).read_bytes()):
            parts[record.source == STDERR] += log[start : record.end]
            start = record.end
        assert start == len(log)
        return parts[False], parts[True]


ACTION = st.one_of(
    st.tuples(st.just("out"), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("err"), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("tick"), st.just(b"")),
    st.tuples(st.just("die"), st.just(b"")),
    st.tuples(st.just("die after the append"), st.just(b"")),
)


@given(actions=st.lists(ACTION, max_size=25))
def test_both_streams_come_back_exactly_whatever_dies_when(tmp_path_factory: object, actions: list[tuple[str, bytes]]) -> None:
    run_dir = Path(tmp_path_factory.mktemp("run"))  # type: ignore[attr-defined]
    driver = Driver(run_dir)
    for number, (action, data) in enumerate(actions):
        if action == "out":
            driver.write(driver.out, b"o%d:" % number + data)
        elif action == "err":
            driver.write(driver.err, b"e%d:" % number + data)
        elif action == "tick":
            driver.log.tick()
        elif action == "die":
            driver.die_and_recover(lost_records=0)
        else:
            index = run_dir / index_of(NAME)
            before = index.stat().st_size
            driver.log.tick()
            records = unpack(index.read_bytes()[before:])
            last_is_stderr = bool(records) and records[-1].source == STDERR
            driver.die_and_recover(lost_records=1 if last_is_stderr else 0)
    assert driver.split() == (driver.written[driver.out], driver.written[driver.err])
    driver.close()
    shutil.rmtree(run_dir)


def test_an_append_that_never_happened_is_made_again(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.write(driver.out, b"a")
    driver.log.tick()
    driver.write(driver.err, b"lost?")
    intent = tmp_path / ".runyard/proc/0/intent"
    intent.write_bytes((0).to_bytes(8, "little") + (5).to_bytes(8, "little") + (1).to_bytes(8, "little"))
    driver.die_and_recover(lost_records=0)
    assert driver.split() == (b"a", b"lost?")


def test_an_append_that_a_kill_cut_at_a_page_is_gone_on_with() -> None:
    chunk = bytes(range(256)) * 64
    before = b"stdout " * 3
    start = PAGE_BYTES - 2048 - len(before)
    region = before + chunk[:2048]
    assert find_append(region, chunk, start) == (start + len(before), 2048)
    assert find_append(before, chunk, start) is None


def test_time_and_order_of_records_grow(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    for number in range(20):
        driver.write(driver.out if number % 3 else driver.err, b"x" * (number + 1))
        driver.log.tick()
    records = unpack((tmp_path / index_of(NAME)).read_bytes())
    assert [record.end for record in records] == sorted({record.end for record in records})
    assert [record.mono_ns for record in records] == sorted(record.mono_ns for record in records)


def test_a_log_that_its_driver_truncated_starts_a_new_index(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.write(driver.out, b"first words")
    driver.log.tick()
    os.truncate(tmp_path / NAME, 0)
    os.write(driver.out, b"new")
    driver.log.tick()
    assert (tmp_path / NAME).read_bytes() == b"new"
    assert [record.end for record in unpack((tmp_path / index_of(NAME)).read_bytes())] == [3]
    assert driver.log.truncated_total == 1


def test_a_truncation_voids_what_the_ledgers_said_and_makes_no_ledger(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    (tmp_path / GAPS_FILE).write_text(json.dumps({"name": NAME, "start": 0, "end": 4}) + "\n" + '{"name": "cut by a de')
    driver.write(driver.out, b"first words")
    driver.log.tick()
    os.truncate(tmp_path / NAME, 0)
    driver.log.tick()
    lines = (tmp_path / GAPS_FILE).read_text().splitlines()
    assert json.loads(lines[-1]) == {"name": NAME, "start": 0, "end": 0, "reset": True}
    assert len(lines) == 3
    assert not (tmp_path / RECLAIMED_FILE).exists()


def test_bytes_given_back_up_to_the_end_are_no_truncation(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    (tmp_path / GAPS_FILE).touch()
    driver.write(driver.out, b"x" * (2 * PAGE_BYTES + 10))
    driver.log.tick()
    assert punch_hole(driver.log.log, 0, 2 * PAGE_BYTES)
    driver.write(driver.out, b"more")
    driver.log.tick()
    ends = [record.end for record in unpack((tmp_path / index_of(NAME)).read_bytes())]
    assert ends == [2 * PAGE_BYTES + 10, 2 * PAGE_BYTES + 14]
    assert driver.log.truncated_total == 0
    assert (tmp_path / GAPS_FILE).read_bytes() == b""


def test_a_capture_starts_again_after_its_driver_truncated_the_log(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.write(driver.out, b"a long way into the log")
    driver.log.tick()
    driver.write(driver.err, b"an error")
    driver.log.tick()
    (tmp_path / index_of(NAME)).write_bytes(b"")  # it died before the record of its last append
    os.truncate(tmp_path / NAME, 0)
    driver.die_and_recover(lost_records=0)
    driver.write(driver.err, b"another")
    driver.written[driver.out] = b""
    assert driver.split() == (b"", b"another")


def test_a_truncation_just_before_stderr_is_appended_keeps_the_index_true(tmp_path: Path) -> None:
    driver = Driver(tmp_path)
    driver.write(driver.out, b"first words")
    driver.log.tick()
    # What happens between the look at the log's size and the append.
    os.truncate(tmp_path / NAME, 0)
    os.write(driver.log.log, b"oops")
    driver.log._cover_stderr(0, 4)
    records = unpack((tmp_path / index_of(NAME)).read_bytes())
    assert [(record.end, record.source) for record in records] == [(4, STDERR)]


@pytest.mark.needs_system("mount")
@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_an_index_on_a_full_disk_doubles_and_loses_nothing(tmp_path: Path) -> None:
    disk = (tmp_path / index_of(NAME)).parent
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(disk)], check=True)
    try:
        driver = Driver(tmp_path)
        for number in range(2 * 4096 // RECORD_BYTES):
            driver.write(driver.out if number % 2 else driver.err, b"%d;" % number)
            driver.log.tick()
        assert driver.log.trouble_errno == errno.ENOSPC, "the index has not filled its disk"
        subprocess.run(["mount", "-o", "remount,size=64k", str(disk)], check=True)
        assert driver.split() == (driver.written[driver.out], driver.written[driver.err])
        driver.close()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
