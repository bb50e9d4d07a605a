"""What one log gains is copied into another, once, whatever dies in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from runyard.agent.phases.copying import Copy
from tests.waiting import wait_for

COPIER = """
import sys, time
from pathlib import Path
from runyard.agent.phases.copying import Copy
copy = Copy(*map(Path, sys.argv[1:]))
while True:
    copy.flush()
"""


def test_every_byte_is_there_when_it_is_closed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    target.write_bytes(b"before\n")
    copy = Copy(source, target, tmp_path / "mark")
    with source.open("ab") as file:
        file.write(b"x" * 200_000 + b"\nend\n")
    copy.close()
    assert target.read_bytes() == b"before\n" + source.read_bytes()


def test_a_killed_copier_doubles_and_loses_nothing(tmp_path: Path) -> None:
    source, target, mark = tmp_path / "source", tmp_path / "target", tmp_path / "mark"
    lines = [b"%06d %s\n" % (number, b"y" * (number % 300)) for number in range(20_000)]
    for kill in range(12):
        copier = subprocess.Popen([sys.executable, "-c", COPIER, str(source), str(target), str(mark)])
        part = lines[kill * 1500 : (kill + 1) * 1500]
        with source.open("ab", buffering=0) as file:
            for line in part:
                file.write(line)
        had = target.stat().st_size if target.exists() else 0
        wait_for(lambda had=had: target.exists() and target.stat().st_size > had, "some of it is copied")  # type: ignore[misc]
        os.kill(copier.pid, signal.SIGKILL)
        copier.wait()
    Copy(source, target, mark).close()
    assert target.read_bytes() == source.read_bytes()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=10), st.integers(min_value=0, max_value=400))
def test_a_death_anywhere_in_an_append_is_found_out(tmp_path_factory, pieces: list[bytes], cut: int) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("copy")
    source, target, mark = folder / "source", folder / "target", folder / "mark"
    source.write_bytes(b"".join(pieces))
    Copy(source, target, mark).close()
    assert target.read_bytes() == source.read_bytes()
    # The announced append did not happen, or only a part of it.
    if mark.exists():
        os.truncate(target, min(target.stat().st_size, json.loads(mark.read_text())["at"] + cut))
    Copy(source, target, mark).close()
    assert target.read_bytes() == source.read_bytes()
