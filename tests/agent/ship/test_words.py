"""The words beside the bytes: the state's number grows whatever the clock says, and nobody has to listen for bytes to go on."""

from __future__ import annotations

import os
from pathlib import Path

from runyard import names
from runyard.agent.ship.report import EPOCH_FILE, WORDS_PER_EPOCH, Report
from tests.collector_process import CollectorProcess

from .spool_builder import LOG, SpoolRun, copies, run_json, start_ship


def test_what_a_later_shipper_tells_has_a_higher_number(tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    told = []
    for epoch in (1, 2, 3):
        report = Report(str(run.run_dir), [0])
        told += [report.body(is_complete=False)["seq"] for _ in range(3)]
        assert told[-1] == epoch * WORDS_PER_EPOCH + 3  # nothing of it comes from the clock
    assert told == sorted(set(told))
    assert told[-1] < 2**63


def test_an_epoch_that_cannot_be_kept_holds_no_word_back(tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    run.path(EPOCH_FILE).mkdir()  # in the way of the rename
    (run.path(EPOCH_FILE) / "full").touch()
    try:
        first = Report(str(run.run_dir), [0]).body(is_complete=False)["seq"]
    finally:
        (run.path(EPOCH_FILE) / "full").unlink()
        run.path(EPOCH_FILE).rmdir()
    assert first == WORDS_PER_EPOCH + 1


def test_a_run_is_shipped_whoever_has_left_stderr(collector: CollectorProcess, tmp_path: Path) -> None:
    run = SpoolRun(tmp_path / "spool")
    Path(os.fsdecode(os.fsencode(run.path("logs")) + b"/caf\xe9.log")).write_bytes(b"a name that is told on stderr")
    run.write(LOG, b"bytes")
    run.end()
    process = start_ship(collector, tmp_path / "spool", before="exec 2>/dev/full")
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert copies(collector) == {LOG: b"bytes"}
    assert run_json(collector)["is_complete"]
    assert run.path(names.SHIPPED_FILE).exists()
