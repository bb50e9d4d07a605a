"""The Python of docs/sdk.md is run, in order, against a real collector, and gives what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.collector_process import CollectorProcess
from tests.training_site import TRAINING_PYTHON, needs_torch

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "sdk.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.py)\n")
SHOWN = re.compile(r"^(\S.*?)  # -> (.+)$", re.MULTILINE)


def blocks() -> tuple[dict[str, str], list[str]]:
    """The files that begin with their names, and everything else as it stands in the document."""
    files, rest = {}, []
    for block in BLOCK.findall(DOCUMENT.read_text()):
        name = FILE.match(block)
        if name:
            files[name[1]] = block
        else:
            rest.append(block)
    return files, rest


def checked(block: str) -> str:
    """The block, with what it shows as assertions."""
    return SHOWN.sub(lambda found: f"_given = {found[1]}\nassert _given == ({found[2]}), _given", block)


def run(folder: Path, collector: CollectorProcess, parts: list[str], *more: str) -> None:
    files, _ = blocks()
    code = folder / "code"
    code.mkdir()
    for name, text in files.items():
        (code / name).write_text(text)
    script = folder / "notebook.py"
    # Packages that only the document's reader has come behind ours.
    script.write_text("\n".join([f"import sys; sys.path += {[*more]!r}", *map(checked, parts)]))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNYARD_")}
    ours = {"RUNYARD_COLLECTOR_URL": collector.url, "RUNYARD_TOKEN": collector.token, "PYTHONPATH": str(ROOT)}
    environ = kept | ours | {"RUNYARD_SPOOL__DIR": str(folder / "spool"), "RUNYARD_RUN__GRACE_S": "1"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=code, env=environ, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_what_it_shows_is_found() -> None:
    files, rest = blocks()
    assert [*files] == ["train.py"]
    assert DOCUMENT.read_text().count("```python") == len(files) + len(rest)
    assert sum(len(SHOWN.findall(block)) for block in rest) == DOCUMENT.read_text().count("  # -> ")
    assert checked("a.b()  # -> [1]\nc = 2  # no\n") == "_given = a.b()\nassert _given == ([1]), _given\nc = 2  # no\n"


@pytest.mark.row("B6")
def test_the_tour_gives_what_it_says(tmp_path: Path, collector: CollectorProcess) -> None:
    run(tmp_path, collector, [block for block in blocks()[1] if "optuna" not in block])


@needs_torch
def test_the_part_on_optuna_gives_what_it_says(tmp_path: Path, collector: CollectorProcess) -> None:
    (packages,) = TRAINING_PYTHON.parents[1].glob("lib/python*/site-packages")
    run(tmp_path, collector, [block for block in blocks()[1] if "optuna" in block], str(packages))
