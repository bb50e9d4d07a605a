"""Whoever asks for a run whose files were removed is told since when and why, by each command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.collector.removed import WHY, forgetful_collector, removed_run
from tests.collector_process import CollectorProcess


def _said(collector: CollectorProcess, *words: str) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    env = kept | {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token}
    done = subprocess.run(
        [sys.executable, "-m", "runyard", *words], env=env, capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_every_command_says_since_when_and_why_the_files_are_gone(tmp_path: Path) -> None:
    with forgetful_collector(tmp_path) as collector:
        removed_run(collector)
        code, text = _said(collector, "show", "gone")
        assert code == 0
        assert f": {WHY}" in text
        assert "removed, was sealed" in text
        for words, expected in (
            (("verify", "gone"), 1),
            (("logs", "gone"), 2),
            (("logs", "-f", "gone"), 2),
            (("download", "gone", "--to", str(tmp_path / "to")), 2),
        ):
            code, text = _said(collector, *words)
            assert (code, WHY in text) == (expected, True), (words, text)
