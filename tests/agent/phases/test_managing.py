"""Leaving context managers goes on whatever their ledger's disk does."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from runyard import names
from runyard.agent.phases.managing import Managers
from runyard.spec import Manager
from tests.agent.managers_job import job_in

MODULE = """
class Told:
    def __init__(self, job, *, name, journal, fails=False):
        self.name, self.journal, self.fails = name, journal, fails

    def note(self, word):
        self.journal.append(f"{word} {self.name}")

    def __enter__(self):
        self.note("enter")

    def __exit__(self, *raised):
        self.note("leave")
        if self.fails:
            raise ValueError("no")
"""


def fill(disk: Path) -> None:
    """Until not one byte goes in, beside what stands there."""
    with (disk / "fill").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))


@pytest.mark.needs_system("mount")
def test_all_are_left_where_the_ledger_cannot_be_written(
    tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told_on_a_full_disk.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "told_on_a_full_disk", raising=False)
    folder = small_disk / names.phase_dir("preparation")
    folder.mkdir(parents=True)
    journal: list[str] = []
    wanted = [
        Manager("told_on_a_full_disk:Told", options={"name": name, "journal": journal, "fails": name == "b"})
        for name in ("a", "b", "c")
    ]
    managers = Managers(wanted, job_in(tmp_path), small_disk)
    managers.enter()
    ledger = folder / "managers.jsonl"
    with ledger.open("ab") as file:  # not a byte more fits into its last block
        file.write(b"\n" * (-ledger.stat().st_size % 4096))
    fill(small_disk)
    managers.leave()
    assert journal[3:] == ["leave c", "leave b", "leave a"]
    assert managers.troubles() == ["the context manager told_on_a_full_disk:Told could not be left: ValueError: no"]
    assert b"left" not in ledger.read_bytes()
