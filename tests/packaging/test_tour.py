"""The wheel, installed by pip into an environment that has nothing else, does all that the README's tour says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs import documents
from tests.docs.reader import read
from tests.packaging.building import ROOT

# pip fetches what the wheel depends on.
pytestmark = [pytest.mark.timeout(400), pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment made as the README says: `python3 -m venv venv`, and `pip install`."""
    venv = tmp_path_factory.mktemp("tour") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    install = [str(venv / "bin/pip"), "install", "--quiet", "--constraint", str(ROOT / "constraints.txt"), str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return venv / "bin"


def test_the_tour_works_with_the_installed_wheel_alone(commands: Path, tmp_path: Path) -> None:
    with read(tmp_path, documents.blocks((ROOT / "README.md").read_text()), commands=commands) as done:
        assert done.returncode == 0, done.text
        for shown in done.shown:
            printed = done.printed(shown)
            line = documents.missing(shown, printed)
            assert not line, f"README.md:{shown.line}: $ {shown.command}\nshows {line!r}, prints:\n{printed}\n{done.text}"
    assert "/login?to=/runs/fast#code=" in done.text


def test_page_widget_and_manual_are_there(commands: Path) -> None:
    home = commands.parent
    assert next(home.glob("lib/python3*/site-packages/runyard/collector/static/index.html")).is_file()
    assert next(home.glob("lib/python3*/site-packages/runyard/widgets/static/widget.js")).is_file()
    assert (home / "share/man/man1/runyard-run.1").is_file()
    done = subprocess.run([str(commands / "runyard"), "completion", "bash"], capture_output=True, text=True, check=False)
    assert "complete -F _runyard runyard" in done.stdout
